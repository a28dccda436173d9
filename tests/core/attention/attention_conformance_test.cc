// What every registered attention mechanism must keep, over all visibilities
// and option sets: a chunk on its own is the source model; batches and earlier
// states do not matter in causal documents; remote chunks have no order in
// bidirectional ones; a first-pass state depends on its chunk alone; contexts
// stay bounded by the values where that is promised. What a mechanism does not
// promise, by its own account, is skipped. Loops over the registry, so that a
// new mechanism is tested for free.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/model/forward_pass.h"
#include "gtest/gtest.h"
#include "tests/core/attention/conformance_harness.h"
#include "tests/core/attention/layer_harness.h"
#include "tests/core/attention/retrieval_variants.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

using testing::Hidden;
using testing::States;

constexpr Visibility kVisibilities[] = {
    Visibility::kCausal, Visibility::kBidirectional, Visibility::kTwoPass};

class AttentionConformance : public ::testing::TestWithParam<std::string>,
                             public testing::MechanismOnModel {
 protected:
  AttentionConformance() : MechanismOnModel(GetParam()) {}

  // What the others need of the suites that append.
  bool KnowsCausal() const { return !Variants(Visibility::kCausal).empty(); }
  // The published BSBR sees what no mechanism of ours does.
  bool SeesAsPublished() const { return mechanism() == "bsbr_reference"; }
};

TEST_P(AttentionConformance, OneChunkIsTheSourceModel) {
  if (!is_on_bert()) GTEST_SKIP() << "its models are made for it";
  if (!MakeDefault()->keeps_source_model()) {
    GTEST_SKIP() << "it is not the source model's attention";
  }
  for (Visibility visibility : kVisibilities) {
    for (const auto& [name, attention] : Variants(visibility)) {
      for (int length : {1, 2, 50}) {
        const auto chunks = RandomChunks({length}, 1);
        EXPECT_EQ(visibility == Visibility::kTwoPass
                      ? TwoPasses(*attention, chunks, 1)
                      : Forward(*attention, chunks),
                  Forward(*MakeIndependent(), chunks))
            << name;
      }
    }
  }
}

TEST_P(AttentionConformance, OneChunkIsFiniteAndRepeats) {
  for (int length : {1, 2, 50}) {
    const auto chunks = RandomChunks({length}, 1);
    const Hidden hidden = Forward(*MakeDefault(), chunks);
    EXPECT_EQ(hidden, Forward(*MakeDefault(), chunks));
    for (float value : hidden[0]) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST_P(AttentionConformance, GateZeroIsIndependentChunks) {
  if (!Uses("gate")) GTEST_SKIP() << "it has no gate";
  const auto chunks = RandomChunks({16, 20, 1, 16, 7}, 2);
  const Hidden independent = Forward(*MakeIndependent(), chunks);
  for (Visibility visibility : kVisibilities) {
    for (const auto& [name, attention] :
         Variants(visibility, [](RetrievalOptions& o) { o.gate = 0; })) {
      EXPECT_FALSE(attention->exchanges());
      EXPECT_EQ(Forward(*attention, chunks), independent) << name;
    }
  }
}

TEST_P(AttentionConformance, CausalAppendEqualsWhole) {
  const auto chunks = RandomChunks({16, 16, 9, 16, 16, 3, 16}, 3);
  const auto variants = Variants(Visibility::kCausal);
  if (variants.empty()) GTEST_SKIP() << "it knows no causal documents";
  for (const auto& [name, attention] : variants) {
    const Hidden whole = Forward(*attention, chunks);
    for (size_t step : {1, 3}) {
      EXPECT_EQ(Append(*attention, chunks, step), whole) << name;
    }
  }
}

TEST_P(AttentionConformance, CausalAppendEqualsWholeWithEveryCodec) {
  if (!KnowsCausal()) GTEST_SKIP() << "it knows no causal documents";
  const auto chunks = RandomChunks({16, 16, 9, 16, 16, 3, 16}, 3);
  const auto attention = MakeDefault();
  for (const std::string& name : StateCodecRegistry().Names()) {
    const ForwardPass::Options pass{
        .codec = *(**StateCodecRegistry().Find(name))({.rank = 4})};
    const Hidden whole = Forward(*attention, chunks, pass);
    EXPECT_EQ(Append(*attention, chunks, 2, pass), whole) << name;
  }
}

// Enough tokens that narrow patterns leave chunks out, and states out of reach.
TEST_P(AttentionConformance, CausalAppendEqualsWholeInLongDocuments) {
  if (!KnowsCausal()) GTEST_SKIP() << "it knows no causal documents";
  const auto chunks = RandomChunks(std::vector<int>(14, 40), 3);
  const auto attention = MakeDefault();
  const Hidden whole = Forward(*attention, chunks);
  for (size_t step : {1, 5}) {
    EXPECT_EQ(Append(*attention, chunks, step), whole);
  }
}

// With fewer chunks than threads they are cut into tiles of rows, in whatever
// order these are computed.
TEST_P(AttentionConformance, TilesOfRowsGiveTheSameBits) {
  const auto chunks = RandomChunks({47, 16, 33}, 21);
  constexpr int kTileRows = 16;
  for (Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional}) {
    for (const auto& [name, attention] : Variants(visibility)) {
      SCOPED_TRACE(name);
      const Hidden whole =
          Forward(*attention, chunks, {.tile_rows = kTileRows});
      ComputeContext compute;
      ForwardPass tiled(shared_model(), attention.get(), chunks, {},
                        {.threads = 4, .tile_rows = kTileRows});
      EXPECT_GT(tiled.items(), int(chunks.size()));
      for (; !tiled.done(); tiled.Advance()) {
        for (int item = tiled.items() - 1; item >= 0; --item) {
          tiled.Run(item, compute);
        }
      }
      for (size_t i = 0; i < chunks.size(); ++i) {
        const float* hidden = tiled.hidden(int(i));
        EXPECT_TRUE(std::equal(whole[i].begin(), whole[i].end(), hidden)) << i;
      }
    }
  }
}

TEST_P(AttentionConformance, CausalChunksIgnoreWhatFollows) {
  const auto chunks = RandomChunks({16, 16, 16}, 4);
  auto changed = chunks;
  changed[2] = RandomChunks({16, 16, 12}, 5)[2];
  for (const auto& [name, attention] : Variants(Visibility::kCausal)) {
    const Hidden before = Forward(*attention, chunks);
    const Hidden after = Forward(*attention, changed);
    EXPECT_EQ(before[0], after[0]) << name;
    EXPECT_EQ(before[1], after[1]) << name;
  }
}

TEST_P(AttentionConformance, RemoteChunksHaveNoOrder) {
  if (MakeDefault()->depends_on_place()) {
    GTEST_SKIP() << "it looks at where tokens stand";
  }
  if (SeesAsPublished()) GTEST_SKIP() << "it sees the chunks from its own on";
  const auto chunks = RandomChunks({16, 12, 9, 16}, 6);
  const std::vector<ChunkInput> shuffled = {chunks[0], chunks[3], chunks[1],
                                            chunks[2]};
  const size_t place[] = {0, 2, 3, 1};
  for (Visibility visibility :
       {Visibility::kBidirectional, Visibility::kTwoPass}) {
    const auto unordered = [](RetrievalOptions& options) {
      options.anchors = 0;
      options.anchor_share = 0;
      options.neighbors = 0;
    };
    for (const auto& [name, attention] : Variants(visibility, unordered)) {
      const bool two = visibility == Visibility::kTwoPass;
      const Hidden a =
          two ? TwoPasses(*attention, chunks, 4) : Forward(*attention, chunks);
      const Hidden b = two ? TwoPasses(*attention, shuffled, 4)
                           : Forward(*attention, shuffled);
      for (size_t i = 0; i < chunks.size(); ++i) {
        ASSERT_EQ(a[i].size(), b[place[i]].size());
        EXPECT_LE(testing::MaxAbsDifference(a[i].data(), b[place[i]].data(),
                                            a[i].size()),
                  1e-4)
            << name;
      }
    }
  }
}

TEST_P(AttentionConformance, TwoPassBatchesDoNotMatter) {
  const auto chunks = RandomChunks({16, 12, 9, 16, 16}, 8);
  for (const auto& [name, attention] : Variants(Visibility::kTwoPass)) {
    EXPECT_EQ(TwoPasses(*attention, chunks, 2),
              TwoPasses(*attention, chunks, 5))
        << name;
  }
}

TEST_P(AttentionConformance, TwoPassStatesDependOnTheirChunkAlone) {
  RetrievalOptions options;
  options.visibility = Visibility::kTwoPass;
  options.gate = 0.4f;
  const auto attention = Make(options);
  if (attention == nullptr || !attention->exchanges()) {
    GTEST_SKIP() << "it has no states of a first pass";
  }
  auto chunks = RandomChunks({16, 12, 9}, 9);
  States before, after;
  TwoPasses(*attention, chunks, 3, &before);
  chunks[1] = RandomChunks({14}, 10)[0];
  TwoPasses(*attention, chunks, 3, &after);
  for (size_t i : {0, 2}) {
    ASSERT_EQ(before[i]->charge(), after[i]->charge());
    const int64_t bytes = before[i]->codec().HeadBytes(before[i]->layout());
    for (int layer = 0; layer < model().config().num_layers; ++layer) {
      for (int head = 0; head < before[i]->layout().heads; ++head) {
        EXPECT_EQ(
            std::memcmp(before[i]->packed_head(layer, head),
                        after[i]->packed_head(layer, head), size_t(bytes)),
            0);
      }
    }
  }
}

TEST_P(AttentionConformance, LayersAndHeadGatesSayTheSame) {
  if (!Uses("head_gates")) GTEST_SKIP() << "it has no gates";
  const auto chunks = RandomChunks({16, 12, 9, 16}, 11);
  const ModelConfig& config = model().config();
  ASSERT_GE(config.num_layers, 2);
  RetrievalOptions options;
  options.gate = 0.4f;
  options.layers = {config.num_layers - 1};
  const auto by_layers = Make(options);
  options.layers.clear();
  options.head_gates.assign(size_t(config.num_layers * config.num_heads), 0);
  std::fill(options.head_gates.end() - config.num_heads,
            options.head_gates.end(), 0.4f);
  const auto by_gates = Make(options);
  States states;
  EXPECT_EQ(Forward(*by_layers, chunks, {}, {}, &states),
            Forward(*by_gates, chunks));
  if (!by_layers->exchanges()) return;
  EXPECT_FALSE(by_layers->exchanges_in(0));
  options.head_gates.clear();
  States all;
  Forward(*Make(options), chunks, {}, {}, &all);
  // Only layers that retrieve leave something behind.
  EXPECT_LT(
      states[0]->charge(),
      all[0]->charge() / uint64_t(config.num_layers) + sizeof(ChunkState) + 64);
}

TEST_P(AttentionConformance, TopKOfAllIsAll) {
  if (!Uses("top_k")) GTEST_SKIP() << "it chooses no chunks";
  const auto chunks = RandomChunks({16, 12, 9, 16}, 12);
  RetrievalOptions options;
  options.visibility = Visibility::kBidirectional;
  options.gate = 0.4f;
  const Hidden all = Forward(*Make(options), chunks);
  options.top_k = 4;
  EXPECT_EQ(Forward(*Make(options), chunks), all);
}

TEST_P(AttentionConformance, RetrievalWeightsAreShares) {
  if (SeesAsPublished()) GTEST_SKIP() << "it retrieves from itself as well";
  const auto chunks = RandomChunks({16, 12, 9, 16}, 13);
  const ModelConfig& config = model().config();
  const int rows = config.num_layers * config.num_heads;
  for (Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional}) {
    for (const auto& [name, attention] : Variants(visibility)) {
      if (!attention->reports_weights()) GTEST_SKIP() << "it has no weights";
      ComputeContext compute;
      ForwardPass pass(shared_model(), attention.get(), chunks, {},
                       {.retrieval_weights = true, .head_weights = true});
      pass.RunAll(compute);
      for (int i = 0; i < pass.num_chunks(); ++i) {
        const auto mean = pass.retrieval_weights(i);
        const auto heads = pass.head_weights(i);
        ASSERT_EQ(mean.size(), chunks.size());
        ASSERT_EQ(heads.size(), chunks.size() * size_t(rows));
        const bool alone = visibility == Visibility::kCausal && i == 0;
        for (int row = 0; row < rows; ++row) {
          double sum = 0;
          for (size_t j = 0; j < chunks.size(); ++j) {
            sum += heads[size_t(row) * chunks.size() + j];
          }
          EXPECT_NEAR(sum, alone ? 0 : 1, 1e-5) << name;
        }
        for (size_t j = 0; j < chunks.size(); ++j) {
          double sum = 0;
          for (int row = 0; row < rows; ++row) {
            sum += heads[size_t(row) * chunks.size() + j];
          }
          EXPECT_NEAR(mean[j], sum / rows, 1e-6) << name;
          EXPECT_GE(mean[j], 0);
          const bool seen =
              visibility == Visibility::kCausal ? int(j) < i : int(j) != i;
          if (seen) continue;
          EXPECT_EQ(mean[j], 0) << name;
        }
      }
    }
  }
}

TEST_P(AttentionConformance, WantingTheWeightsChangesNothing) {
  const auto chunks = RandomChunks({16, 12, 9, 16}, 14);
  const auto attention = MakeDefault();
  if (!attention->reports_weights()) GTEST_SKIP() << "it has no weights";
  EXPECT_EQ(Forward(*attention, chunks,
                    {.retrieval_weights = true, .head_weights = true}),
            Forward(*attention, chunks));
}

// One layer of attention on random projections: every coordinate of a context
// lies within the range of the values that it mixes.
TEST_P(AttentionConformance, ContextsStayWithinTheValuesWherePromised) {
  testing::LayerHarness harness(2, 32, 3.0f, 7);
  harness.AddChunks({16, 16, 9, 16});
  std::vector<float> low(64, 1e30f), high(64, -1e30f);
  for (const auto& chunk : harness.chunks()) {
    for (int i = 0; i < chunk.rows * 64; ++i) {
      const float v = chunk.qkv[size_t((i / 64 * 3 + 2) * 64 + i % 64)];
      low[i % 64] = std::min(low[i % 64], v);
      high[i % 64] = std::max(high[i % 64], v);
    }
  }
  for (Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional}) {
    for (const auto& variant : testing::RetrievalVariants(visibility)) {
      const auto attention = (**AttentionRegistry().Find(GetParam()))(
          {.num_heads = 2,
           .head_dim = 32,
           .num_layers = 1,
           .retrieval = variant.options});
      if (!attention.ok()) {
        const std::string reason = GetErrorDetail(attention.status())->reason;
        if (reason == "RETRIEVAL_OPTIONS") continue;
        ASSERT_EQ(reason, "MECHANISM_UNAVAILABLE") << attention.status();
        GTEST_SKIP() << "it needs parameters of its own";
      }
      if (!(*attention)->is_convex()) GTEST_SKIP() << "it promises no bound";
      for (const auto& context : harness.Run(**attention)) {
        for (size_t j = 0; j < context.size(); ++j) {
          ASSERT_GE(context[j], low[j % 64] - 1e-4) << variant.name;
          ASSERT_LE(context[j], high[j % 64] + 1e-4) << variant.name;
        }
      }
    }
  }
}

TEST_P(AttentionConformance, BadOptionsAreRefused) {
  RetrievalOptions good;
  good.gate = 0.4f;
  const auto refused = [&](auto&& change) {
    RetrievalOptions options = good;
    change(options);
    const auto status =
        (**AttentionRegistry().Find(GetParam()))(Options(options)).status();
    return status.code() == absl::StatusCode::kInvalidArgument;
  };
  if (!Uses("gate")) GTEST_SKIP() << "it does not look at them";
  EXPECT_TRUE(refused([](auto& o) { o.gate = 1.5f; }));
  EXPECT_TRUE(refused([](auto& o) { o.gate = -0.1f; }));
  EXPECT_TRUE(refused([](auto& o) { o.head_gates = {0.5f}; }));
  EXPECT_TRUE(refused([](auto& o) { o.layers = {1, 0}; }));
  EXPECT_TRUE(refused([](auto& o) { o.layers = {99}; }));
  EXPECT_TRUE(refused([](auto& o) { o.top_k = -1; }));
  EXPECT_TRUE(refused([](auto& o) { o.anchor_share = 2; }));
  EXPECT_TRUE(refused([](auto& o) {
    o.anchors = 0;
    o.anchor_share = 0.5f;
  }));
}

INSTANTIATE_TEST_SUITE_P(Mechanisms, AttentionConformance,
                         ::testing::ValuesIn(AttentionRegistry().Names()),
                         [](const auto& parameter) { return parameter.param; });

TEST(AttentionRegistry, UnknownNameListsTheKnownOnes) {
  const absl::Status status = AttentionRegistry().Find("nope").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const std::string& name : AttentionRegistry().Names()) {
    EXPECT_NE(std::string(status.message()).find(name), std::string::npos);
  }
}

}  // namespace
}  // namespace longhand
