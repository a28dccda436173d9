// The mechanism delta_net against the recurrence in double, token by token, in
// the trained and in the untrained form, and documents of the family delta_net
// that are cut anywhere. That the family is the published model is for
// parity_test.cc to say.

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/base/check.h"
#include "core/compute/compute_context.h"
#include "core/compute/matmul.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "core/session/question_attention.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/attention/conformance_harness.h"
#include "tests/core/attention/layer_harness.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

using testing::MaxDifference;
using Vector = std::vector<double>;
using Contexts = std::vector<std::vector<double>>;

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// A layer's own parameters, as the family has them.
struct Parameters {
  int width = 0;
  std::vector<float> beta;            // [heads, hidden]
  std::vector<float> convolution[3];  // [hidden, width]
  std::vector<float> norm;            // [d]
  double norm_eps = 1e-5;
  LayerExtras extras;
};

std::unique_ptr<Parameters> RandomParameters(int heads, int d, int width) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 0.5f);
  const auto draw = [&](int size) {
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) value = normal(random);
    return values;
  };
  const int hidden = heads * d;
  auto made = std::make_unique<Parameters>();
  made->width = width;
  made->beta = draw(heads * hidden);
  auto beta = PackedLinear::Pack(made->beta, std::vector<float>(size_t(heads)),
                                 hidden, heads);
  LH_CHECK(beta.ok());
  made->extras.Add("beta", *std::move(beta));
  const char* kRoles[] = {"query_convolution", "key_convolution",
                          "value_convolution"};
  for (int part = 0; part < 3; ++part) {
    made->convolution[part] = draw(hidden * width);
    made->extras.AddTensor(kRoles[part],
                           FloatBuffer::CopyOf(made->convolution[part]));
  }
  made->norm = draw(d);
  made->extras.AddTensor("output_norm", FloatBuffer::CopyOf(made->norm));
  made->extras.AddNumber("output_norm_eps_trillionths", 10'000'000);
  return made;
}

// One head over the document.
class Twin {
 public:
  // `parameters`: null for the untrained form.
  Twin(const testing::LayerHarness& harness, const Parameters* parameters,
       int head)
      : harness_(harness),
        parameters_(parameters),
        head_(head),
        d_(harness.head_dim()),
        memory_(size_t(d_), Vector(size_t(d_))) {}

  // The head's context of the next chunk, row by row.
  std::vector<Vector> Next(const testing::HarnessChunk& chunk) {
    std::vector<Vector> out;
    for (int r = 0; r < chunk.rows; ++r) {
      const Vector q = Normalized(Row(chunk, r, 0), 1 / std::sqrt(double(d_)));
      const Vector k = Normalized(Row(chunk, r, 1), 1);
      const Vector v = Row(chunk, r, 2);
      if (r >= chunk.own_begin && r < chunk.own_end) {
        const Vector stored = Read(k);
        for (int i = 0; i < d_; ++i) {
          for (int j = 0; j < d_; ++j) {
            memory_[size_t(i)][size_t(j)] += k[size_t(i)] * Beta(chunk, r) *
                                             (v[size_t(j)] - stored[size_t(j)]);
          }
        }
        for (int part = 0; part < 3; ++part) {
          past_[part].push_back(Raw(chunk, r, part));
        }
      }
      out.push_back(NormalizedOutput(Read(q)));
    }
    return out;
  }

 private:
  Vector Raw(const testing::HarnessChunk& chunk, int row, int part) const {
    const float* begin =
        chunk.qkv.data() + (row * 3 + part) * harness_.hidden() + head_ * d_;
    return Vector(begin, begin + d_);
  }

  // The row behind all own tokens so far.
  Vector Row(const testing::HarnessChunk& chunk, int row, int part) const {
    const Vector raw = Raw(chunk, row, part);
    if (parameters_ == nullptr) return raw;
    const int width = parameters_->width;
    Vector y(raw.size());
    for (int i = 0; i < d_; ++i) {
      for (int back = 0; back < width; ++back) {
        if (back > int(past_[part].size())) break;
        const Vector& x =
            back == 0 ? raw : past_[part][past_[part].size() - size_t(back)];
        y[size_t(i)] +=
            x[size_t(i)] * parameters_->convolution[part][size_t(
                               (head_ * d_ + i) * width + width - 1 - back)];
      }
      y[size_t(i)] *= Sigmoid(y[size_t(i)]);
    }
    return y;
  }

  double Beta(const testing::HarnessChunk& chunk, int row) const {
    if (parameters_ == nullptr) return 0.5;
    const int hidden = harness_.hidden();
    double logit = 0;
    for (int i = 0; i < hidden; ++i) {
      logit += double{parameters_->beta[size_t(head_ * hidden + i)]} *
               chunk.x[size_t(row * hidden + i)];
    }
    return Sigmoid(logit);
  }

  Vector Normalized(Vector x, double factor) const {
    const double norm = std::sqrt(Dot(x, x) + 1e-6);
    for (double& value : x) value *= factor / norm;
    return x;
  }

  Vector NormalizedOutput(Vector o) const {
    if (parameters_ == nullptr) return o;
    const double root = std::sqrt(Dot(o, o) / d_ + parameters_->norm_eps);
    for (int i = 0; i < d_; ++i) {
      o[size_t(i)] *= parameters_->norm[size_t(i)] / root;
    }
    return o;
  }

  // S^T x.
  Vector Read(const Vector& x) const {
    Vector out(static_cast<size_t>(d_));
    for (int i = 0; i < d_; ++i) {
      for (int j = 0; j < d_; ++j) {
        out[size_t(j)] += memory_[size_t(i)][size_t(j)] * x[size_t(i)];
      }
    }
    return out;
  }

  const testing::LayerHarness& harness_;
  const Parameters* const parameters_;
  const int head_, d_;
  std::vector<Vector> memory_;   // S
  std::vector<Vector> past_[3];  // own rows of the projections
};

Contexts TwinContexts(const testing::LayerHarness& harness,
                      const Parameters* parameters) {
  Contexts contexts;
  for (const auto& chunk : harness.chunks()) {
    contexts.emplace_back(size_t(chunk.rows * harness.hidden()));
  }
  for (int head = 0; head < harness.heads(); ++head) {
    Twin twin(harness, parameters, head);
    for (size_t i = 0; i < contexts.size(); ++i) {
      const auto rows = twin.Next(harness.chunks()[i]);
      for (size_t r = 0; r < rows.size(); ++r) {
        std::copy(rows[r].begin(), rows[r].end(),
                  contexts[i].begin() + int64_t(r) * harness.hidden() +
                      head * harness.head_dim());
      }
    }
  }
  return contexts;
}

// Chunks of one row, so that a tail reaches over several of them.
testing::LayerHarness MakeHarness(float scale) {
  testing::LayerHarness harness(2, 16, scale, 1);
  const std::vector<int> rows = {16, 1, 1, 2, 40, 3, 100};
  harness.AddChunks(rows);
  // Linear layers may read rows past the end.
  for (int i = 0; i < int(rows.size()); ++i) {
    harness.mutable_chunk(i).x.resize(
        size_t(PaddedRows(rows[size_t(i)]) * harness.hidden()));
  }
  return harness;
}

TEST(DeltaNet, UntrainedFormMatchesTheTwin) {
  for (float scale : {0.3f, 3.0f, 100.0f}) {
    testing::LayerHarness harness = MakeHarness(scale);
    const auto attention = (**AttentionRegistry().Find("delta_net"))(
        {.num_heads = 2, .head_dim = 16, .num_layers = 1});
    ASSERT_TRUE(attention.ok());
    EXPECT_LE(
        MaxDifference(harness.Run(**attention), TwinContexts(harness, nullptr)),
        1e-5 * scale);
  }
}

TEST(DeltaNet, TrainedFormMatchesTheTwin) {
  for (int width : {1, 2, 4, 7}) {
    testing::LayerHarness harness = MakeHarness(1.0f);
    const auto parameters = RandomParameters(2, 16, width);
    const LayerExtras* extras[] = {&parameters->extras};
    const auto attention = (**AttentionRegistry().Find("delta_net"))(
        {.num_heads = 2, .head_dim = 16, .num_layers = 1, .extras = extras});
    ASSERT_TRUE(attention.ok());
    EXPECT_LE(MaxDifference(harness.Run(**attention),
                            TwinContexts(harness, parameters.get())),
              1e-4)
        << width;
  }
}

TEST(DeltaNet, KnowsCausalAlone) {
  for (Visibility asked : {Visibility::kCausal, Visibility::kBidirectional,
                           Visibility::kTwoPass}) {
    const auto attention = (**AttentionRegistry().Find("delta_net"))(
        {.num_heads = 2,
         .head_dim = 16,
         .num_layers = 1,
         .retrieval = {.visibility = asked}});
    ASSERT_TRUE(attention.ok());
    EXPECT_EQ((*attention)->retrieval().visibility, Visibility::kCausal);
    EXPECT_FALSE((*attention)->needs_whole_document());
    EXPECT_FALSE((*attention)->needs_two_passes());
    EXPECT_FALSE((*attention)->keeps_source_model());
    EXPECT_FALSE((*attention)->is_convex());
    EXPECT_EQ((*attention)->reach_tokens(), 1);
    EXPECT_THAT((*attention)->unused_options(),
                ::testing::Not(::testing::Contains("visibility")));
  }
}

std::string Folder() {
  return absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/delta_net");
}

std::shared_ptr<const Model> LoadFamily() {
  auto model = Model::Load({.directory = Folder(), .without_tokenizer = true});
  LH_CHECK(model.ok());
  return *model;
}

std::unique_ptr<const Attention> MakeFor(const Model& model) {
  const ModelConfig& config = model.config();
  auto attention = (**AttentionRegistry().Find("delta_net"))(
      {.num_heads = config.num_heads,
       .head_dim = config.head_dim(),
       .num_layers = config.num_layers,
       .extras = model.layer_extras()});
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

// Chunks of at most chunk_rows own tokens, with `overlap` tokens of the
// document around them.
std::vector<ChunkInput> Cut(const Model& model, const std::vector<int32_t>& ids,
                            int chunk_rows, int overlap = 0) {
  std::vector<ChunkInput> chunks;
  const int tokens = static_cast<int>(ids.size());
  for (int begin = 0; begin < tokens; begin += chunk_rows) {
    const int end = std::min(tokens, begin + chunk_rows);
    const int first = std::max(0, begin - overlap);
    const int last = std::min(tokens, end + overlap);
    ChunkInput chunk;
    chunk.ids.assign(ids.begin() + first, ids.begin() + last);
    chunk.position_ids = model.PositionIds(chunk.ids, first);
    chunk.own_begin = begin - first;
    chunk.own_end = end - first;
    chunk.first_token = begin;
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

// The own rows' last hidden states, one after the other.
void AppendOwn(const ForwardPass& pass, int hidden, std::vector<float>* out) {
  for (int i = 0; i < pass.num_chunks(); ++i) {
    out->insert(out->end(), pass.hidden(i) + pass.input(i).own_begin * hidden,
                pass.hidden(i) + pass.input(i).own_end * hidden);
  }
}

// In batches of `step` chunks, each knowing the last state alone.
std::vector<float> RunDocument(const std::shared_ptr<const Model>& model,
                               const std::vector<ChunkInput>& chunks,
                               size_t step, testing::States* left = nullptr) {
  const auto attention = MakeFor(*model);
  ComputeContext compute;
  testing::States states;
  std::vector<float> result;
  while (states.size() < chunks.size()) {
    const size_t begin = states.size();
    const size_t end = std::min(chunks.size(), begin + step);
    testing::States known = states;
    for (size_t i = 0; i + 1 < known.size(); ++i) known[i].reset();
    ForwardPass pass(
        model, attention.get(),
        {chunks.begin() + int64_t(begin), chunks.begin() + int64_t(end)}, known,
        {});
    pass.RunAll(compute);
    AppendOwn(pass, model->config().hidden_size, &result);
    for (int i = 0; i < pass.num_chunks(); ++i) states.push_back(pass.state(i));
  }
  if (left != nullptr) *left = states;
  return result;
}

std::vector<int32_t> RandomIds(int tokens) {
  std::mt19937 random(2);
  std::uniform_int_distribution<int32_t> id(0, 299);
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (int32_t& value : ids) value = id(random);
  return ids;
}

// The published model reads a document as one sequence; so does this one,
// wherever it is cut.
TEST(DeltaNetFamily, ChunksMakeNoDifference) {
  const auto model = LoadFamily();
  const testing::GoldenFile cases(Folder() + "/cases.safetensors");
  int checked = 0;
  for (int i = 0; cases.Has(absl::StrCat("case", i, ".input_ids")); ++i) {
    const std::string name = absl::StrCat("case", i);
    const int64_t tokens = cases.shape(name + ".input_ids")[1];
    const auto all_ids = cases.Ints(name + ".input_ids");
    const std::vector<int32_t> ids(all_ids.begin(), all_ids.begin() + tokens);
    const auto expected = cases.Floats(name + ".last_hidden_state");
    for (int chunk_rows : {1, 2, 3, 16, 128}) {
      const auto actual =
          RunDocument(model, Cut(*model, ids, chunk_rows), 1000);
      ASSERT_EQ(actual.size(), expected.size() / 2);
      EXPECT_LE(testing::MaxAbsDifference(actual.data(), expected.data(),
                                          actual.size()),
                2e-4)
          << name << " in chunks of " << chunk_rows;
      ++checked;
    }
  }
  EXPECT_GE(checked, 20);
}

TEST(DeltaNetFamily, AppendEqualsWhole) {
  const auto model = LoadFamily();
  for (int chunk_rows : {1, 16}) {
    const auto chunks = Cut(*model, RandomIds(11 * chunk_rows), chunk_rows);
    const auto whole = RunDocument(model, chunks, 1000);
    for (size_t step : {1, 2, 3, 5, 10}) {
      EXPECT_EQ(RunDocument(model, chunks, step), whole) << step;
    }
  }
}

// Tokens that only give a chunk its context read and do not write.
TEST(DeltaNetFamily, ForeignRowsLeaveNoTrace) {
  const auto model = LoadFamily();
  const auto ids = RandomIds(60);
  const auto plain = RunDocument(model, Cut(*model, ids, 16), 1000);
  const auto overlapping = RunDocument(model, Cut(*model, ids, 16, 5), 1000);
  ASSERT_EQ(overlapping.size(), plain.size());
  EXPECT_LE(
      testing::MaxAbsDifference(overlapping.data(), plain.data(), plain.size()),
      1e-4);
}

TEST(DeltaNetFamily, QuestionsAreLikeTheNextChunk) {
  const auto model = LoadFamily();
  auto chunks = Cut(*model, RandomIds(64), 16);
  const auto whole = RunDocument(model, chunks, 1000);
  ChunkInput question = chunks.back();
  question.first_token = 0;
  chunks.pop_back();
  testing::States states;
  RunDocument(model, chunks, 1000, &states);
  for (size_t i = 0; i + 1 < states.size(); ++i) states[i].reset();
  const QuestionAttention asking(MakeFor(*model));
  ForwardPass pass(model, &asking, {question, question}, states,
                   {.kind = PassKind::kRetrieve, .first = 3});
  ComputeContext compute;
  pass.RunAll(compute);
  const size_t size = whole.size() / 4;
  for (int i : {0, 1}) {
    EXPECT_EQ(std::vector<float>(pass.hidden(i), pass.hidden(i) + size),
              std::vector<float>(whole.end() - int64_t(size), whole.end()));
  }
}

// The same on BERT, whose weights are not made for it.
TEST(DeltaNet, AppendEqualsWholeOnOtherModels) {
  const testing::MechanismOnModel bert("delta_net");
  ASSERT_TRUE(bert.is_on_bert());
  const auto attention = bert.MakeDefault();
  const auto chunks =
      bert.RandomChunks({16, 30, 1, 9, 16, 128, 3, 16, 16, 5, 40}, 6);
  const testing::Hidden whole = bert.Forward(*attention, chunks);
  for (size_t step : {1, 2, 3, 5, 10}) {
    EXPECT_EQ(bert.Append(*attention, chunks, step), whole) << step;
  }
}

}  // namespace
}  // namespace longhand
