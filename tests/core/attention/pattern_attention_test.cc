// The mechanisms that are patterns over exact softmax attention, and hopfield,
// against their twin; and what they promise about batches and single chunks.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/core/attention/conformance_harness.h"
#include "tests/core/attention/layer_harness.h"
#include "tests/core/attention/pattern_twin.h"

namespace longhand {
namespace {

using testing::Hidden;
using testing::LayerHarness;
using testing::MakePatternTwin;
using testing::PatternSetting;
using testing::PatternTwin;

constexpr Visibility kVisibilities[] = {
    Visibility::kCausal, Visibility::kBidirectional, Visibility::kTwoPass};

// Those of the layer harnesses.
const AttentionOptions kSizes = {
    .num_heads = 2, .head_dim = 16, .num_layers = 1};

std::unique_ptr<const Attention> Make(const PatternSetting& setting,
                                      const AttentionOptions& sizes,
                                      Visibility visibility) {
  auto attention = (**AttentionRegistry().Find(setting.mechanism))(
      testing::WithSetting(sizes, setting, visibility));
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

const testing::MechanismOnModel& TinyModel() {
  static const auto* const model = new testing::MechanismOnModel("full");
  return *model;
}

std::unique_ptr<const Attention> OnTinyModel(const PatternSetting& setting,
                                             Visibility visibility) {
  return Make(setting, TinyModel().Options({}), visibility);
}

class PatternAttention : public ::testing::TestWithParam<PatternSetting> {};

TEST_P(PatternAttention, MatchesItsTwin) {
  const std::vector<int> documents[] = {
      {12, 20, 5, 16, 3, 33}, {1, 1, 2, 1, 7, 1}, {90, 1, 70, 4}, {40}};
  uint32_t number = 50;
  for (const std::vector<int>& rows : documents) {
    LayerHarness harness(2, 16, 1.0f, number++);
    harness.AddChunks(rows);
    for (Visibility visibility : kVisibilities) {
      const auto attention = Make(GetParam(), kSizes, visibility);
      const PatternTwin twin = MakePatternTwin(harness, GetParam(), visibility);
      std::vector<std::vector<float>> weights;
      const auto contexts = harness.Run(*attention, "f32", &weights);
      EXPECT_LE(testing::MaxDifference(contexts, twin.contexts), 1e-4)
          << VisibilityName(visibility) << " of " << rows.size() << " chunks";
      EXPECT_LE(testing::MaxDifference(weights, twin.weights), 1e-4)
          << VisibilityName(visibility) << " of " << rows.size() << " chunks";
      EXPECT_EQ(harness.Run(*attention), contexts) << "without weights";
    }
  }
}

// More keys than are taken together, from chunks that are large and small.
TEST_P(PatternAttention, LongDocumentsMatchTheirTwin) {
  if (GetParam().mechanism == "hopfield") {
    GTEST_SKIP() << "it takes each chunk by itself";
  }
  LayerHarness harness(1, 8, 1.0f, 60);
  harness.AddChunks({5000, 3, 200, 90, 20, 30, 5000, 70});
  const AttentionOptions sizes = {
      .num_heads = 1, .head_dim = 8, .num_layers = 1};
  const auto attention = Make(GetParam(), sizes, Visibility::kCausal);
  const PatternTwin twin =
      MakePatternTwin(harness, GetParam(), Visibility::kCausal, /*first=*/7);
  std::vector<std::vector<float>> weights;
  const auto contexts = harness.Run(*attention, "f32", &weights);
  EXPECT_LE(testing::MaxDifference({contexts[7]}, {twin.contexts[7]}), 1e-4);
  EXPECT_LE(testing::MaxDifference({weights[7]}, {twin.weights[7]}), 1e-4);
}

TEST_P(PatternAttention, CodecsStayNear) {
  LayerHarness harness(2, 16, 0.7f, 61);
  harness.AddChunks({32, 40, 25, 36});
  const auto attention = Make(GetParam(), kSizes, Visibility::kBidirectional);
  const PatternTwin twin =
      MakePatternTwin(harness, GetParam(), Visibility::kBidirectional);
  EXPECT_LE(
      testing::MaxDifference(harness.Run(*attention, "bf16"), twin.contexts),
      2e-2);
}

TEST_P(PatternAttention, CausalAppendEqualsWhole) {
  const auto chunks =
      TinyModel().RandomChunks({16, 16, 9, 1, 30, 2, 16, 3, 16}, 3);
  const auto attention = OnTinyModel(GetParam(), Visibility::kCausal);
  const Hidden whole = TinyModel().Append(*attention, chunks, chunks.size());
  for (size_t step : {1, 3}) {
    EXPECT_EQ(TinyModel().Append(*attention, chunks, step), whole) << step;
  }
}

TEST_P(PatternAttention, CausalChunksIgnoreWhatFollows) {
  const auto chunks = TinyModel().RandomChunks({16, 16, 40, 12}, 4);
  const auto attention = OnTinyModel(GetParam(), Visibility::kCausal);
  const Hidden whole = TinyModel().Append(*attention, chunks, chunks.size());
  const Hidden part =
      TinyModel().Append(*attention, {chunks.begin(), chunks.begin() + 2}, 2);
  EXPECT_EQ(part[0], whole[0]);
  EXPECT_EQ(part[1], whole[1]);
}

TEST_P(PatternAttention, TwoPassBatchesDoNotMatter) {
  const auto chunks = TinyModel().RandomChunks({16, 12, 9, 16, 16}, 8);
  const auto attention = OnTinyModel(GetParam(), Visibility::kTwoPass);
  EXPECT_EQ(TinyModel().TwoPasses(*attention, chunks, 2),
            TinyModel().TwoPasses(*attention, chunks, 5));
}

TEST_P(PatternAttention, OneChunkIsTheSameInEveryVisibility) {
  const auto chunks = TinyModel().RandomChunks({50}, 9);
  const Hidden causal = TinyModel().Append(
      *OnTinyModel(GetParam(), Visibility::kCausal), chunks, 1);
  const Hidden bidirectional = TinyModel().Append(
      *OnTinyModel(GetParam(), Visibility::kBidirectional), chunks, 1);
  const Hidden two_pass = TinyModel().TwoPasses(
      *OnTinyModel(GetParam(), Visibility::kTwoPass), chunks, 1);
  EXPECT_EQ(bidirectional, two_pass);
  // The end of a causal document is nowhere.
  if (GetParam().mechanism == "random_blocks") return;
  EXPECT_EQ(causal, two_pass);
}

TEST_P(PatternAttention, WhereEverythingIsSeenOneChunkIsTheSourceModel) {
  const auto chunks = TinyModel().RandomChunks({50}, 9);
  const auto attention = OnTinyModel(GetParam(), Visibility::kCausal);
  bool sees_all = GetParam().update_steps == 0;
  for (int64_t q = 0; q < 48; ++q) {
    for (int64_t k = 0; k < 48; ++k) {
      sees_all = sees_all && GetParam().sees({48, Visibility::kCausal}, q, k);
    }
  }
  const Hidden source = TinyModel().Append(
      *OnTinyModel({.mechanism = "independent"}, Visibility::kCausal), chunks,
      1);
  EXPECT_EQ(TinyModel().Append(*attention, chunks, 1) == source, sees_all);
  EXPECT_TRUE(sees_all || !attention->keeps_source_model());
}

TEST_P(PatternAttention, SaysWhichOptionsItUses) {
  const auto attention = OnTinyModel(GetParam(), Visibility::kCausal);
  EXPECT_TRUE(attention->exchanges());
  EXPECT_TRUE(attention->is_convex());
  EXPECT_EQ(attention->retrieval().visibility, Visibility::kCausal);
  const auto used = attention->mechanism_options();
  for (const MechanismField& field : MechanismFields()) {
    if (!(GetParam().options.*field.value)) continue;
    EXPECT_EQ(std::count(used.begin(), used.end(), field.name), 1)
        << field.name;
  }
  for (std::string_view name : attention->unused_options()) {
    EXPECT_NE(name, "state_codec");
    EXPECT_NE(name, "state_rank");
    EXPECT_NE(name, "visibility");
  }
}

INSTANTIATE_TEST_SUITE_P(Settings, PatternAttention,
                         ::testing::ValuesIn(testing::PatternSettings()),
                         [](const auto& parameter) {
                           std::string name = parameter.param.name;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

// Too many rows for a square of scores: they are computed in runs.
TEST(FullAttention, LongChunksMatchTheirTwin) {
  constexpr int kRows = 8300, kDim = 8;
  LayerHarness harness(1, kDim, 1.0f, 70);
  harness.AddChunks({kRows});
  const AttentionOptions sizes = {
      .num_heads = 1, .head_dim = kDim, .num_layers = 1};
  const auto contexts =
      harness.Run(*Make({.mechanism = "full"}, sizes, Visibility::kCausal));
  const auto part = [&](int row, int number) {
    const float* begin =
        harness.chunks()[0].qkv.data() + (row * 3 + number) * kDim;
    return std::vector<double>(begin, begin + kDim);
  };
  std::vector<testing::TwinKey> keys;
  for (int row = 0; row < kRows; ++row) {
    keys.push_back({part(row, 1), part(row, 2)});
  }
  for (int row : {0, 1, 255, 256, 4000, kRows - 1}) {
    const std::vector<double> context = testing::TwinMix(
        testing::TwinWeights(part(row, 0), keys), keys, &testing::TwinKey::v);
    for (int i = 0; i < kDim; ++i) {
      EXPECT_NEAR(contexts[0][size_t(row * kDim + i)], context[size_t(i)], 1e-4)
          << row;
    }
  }
}

TEST(FixedAttention, SummaryLongerThanItsStretchIsRefused) {
  const PatternSetting setting = {
      .mechanism = "fixed",
      .options = {.stride_tokens = 8, .summary_tokens = 9}};
  const auto status = (**AttentionRegistry().Find("fixed"))(
                          WithSetting(kSizes, setting, Visibility::kCausal))
                          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail);
  EXPECT_EQ(detail->reason, "MECHANISM_OPTIONS");
}

TEST(SlidingWindow, ReachesAsFarAsItsWindow) {
  const auto attention =
      Make({.mechanism = "sliding_window", .options = {.window_tokens = 5}},
           kSizes, Visibility::kCausal);
  EXPECT_EQ(attention->reach_tokens(), 5);
}

}  // namespace
}  // namespace longhand
