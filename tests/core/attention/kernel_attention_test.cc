// The mechanisms linear and performer against their formulas in double, token
// by token and without sums; documents that grow, questions, huge logits.

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/random_features.h"
#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/session/question_attention.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/attention/conformance_harness.h"
#include "tests/core/attention/layer_harness.h"

namespace longhand {
namespace {

using testing::MaxDifference;
using Vector = std::vector<double>;
using Contexts = std::vector<std::vector<double>>;
// The logs of a row's features.
using LogFeatures = std::function<Vector(const Vector&)>;

constexpr int kFeatures = 50;
constexpr int kSeed = 3;

double LogSumExp(const Vector& x) {
  const double most = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double value : x) sum += std::exp(value - most);
  return most + std::log(sum);
}

Vector LogElu(const Vector& x) {
  Vector y = x;
  for (double& value : y) value = value > 0 ? std::log1p(value) : value;
  return y;
}

LogFeatures PositiveFeatures(int dim) {
  const FloatBuffer drawn = DrawOrthogonalFeatures(
      {.seed = kSeed, .layer = 0, .features = kFeatures, .dim = dim});
  const std::vector<float> w(drawn.span().begin(), drawn.span().end());
  return [w, dim](const Vector& x) {
    const double scale = std::pow(dim, -0.25);
    const double square =
        std::inner_product(x.begin(), x.end(), x.begin(), 0.0) * scale * scale;
    Vector y;
    for (size_t f = 0; f < w.size() / x.size(); ++f) {
      double dot = 0;
      for (size_t i = 0; i < x.size(); ++i) dot += w[f * x.size() + i] * x[i];
      y.push_back(dot * scale - square / 2);
    }
    return y;
  };
}

LogFeatures FeaturesOf(const std::string& mechanism, int dim) {
  return mechanism == "linear" ? LogFeatures(LogElu) : PositiveFeatures(dim);
}

Vector RowOf(const testing::LayerHarness& harness, int chunk, int row, int part,
             int head) {
  const float* begin = harness.chunks()[size_t(chunk)].qkv.data() +
                       (row * 3 + part) * harness.hidden() +
                       head * harness.head_dim();
  return Vector(begin, begin + harness.head_dim());
}

// A key that a query may see, by its features, and its value.
struct Key {
  int chunk;
  bool is_own;
  Vector log_features;
  Vector value;
};

std::vector<Key> AllKeys(const testing::LayerHarness& harness, int head,
                         const LogFeatures& features) {
  std::vector<Key> keys;
  for (int i = 0; i < int(harness.chunks().size()); ++i) {
    const testing::HarnessChunk& chunk = harness.chunks()[size_t(i)];
    for (int r = 0; r < chunk.rows; ++r) {
      keys.push_back({i, r >= chunk.own_begin && r < chunk.own_end,
                      features(RowOf(harness, i, r, 1, head)),
                      RowOf(harness, i, r, 2, head)});
    }
  }
  return keys;
}

// A query of `chunk` over all that it sees.
Vector Attend(const Vector& log_query, int chunk, bool causal,
              const std::vector<Key>& keys) {
  Vector logs;
  std::vector<const Key*> seen;
  for (const Key& key : keys) {
    const bool sees =
        key.chunk == chunk || (key.is_own && (!causal || key.chunk < chunk));
    if (!sees) continue;
    Vector terms = log_query;
    for (size_t f = 0; f < terms.size(); ++f) terms[f] += key.log_features[f];
    logs.push_back(LogSumExp(terms));
    seen.push_back(&key);
  }
  const double all = LogSumExp(logs);
  Vector out(keys[0].value.size());
  for (size_t k = 0; k < seen.size(); ++k) {
    for (size_t c = 0; c < out.size(); ++c) {
      out[c] += std::exp(logs[k] - all) * seen[k]->value[c];
    }
  }
  return out;
}

Contexts Twin(const testing::LayerHarness& harness, const LogFeatures& features,
              bool causal) {
  const int d = harness.head_dim();
  Contexts contexts;
  for (const auto& chunk : harness.chunks()) {
    contexts.emplace_back(size_t(chunk.rows * harness.hidden()));
  }
  for (int head = 0; head < harness.heads(); ++head) {
    const std::vector<Key> keys = AllKeys(harness, head, features);
    for (int i = 0; i < int(contexts.size()); ++i) {
      for (int r = 0; r < harness.chunks()[size_t(i)].rows; ++r) {
        const Vector out =
            Attend(features(RowOf(harness, i, r, 0, head)), i, causal, keys);
        std::copy(
            out.begin(), out.end(),
            contexts[size_t(i)].begin() + r * harness.hidden() + head * d);
      }
    }
  }
  return contexts;
}

absl::StatusOr<std::unique_ptr<const Attention>> TryMake(
    const std::string& mechanism, Visibility visibility,
    const testing::LayerHarness& harness, int seed = kSeed) {
  AttentionOptions options{.num_heads = harness.heads(),
                           .head_dim = harness.head_dim(),
                           .num_layers = 1,
                           .retrieval = {.visibility = visibility}};
  options.mechanism.random_features = kFeatures;
  options.mechanism.seed = seed;
  return (**AttentionRegistry().Find(mechanism))(options);
}

std::unique_ptr<const Attention> Make(const std::string& mechanism,
                                      Visibility visibility,
                                      const testing::LayerHarness& harness) {
  auto attention = TryMake(mechanism, visibility, harness);
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

class KernelAttentionTest : public ::testing::TestWithParam<std::string> {};

// Chunks longer than a block of rows, and of one row, among them.
TEST_P(KernelAttentionTest, MatchesTheTwin) {
  for (float scale : {0.5f, 2.0f}) {
    testing::LayerHarness harness(2, 16, scale, 1);
    harness.AddChunks({16, 1, 300, 9, 40});
    const LogFeatures features = FeaturesOf(GetParam(), harness.head_dim());
    for (bool causal : {true, false}) {
      const auto attention = Make(
          GetParam(), causal ? Visibility::kCausal : Visibility::kBidirectional,
          harness);
      EXPECT_LE(MaxDifference(harness.Run(*attention),
                              Twin(harness, features, causal)),
                1e-4 * scale)
          << scale << " " << causal;
    }
  }
}

// Logits far beyond 100. Values are as large as queries and keys are.
TEST_P(KernelAttentionTest, HugeLogitsStayFiniteAndRight) {
  for (float scale : {10.0f, 30.0f, 200.0f}) {
    testing::LayerHarness harness(2, 16, scale, 2);
    harness.AddChunks({20, 7, 300, 20});
    const LogFeatures features = FeaturesOf(GetParam(), harness.head_dim());
    for (bool causal : {true, false}) {
      const auto attention = Make(
          GetParam(), causal ? Visibility::kCausal : Visibility::kBidirectional,
          harness);
      const auto fast = harness.Run(*attention);
      for (const auto& context : fast) {
        for (float value : context) ASSERT_TRUE(std::isfinite(value));
      }
      // What a float can tell of exponents that are this large: the rounding
      // of a log feature becomes a relative error of the feature.
      const double largest_log = std::max(1.0f, scale * scale);
      EXPECT_LE(MaxDifference(fast, Twin(harness, features, causal)),
                2e-6 * largest_log * scale)
          << scale << " " << causal;
    }
  }
}

// Queries and keys that are far from each other in every feature, and keys of
// zeros: without their logs, all products would be 0.
TEST_P(KernelAttentionTest, DenominatorsNeverVanish) {
  testing::LayerHarness opposite(1, 16, 1.0f, 3);
  opposite.AddChunks({8, 8});
  const float far = GetParam() == "linear" ? -200.0f : -60.0f;
  for (int i : {0, 1}) {
    testing::HarnessChunk& chunk = opposite.mutable_chunk(i);
    for (int r = 0; r < chunk.rows; ++r) {
      for (int c = 0; c < 16; ++c) {
        float* row = chunk.qkv.data() + r * 48;
        row[c] += c < 8 ? 5 : far;
        row[16 + c] += c < 8 ? far : 5;
      }
    }
  }
  testing::LayerHarness zero(2, 16, 20.0f, 4);
  zero.AddChunks({8, 8});
  zero.MakeKeysZero();
  for (testing::LayerHarness* harness : {&opposite, &zero}) {
    const auto attention = Make(GetParam(), Visibility::kCausal, *harness);
    EXPECT_LE(MaxDifference(
                  harness->Run(*attention),
                  Twin(*harness, FeaturesOf(GetParam(), harness->head_dim()),
                       /*causal=*/true)),
              2e-3);
  }
}

TEST_P(KernelAttentionTest, OneChunkIsTheTextbookForm) {
  testing::LayerHarness harness(1, 16, 1.0f, 5);
  harness.AddChunks({30});
  const LogFeatures log_features = FeaturesOf(GetParam(), 16);
  const auto phi = [&](int row, int part) {
    Vector y = log_features(RowOf(harness, 0, row, part, 0));
    for (double& value : y) value = std::exp(value);
    return y;
  };
  Vector mass(phi(0, 1).size());
  std::vector<Vector> sums(mass.size(), Vector(16));
  for (int r = 0; r < 30; ++r) {
    const Vector key = phi(r, 1), value = RowOf(harness, 0, r, 2, 0);
    for (size_t f = 0; f < mass.size(); ++f) {
      mass[f] += key[f];
      for (size_t c = 0; c < 16; ++c) sums[f][c] += key[f] * value[c];
    }
  }
  Contexts expected(1);
  for (int r = 0; r < 30; ++r) {
    const Vector query = phi(r, 0);
    const double all =
        std::inner_product(query.begin(), query.end(), mass.begin(), 0.0);
    for (size_t c = 0; c < 16; ++c) {
      double out = 0;
      for (size_t f = 0; f < mass.size(); ++f) out += query[f] * sums[f][c];
      expected[0].push_back(out / all);
    }
  }
  for (Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional}) {
    const auto attention = Make(GetParam(), visibility, harness);
    EXPECT_LE(MaxDifference(harness.Run(*attention), expected), 1e-5);
  }
}

TEST_P(KernelAttentionTest, AppendEqualsWhole) {
  const testing::MechanismOnModel model(GetParam());
  const auto attention = model.Make({});
  const auto chunks =
      model.RandomChunks({16, 30, 1, 9, 16, 128, 3, 16, 16, 5, 40}, 6);
  const testing::Hidden whole = model.Forward(*attention, chunks);
  for (size_t step : {1, 2, 3, 5, 10}) {
    EXPECT_EQ(model.Append(*attention, chunks, step), whole) << step;
  }
  // Another document does not look the same.
  auto changed = chunks;
  changed[0].ids[3] = changed[0].ids[3] == 7 ? 8 : 7;
  const testing::Hidden other = model.Forward(*attention, changed);
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_NE(other[i], whole[i]);
}

// A question sees what the document's next chunk would see.
TEST_P(KernelAttentionTest, QuestionsAreLikeTheNextChunk) {
  const testing::MechanismOnModel model(GetParam());
  auto chunks = model.RandomChunks({16, 30, 9, 20}, 7);
  const testing::Hidden whole = model.Forward(*model.Make({}), chunks);
  ChunkInput question = chunks.back();
  chunks.pop_back();
  testing::States states;
  model.Forward(*model.Make({}), chunks, {}, {}, &states);
  question.first_token = 0;
  const QuestionAttention asking(model.Make({}));
  // Two at a time do not see each other; all but the last state may be gone.
  for (size_t i = 0; i + 1 < states.size(); ++i) states[i].reset();
  const testing::Hidden answers =
      model.Forward(asking, {question, question},
                    {.kind = PassKind::kRetrieve, .first = 3}, states);
  EXPECT_EQ(answers[0], whole[3]);
  EXPECT_EQ(answers[1], whole[3]);
}

TEST_P(KernelAttentionTest, RefusesFirstPassStates) {
  testing::LayerHarness harness(1, 16, 1.0f, 8);
  const absl::Status status =
      TryMake(GetParam(), Visibility::kTwoPass, harness).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail);
  EXPECT_EQ(detail->reason, "RETRIEVAL_OPTIONS");
  for (const char* part : {GetParam().c_str(), "causal", "bidirectional"}) {
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(part));
  }
}

TEST_P(KernelAttentionTest, SaysWhatItIs) {
  testing::LayerHarness harness(2, 16, 1.0f, 9);
  const auto attention = Make(GetParam(), Visibility::kCausal, harness);
  EXPECT_TRUE(attention->exchanges());
  EXPECT_TRUE(attention->is_convex());
  EXPECT_FALSE(attention->keeps_source_model());
  EXPECT_FALSE(attention->reports_weights());
  EXPECT_EQ(attention->reach_tokens(), 1);
  // All of a state are meta values, however long the chunk is.
  const int64_t features = GetParam() == "linear" ? 16 : kFeatures;
  for (int rows : {1, 1000}) {
    const StateLayout layout = attention->state_layout(rows);
    EXPECT_EQ(layout.meta_floats, 2 * features * (16 + 2));
    EXPECT_EQ(layout.floats(), layout.meta_floats);
  }
  EXPECT_THAT(attention->unused_options(),
              ::testing::IsSupersetOf({"gate", "top_k", "state_codec"}));
  EXPECT_THAT(attention->unused_options(),
              ::testing::Not(::testing::Contains("visibility")));
}

INSTANTIATE_TEST_SUITE_P(Mechanisms, KernelAttentionTest,
                         ::testing::Values("linear", "performer"),
                         [](const auto& parameter) { return parameter.param; });

TEST(Performer, SeedsDrawOtherFeatures) {
  testing::LayerHarness harness(2, 16, 1.0f, 10);
  harness.AddChunks({16, 9});
  const auto with_seed = [&](int seed) {
    return harness.Run(
        **TryMake("performer", Visibility::kCausal, harness, seed));
  };
  EXPECT_EQ(with_seed(1), with_seed(1));
  EXPECT_NE(with_seed(1), with_seed(2));
}

TEST(Performer, LooksAtItsOptions) {
  testing::LayerHarness harness(1, 32, 1.0f, 11);
  EXPECT_THAT(
      Make("performer", Visibility::kCausal, harness)->mechanism_options(),
      ::testing::ElementsAre("random_features", "seed"));
  EXPECT_TRUE(Make("linear", Visibility::kCausal, harness)
                  ->mechanism_options()
                  .empty());
  // d ln d features where none are asked for.
  const auto attention = (**AttentionRegistry().Find("performer"))(
      {.num_heads = 1, .head_dim = 32, .num_layers = 1});
  ASSERT_TRUE(attention.ok());
  EXPECT_EQ((*attention)->state_layout(1).meta_floats, 110 * (32 + 2));
}

}  // namespace
}  // namespace longhand
