// The mechanisms of the family `bsbr` against a slow twin: the whole model in
// double, from the formulas, over all pairs of tokens and all pairs of chunks.
// That the published form is the package's is for parity_test.cc to say.

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "core/state/state_codec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

std::string Folder(const std::string& name) {
  return absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/", name);
}

std::shared_ptr<const Model> Load(const std::string& name) {
  auto model =
      Model::Load({.directory = Folder(name), .without_tokenizer = true});
  LH_CHECK(model.ok());
  return *model;
}

absl::StatusOr<std::unique_ptr<const Attention>> TryMake(
    const Model& model, const std::string& mechanism, Visibility visibility) {
  const ModelConfig& config = model.config();
  return (**AttentionRegistry().Find(mechanism))(
      {.num_heads = config.num_heads,
       .head_dim = config.head_dim(),
       .num_layers = config.num_layers,
       .retrieval = {.visibility = visibility},
       .extras = model.layer_extras()});
}

std::unique_ptr<const Attention> Make(const Model& model, bool causal) {
  auto attention =
      causal ? TryMake(model, "bsbr_causal", Visibility::kCausal)
             : TryMake(model, "bsbr_reference", Visibility::kBidirectional);
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

std::vector<int32_t> RandomIds(int tokens, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> id(0, 299);
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (int32_t& value : ids) value = id(random);
  return ids;
}

std::vector<ChunkInput> Cut(const Model& model, const std::vector<int32_t>& ids,
                            int chunk_rows) {
  std::vector<ChunkInput> chunks;
  for (size_t begin = 0; begin < ids.size(); begin += size_t(chunk_rows)) {
    const size_t end = std::min(ids.size(), begin + size_t(chunk_rows));
    ChunkInput chunk;
    chunk.ids.assign(ids.begin() + int64_t(begin), ids.begin() + int64_t(end));
    chunk.position_ids = model.PositionIds(chunk.ids, int64_t(begin));
    chunk.own_end = chunk.rows();
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

void Append(const ForwardPass& pass, int hidden, std::vector<float>* out) {
  for (int i = 0; i < pass.num_chunks(); ++i) {
    out->insert(out->end(), pass.hidden(i),
                pass.hidden(i) + int64_t{pass.rows(i)} * hidden);
  }
}

// Row-major.
struct Matrix {
  Matrix(int num_rows, int num_columns)
      : rows(num_rows),
        columns(num_columns),
        values(size_t(num_rows) * size_t(num_columns)) {}

  double& at(int r, int c) { return values[size_t(r) * columns + c]; }
  double at(int r, int c) const { return values[size_t(r) * columns + c]; }

  int rows, columns;
  std::vector<double> values;
};

// In place: softmax of a row over the columns that `visible` keeps, 0 in the
// others.
template <typename Visible>
void MaskedSoftmax(const Visible& visible, double* row, int columns) {
  double largest = -1e300, sum = 0;
  for (int c = 0; c < columns; ++c) {
    if (visible(c)) largest = std::max(largest, row[c]);
  }
  for (int c = 0; c < columns; ++c) {
    row[c] = visible(c) ? std::exp(row[c] - largest) : 0;
    sum += row[c];
  }
  for (int c = 0; c < columns && sum > 0; ++c) row[c] /= sum;
}

class Twin {
 public:
  Twin(const std::string& folder, int chunk_rows, bool causal)
      : file_(Folder(folder) + "/model.safetensors"),
        chunk_rows_(chunk_rows),
        causal_(causal) {}

  // [tokens, hidden].
  Matrix Forward(const std::vector<int32_t>& ids) {
    weights_.clear();
    Matrix x(int(ids.size()), kHidden);
    const std::vector<float> table = file_.Floats("embedding.weight");
    for (int t = 0; t < x.rows; ++t) {
      for (int i = 0; i < kHidden; ++i) {
        // The angle in float, as the package makes it.
        const float frequency =
            std::exp(float(i / 2 * 2) * float(-std::log(10000.0) / kHidden));
        const double angle = float(t) * frequency;
        x.at(t, i) = table[size_t(ids[t]) * kHidden + i] +
                     (i % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    }
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::string name = absl::StrCat("layers.", layer, ".");
      Add(Attend(Normalized(x, name + "layer_norm1"), name + "attention."), &x);
      Matrix inner = Linear(Normalized(x, name + "layer_norm2"), name + "ff.0");
      for (double& value : inner.values) {
        value *= 0.5 * (1 + std::erf(value / std::sqrt(2.0)));
      }
      Add(Linear(inner, name + "ff.3"), &x);
    }
    return Normalized(x, "layer_norm");
  }

  // P by layer and head, [chunks, chunks].
  const std::vector<Matrix>& weights() const { return weights_; }

  static constexpr int kHidden = 64, kHeads = 4, kLayers = 2;
  static constexpr int kHeadDim = kHidden / kHeads;

 private:
  static void Add(const Matrix& y, Matrix* x) {
    for (size_t i = 0; i < y.values.size(); ++i) x->values[i] += y.values[i];
  }

  Matrix Normalized(const Matrix& x, const std::string& name) {
    const std::vector<float> scale = file_.Floats(name + ".weight");
    const std::vector<float> bias = file_.Floats(name + ".bias");
    Matrix y = x;
    for (int r = 0; r < x.rows; ++r) {
      double mean = 0, variance = 0;
      for (int i = 0; i < kHidden; ++i) mean += x.at(r, i) / kHidden;
      for (int i = 0; i < kHidden; ++i) {
        variance += (x.at(r, i) - mean) * (x.at(r, i) - mean) / kHidden;
      }
      for (int i = 0; i < kHidden; ++i) {
        y.at(r, i) =
            (x.at(r, i) - mean) / std::sqrt(variance + 1e-5) * scale[i] +
            bias[i];
      }
    }
    return y;
  }

  Matrix Linear(const Matrix& x, const std::string& name) {
    const std::vector<float> weights = file_.Floats(name + ".weight");
    const std::vector<float> bias = file_.Floats(name + ".bias");
    Matrix y(x.rows, int(bias.size()));
    for (int r = 0; r < y.rows; ++r) {
      for (int o = 0; o < y.columns; ++o) {
        double sum = bias[o];
        for (int i = 0; i < x.columns; ++i) {
          sum += weights[size_t(o) * x.columns + i] * x.at(r, i);
        }
        y.at(r, o) = sum;
      }
    }
    return y;
  }

  // x: normalised. All chunks are full: zeros fill the last one up.
  Matrix Attend(const Matrix& x, const std::string& name) {
    const int chunks = (x.rows + chunk_rows_ - 1) / chunk_rows_;
    Matrix last(chunks, kHidden);
    for (int j = 0; j < chunks; ++j) {
      const int row = std::min((j + 1) * chunk_rows_, x.rows) - 1;
      for (int i = 0; i < kHidden; ++i) last.at(j, i) = x.at(row, i);
    }
    const auto project = [&](const std::string& linear) {
      Matrix y = Linear(x, name + linear);
      y.rows = chunks * chunk_rows_;
      y.values.resize(size_t(y.rows) * kHidden);
      return y;
    };
    const Matrix q = project("q_proj"), k = project("k_proj"),
                 v = project("v_proj"),
                 meta_query = Linear(last, name + "meta_r_proj"),
                 meta_key = Linear(last, name + "meta_h_proj");
    Matrix context(x.rows, kHidden);
    for (int head = 0; head < kHeads; ++head) {
      LocalHead(q, k, v, head, &context);
      const Matrix states =
          Retrieve(States(k, v, head, name), meta_query, meta_key, head, name);
      for (int t = 0; t < x.rows; ++t) {
        const int chunk = t / chunk_rows_;
        if (causal_ && chunk == 0) continue;
        for (int a = 0; a < kHeadDim; ++a) {
          for (int b = 0; b < kHeadDim; ++b) {
            context.at(t, head * kHeadDim + b) +=
                q.at(t, head * kHeadDim + a) *
                states.at(chunk, a * kHeadDim + b);
          }
        }
      }
    }
    return Linear(context, name + "out_proj");
  }

  // One row of the tokens x tokens matrix at a time.
  void LocalHead(const Matrix& q, const Matrix& k, const Matrix& v, int head,
                 Matrix* context) const {
    std::vector<double> scores(static_cast<size_t>(q.rows));
    for (int t = 0; t < context->rows; ++t) {
      const auto visible = [&](int s) {
        return s / chunk_rows_ == t / chunk_rows_ &&
               (causal_ ? s <= t : s >= t);
      };
      for (int s = 0; s < q.rows; ++s) {
        if (visible(s)) scores[size_t(s)] = Dot(q, t, k, s, head);
      }
      MaskedSoftmax(visible, scores.data(), q.rows);
      for (int s = 0; s < q.rows; ++s) {
        if (scores[size_t(s)] == 0) continue;
        for (int i = head * kHeadDim; i < (head + 1) * kHeadDim; ++i) {
          context->at(t, i) += scores[size_t(s)] * v.at(s, i);
        }
      }
    }
  }

  static double Dot(const Matrix& a, int r, const Matrix& b, int s, int head) {
    double sum = 0;
    for (int i = head * kHeadDim; i < (head + 1) * kHeadDim; ++i) {
      sum += a.at(r, i) * b.at(s, i);
    }
    return sum / std::sqrt(double{kHeadDim});
  }

  // K^T V by chunk, compressed if the model does so.
  Matrix States(const Matrix& k, const Matrix& v, int head,
                const std::string& name) {
    Matrix states(k.rows / chunk_rows_, kHeadDim * kHeadDim);
    for (int t = 0; t < k.rows; ++t) {
      for (int a = 0; a < kHeadDim; ++a) {
        for (int b = 0; b < kHeadDim; ++b) {
          states.at(t / chunk_rows_, a * kHeadDim + b) +=
              k.at(t, head * kHeadDim + a) * v.at(t, head * kHeadDim + b);
        }
      }
    }
    const bool compresses = file_.Has(name + "compress_proj.weight");
    return compresses ? Linear(states, name + "compress_proj") : states;
  }

  // What each chunk retrieves, [chunks, head_dim^2].
  Matrix Retrieve(const Matrix& states, const Matrix& meta_query,
                  const Matrix& meta_key, int head, const std::string& name) {
    Matrix p(states.rows, states.rows);
    Matrix mixed(states.rows, states.columns);
    for (int i = 0; i < p.rows; ++i) {
      for (int j = 0; j < p.rows; ++j) {
        p.at(i, j) = Dot(meta_query, i, meta_key, j, head);
      }
      MaskedSoftmax([&](int j) { return causal_ ? j < i : j >= i; },
                    &p.at(i, 0), p.rows);
      for (int j = 0; j < p.rows; ++j) {
        for (int c = 0; c < states.columns; ++c) {
          mixed.at(i, c) += p.at(i, j) * states.at(j, c);
        }
      }
    }
    weights_.push_back(p);
    const bool compresses = file_.Has(name + "decompress_proj.weight");
    return compresses ? Linear(mixed, name + "decompress_proj") : mixed;
  }

  const testing::GoldenFile file_;
  const int chunk_rows_;
  const bool causal_;
  std::vector<Matrix> weights_;
};

struct Case {
  const char* folder;
  bool causal;
  int chunk_rows;
  int tokens;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.folder << (c.causal ? " causal" : " published") << ", chunks of "
       << c.chunk_rows << ", " << c.tokens << " tokens";
}

class BsbrTwinTest : public ::testing::TestWithParam<Case> {};

TEST_P(BsbrTwinTest, FastEqualsSlow) {
  const Case& c = GetParam();
  const auto model = Load(c.folder);
  const auto attention = Make(*model, c.causal);
  const std::vector<int32_t> ids = RandomIds(c.tokens, 1);
  ForwardPass pass(model, attention.get(), Cut(*model, ids, c.chunk_rows), {},
                   {.chunk_rows = c.chunk_rows,
                    .retrieval_weights = true,
                    .head_weights = true});
  ComputeContext compute;
  pass.RunAll(compute);
  std::vector<float> fast;
  Append(pass, Twin::kHidden, &fast);

  Twin twin(c.folder, c.chunk_rows, c.causal);
  const Matrix slow = twin.Forward(ids);
  ASSERT_EQ(fast.size(), slow.values.size());
  const std::vector<float> expected(slow.values.begin(), slow.values.end());
  EXPECT_LE(
      testing::MaxAbsDifference(fast.data(), expected.data(), fast.size()),
      2e-4);

  // A head's weights are P, a chunk's their mean.
  double worst = 0;
  for (int i = 0; i < pass.num_chunks(); ++i) {
    std::vector<double> mean(size_t(pass.num_chunks()));
    for (size_t head = 0; head < twin.weights().size(); ++head) {
      for (int j = 0; j < pass.num_chunks(); ++j) {
        const double p = twin.weights()[head].at(i, j);
        const size_t place = head * size_t(pass.num_chunks()) + size_t(j);
        worst = std::max(worst, std::abs(pass.head_weights(i)[place] - p));
        mean[size_t(j)] += p / double(twin.weights().size());
      }
    }
    for (int j = 0; j < pass.num_chunks(); ++j) {
      worst = std::max(
          worst, std::abs(pass.retrieval_weights(i)[j] - mean[size_t(j)]));
    }
  }
  EXPECT_LE(worst, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BsbrTwinTest,
    ::testing::Values(Case{"bsbr", false, 16, 1}, Case{"bsbr", true, 16, 1},
                      Case{"bsbr", false, 16, 5035},
                      Case{"bsbr", true, 16, 5035},
                      Case{"bsbr", false, 100, 1950},
                      Case{"bsbr", true, 100, 1950}, Case{"bsbr", false, 7, 20},
                      Case{"bsbr", true, 7, 20},
                      Case{"bsbr_compressed", false, 16, 1},
                      Case{"bsbr_compressed", false, 16, 1207},
                      Case{"bsbr_compressed", true, 16, 1207},
                      Case{"bsbr_compressed", true, 130, 400}));

// However the document comes in, and in whatever the states are kept.
TEST(BsbrCausal, AppendEqualsWhole) {
  for (const char* folder : {"bsbr", "bsbr_compressed"}) {
    const auto model = Load(folder);
    const auto attention = Make(*model, /*causal=*/true);
    EXPECT_FALSE(attention->needs_whole_document());
    const auto chunks = Cut(*model, RandomIds(16 * 11 + 3, 2), 16);
    ComputeContext compute;
    for (std::string_view name : StateCodecRegistry().Names()) {
      SCOPED_TRACE(absl::StrCat(folder, " ", std::string(name)));
      ForwardPass::Options options;
      options.codec = *(**StateCodecRegistry().Find(std::string(name)))({});
      ForwardPass whole(model, attention.get(), chunks, {}, options);
      whole.RunAll(compute);
      std::vector<float> expected;
      Append(whole, Twin::kHidden, &expected);
      for (size_t step : {1, 3, 5}) {
        std::vector<std::shared_ptr<const ChunkState>> states;
        std::vector<float> actual;
        while (states.size() < chunks.size()) {
          const size_t begin = states.size();
          const size_t end = std::min(chunks.size(), begin + step);
          ForwardPass pass(
              model, attention.get(),
              {chunks.begin() + int64_t(begin), chunks.begin() + int64_t(end)},
              states, options);
          pass.RunAll(compute);
          Append(pass, Twin::kHidden, &actual);
          for (int i = 0; i < pass.num_chunks(); ++i) {
            states.push_back(pass.state(i));
          }
        }
        EXPECT_EQ(actual, expected) << "in steps of " << step;
      }
    }
  }
}

TEST(BsbrReference, NeedsTheWholeDocument) {
  const auto model = Load("bsbr");
  EXPECT_TRUE(Make(*model, /*causal=*/false)->needs_whole_document());
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST(BsbrMechanisms, RefuseOtherModels) {
  const auto bert = Load("bert");
  for (const char* mechanism : {"bsbr_causal", "bsbr_reference"}) {
    for (Visibility visibility :
         {Visibility::kCausal, Visibility::kBidirectional}) {
      const absl::Status status =
          TryMake(*bert, mechanism, visibility).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_EQ(ReasonOf(status), "MECHANISM_UNAVAILABLE");
      EXPECT_THAT(std::string(status.message()),
                  ::testing::HasSubstr("family \"bsbr\""));
    }
    EXPECT_TRUE(bert->CheckMechanism("bsbr").ok());
  }
}

TEST(BsbrMechanisms, KnowOneVisibility) {
  const auto model = Load("bsbr");
  for (Visibility asked : {Visibility::kCausal, Visibility::kBidirectional,
                           Visibility::kTwoPass}) {
    const auto causal = TryMake(*model, "bsbr_causal", asked);
    const auto reference = TryMake(*model, "bsbr_reference", asked);
    ASSERT_TRUE(causal.ok() && reference.ok());
    EXPECT_EQ((*causal)->retrieval().visibility, Visibility::kCausal);
    EXPECT_EQ((*reference)->retrieval().visibility, Visibility::kBidirectional);
  }
}

// Gates and choices of chunks are not looked at.
TEST(BsbrMechanisms, OtherOptionsChangeNothing) {
  const auto model = Load("bsbr");
  const ModelConfig& config = model->config();
  auto chosen = (**AttentionRegistry().Find("bsbr_causal"))(
      {.num_heads = config.num_heads,
       .head_dim = config.head_dim(),
       .num_layers = config.num_layers,
       .retrieval = {.visibility = Visibility::kCausal,
                     .gate = 0.3f,
                     .layers = {1},
                     .top_k = 1,
                     .anchor_share = 0.5f},
       .extras = model->layer_extras()});
  ASSERT_TRUE(chosen.ok());
  const auto plain = Make(*model, /*causal=*/true);
  const auto chunks = Cut(*model, RandomIds(100, 3), 16);
  ComputeContext compute;
  std::vector<float> results[2];
  const Attention* attentions[] = {plain.get(), chosen->get()};
  for (int i : {0, 1}) {
    ForwardPass pass(model, attentions[i], chunks, {}, {});
    pass.RunAll(compute);
    Append(pass, Twin::kHidden, &results[i]);
  }
  EXPECT_EQ(results[0], results[1]);
  for (std::string_view option :
       {"gate", "head_gates", "retrieval_layers", "top_k", "anchor_share"}) {
    EXPECT_THAT(plain->unused_options(), ::testing::Contains(option));
  }
}

}  // namespace
}  // namespace longhand
