// What every registered attention mechanism must keep, over all visibilities
// and option sets: a chunk on its own is the source model; batches and earlier
// states do not matter in causal documents; remote chunks have no order in
// bidirectional ones; a first-pass state depends on its chunk alone; contexts
// stay bounded by the values where that is promised. Loops over the registry,
// so that a new mechanism is tested for free.

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "gtest/gtest.h"
#include "tests/core/attention/layer_harness.h"
#include "tests/core/attention/retrieval_variants.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

const std::shared_ptr<const Model>& TinyModel() {
  static const auto* const model = [] {
    ModelOptions options;
    options.directory = absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/bert");
    options.without_tokenizer = true;
    auto loaded = Model::Load(options);
    LH_CHECK(loaded.ok());
    return new std::shared_ptr<const Model>(*loaded);
  }();
  return *model;
}

std::vector<ChunkInput> RandomChunks(const std::vector<int>& lengths,
                                     uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> id(4, 299);
  std::vector<ChunkInput> chunks;
  for (int length : lengths) {
    ChunkInput chunk;
    for (int i = 0; i < length; ++i) chunk.ids.push_back(id(random));
    chunk.position_ids = TinyModel()->PositionIds(chunk.ids);
    chunk.own_begin = length > 2 ? 1 : 0;
    chunk.own_end = length > 2 ? length - 1 : length;
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

using States = std::vector<std::shared_ptr<const ChunkState>>;
using Hidden = std::vector<std::vector<float>>;

Hidden Forward(const Attention& attention, std::vector<ChunkInput> chunks,
               const ForwardPass::Options& options = {}, States states = {},
               States* left = nullptr) {
  ComputeContext compute;
  ForwardPass pass(TinyModel(), &attention, std::move(chunks),
                   std::move(states), options);
  pass.RunAll(compute);
  Hidden hidden;
  for (int i = 0; i < pass.num_chunks(); ++i) {
    const size_t size =
        size_t(pass.rows(i)) * size_t(TinyModel()->config().hidden_size);
    hidden.emplace_back(pass.hidden(i), pass.hidden(i) + size);
    if (left != nullptr && pass.state(i)) left->push_back(pass.state(i));
  }
  return hidden;
}

// The document in batches of `step` chunks.
Hidden Append(const Attention& attention, const std::vector<ChunkInput>& chunks,
              size_t step, const ForwardPass::Options& options = {}) {
  States states;
  Hidden appended;
  for (size_t begin = 0; begin < chunks.size(); begin += step) {
    const size_t end = std::min(begin + step, chunks.size());
    Hidden part =
        Forward(attention, {chunks.begin() + begin, chunks.begin() + end},
                options, states, &states);
    appended.insert(appended.end(), part.begin(), part.end());
  }
  return appended;
}

Hidden TwoPasses(const Attention& attention,
                 const std::vector<ChunkInput>& chunks, size_t step,
                 States* left = nullptr) {
  States states;
  for (size_t begin = 0; begin < chunks.size(); begin += step) {
    const size_t end = std::min(begin + step, chunks.size());
    Forward(attention, {chunks.begin() + begin, chunks.begin() + end},
            {.kind = PassKind::kMakeStates}, {}, &states);
  }
  Hidden all;
  for (size_t begin = 0; begin < chunks.size(); begin += step) {
    const size_t end = std::min(begin + step, chunks.size());
    Hidden part =
        Forward(attention, {chunks.begin() + begin, chunks.begin() + end},
                {.kind = PassKind::kRetrieve, .first = int64_t(begin)}, states);
    all.insert(all.end(), part.begin(), part.end());
  }
  if (left != nullptr) *left = states;
  return all;
}

constexpr Visibility kVisibilities[] = {
    Visibility::kCausal, Visibility::kBidirectional, Visibility::kTwoPass};

class AttentionConformance : public ::testing::TestWithParam<std::string> {
 protected:
  static AttentionOptions Options(const RetrievalOptions& retrieval) {
    const ModelConfig& config = TinyModel()->config();
    return {.num_heads = config.num_heads,
            .head_dim = config.head_dim(),
            .num_layers = config.num_layers,
            .retrieval = retrieval};
  }
  // Null if this model can't run the mechanism.
  static std::unique_ptr<const Attention> Make(
      const RetrievalOptions& retrieval) {
    auto attention =
        (**AttentionRegistry().Find(GetParam()))(Options(retrieval));
    if (!attention.ok()) {
      const auto detail = GetErrorDetail(attention.status());
      EXPECT_TRUE(detail && detail->reason == "MECHANISM_UNAVAILABLE")
          << attention.status();
      return nullptr;
    }
    return *std::move(attention);
  }
  static std::unique_ptr<const Attention> Independent() {
    return *(**AttentionRegistry().Find("independent"))(Options({}));
  }

  void SetUp() override {
    RetrievalOptions options;
    options.gate = 0.4f;
    if (Make(options) == nullptr) {
      GTEST_SKIP() << "a BERT model has not got what it needs";
    }
  }
};

TEST_P(AttentionConformance, OneChunkIsTheSourceModel) {
  for (Visibility visibility : kVisibilities) {
    for (const auto& variant : testing::RetrievalVariants(visibility)) {
      for (int length : {1, 2, 50}) {
        const auto chunks = RandomChunks({length}, 1);
        const auto attention = Make(variant.options);
        EXPECT_EQ(visibility == Visibility::kTwoPass
                      ? TwoPasses(*attention, chunks, 1)
                      : Forward(*attention, chunks),
                  Forward(*Independent(), chunks))
            << variant.name;
      }
    }
  }
}

TEST_P(AttentionConformance, GateZeroIsIndependentChunks) {
  const auto chunks = RandomChunks({16, 20, 1, 16, 7}, 2);
  const Hidden independent = Forward(*Independent(), chunks);
  for (Visibility visibility : kVisibilities) {
    for (auto variant : testing::RetrievalVariants(visibility)) {
      variant.options.gate = 0;
      const auto attention = Make(variant.options);
      EXPECT_FALSE(attention->exchanges());
      EXPECT_EQ(Forward(*attention, chunks), independent) << variant.name;
    }
  }
}

TEST_P(AttentionConformance, CausalAppendEqualsWhole) {
  const auto chunks = RandomChunks({16, 16, 9, 16, 16, 3, 16}, 3);
  for (const auto& variant : testing::RetrievalVariants(Visibility::kCausal)) {
    const auto attention = Make(variant.options);
    const Hidden whole = Forward(*attention, chunks);
    for (size_t step : {1, 3}) {
      EXPECT_EQ(Append(*attention, chunks, step), whole) << variant.name;
    }
  }
}

TEST_P(AttentionConformance, CausalAppendEqualsWholeWithEveryCodec) {
  const auto chunks = RandomChunks({16, 16, 9, 16, 16, 3, 16}, 3);
  RetrievalOptions options;
  options.gate = 0.4f;
  const auto attention = Make(options);
  for (const std::string& name : StateCodecRegistry().Names()) {
    const ForwardPass::Options pass{
        .codec = *(**StateCodecRegistry().Find(name))({.rank = 4})};
    const Hidden whole = Forward(*attention, chunks, pass);
    EXPECT_EQ(Append(*attention, chunks, 2, pass), whole) << name;
  }
}

TEST_P(AttentionConformance, CausalChunksIgnoreWhatFollows) {
  const auto chunks = RandomChunks({16, 16, 16}, 4);
  auto changed = chunks;
  changed[2] = RandomChunks({12}, 5)[0];
  for (const auto& variant : testing::RetrievalVariants(Visibility::kCausal)) {
    const auto attention = Make(variant.options);
    const Hidden before = Forward(*attention, chunks);
    const Hidden after = Forward(*attention, changed);
    EXPECT_EQ(before[0], after[0]) << variant.name;
    EXPECT_EQ(before[1], after[1]) << variant.name;
  }
}

TEST_P(AttentionConformance, RemoteChunksHaveNoOrder) {
  const auto chunks = RandomChunks({16, 12, 9, 16}, 6);
  const std::vector<ChunkInput> shuffled = {chunks[0], chunks[3], chunks[1],
                                            chunks[2]};
  const size_t place[] = {0, 2, 3, 1};
  for (Visibility visibility :
       {Visibility::kBidirectional, Visibility::kTwoPass}) {
    for (auto variant : testing::RetrievalVariants(visibility)) {
      variant.options.anchors = 0;
      variant.options.anchor_share = 0;
      variant.options.neighbors = 0;
      const auto attention = Make(variant.options);
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
            << variant.name;
      }
    }
  }
}

TEST_P(AttentionConformance, TwoPassBatchesDoNotMatter) {
  const auto chunks = RandomChunks({16, 12, 9, 16, 16}, 8);
  for (const auto& variant : testing::RetrievalVariants(Visibility::kTwoPass)) {
    const auto attention = Make(variant.options);
    EXPECT_EQ(TwoPasses(*attention, chunks, 2),
              TwoPasses(*attention, chunks, 5))
        << variant.name;
  }
}

TEST_P(AttentionConformance, TwoPassStatesDependOnTheirChunkAlone) {
  RetrievalOptions options;
  options.visibility = Visibility::kTwoPass;
  options.gate = 0.4f;
  const auto attention = Make(options);
  if (!attention->exchanges()) GTEST_SKIP() << "it has no states";
  auto chunks = RandomChunks({16, 12, 9}, 9);
  States before, after;
  TwoPasses(*attention, chunks, 3, &before);
  chunks[1] = RandomChunks({14}, 10)[0];
  TwoPasses(*attention, chunks, 3, &after);
  for (size_t i : {0, 2}) {
    ASSERT_EQ(before[i]->charge(), after[i]->charge());
    const int64_t bytes = before[i]->codec().HeadBytes(before[i]->layout());
    for (int layer = 0; layer < TinyModel()->config().num_layers; ++layer) {
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
  const auto chunks = RandomChunks({16, 12, 9, 16}, 11);
  const ModelConfig& config = TinyModel()->config();
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
  const auto chunks = RandomChunks({16, 12, 9, 16}, 12);
  RetrievalOptions options;
  options.visibility = Visibility::kBidirectional;
  options.gate = 0.4f;
  const Hidden all = Forward(*Make(options), chunks);
  options.top_k = 4;
  EXPECT_EQ(Forward(*Make(options), chunks), all);
}

TEST_P(AttentionConformance, RetrievalWeightsAreShares) {
  const auto chunks = RandomChunks({16, 12, 9, 16}, 13);
  const ModelConfig& config = TinyModel()->config();
  const int rows = config.num_layers * config.num_heads;
  for (Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional}) {
    for (const auto& variant : testing::RetrievalVariants(visibility)) {
      const auto attention = Make(variant.options);
      if (!attention->exchanges()) GTEST_SKIP() << "it retrieves nothing";
      ComputeContext compute;
      ForwardPass pass(TinyModel(), attention.get(), chunks, {},
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
          EXPECT_NEAR(sum, alone ? 0 : 1, 1e-5) << variant.name;
        }
        for (size_t j = 0; j < chunks.size(); ++j) {
          double sum = 0;
          for (int row = 0; row < rows; ++row) {
            sum += heads[size_t(row) * chunks.size() + j];
          }
          EXPECT_NEAR(mean[j], sum / rows, 1e-6) << variant.name;
          EXPECT_GE(mean[j], 0);
          const bool seen =
              visibility == Visibility::kCausal ? int(j) < i : int(j) != i;
          if (seen) continue;
          EXPECT_EQ(mean[j], 0) << variant.name;
        }
      }
    }
  }
}

TEST_P(AttentionConformance, WantingTheWeightsChangesNothing) {
  const auto chunks = RandomChunks({16, 12, 9, 16}, 14);
  RetrievalOptions options;
  options.gate = 0.4f;
  const auto attention = Make(options);
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
      ASSERT_TRUE(attention.ok());
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
  if (Make(good)->unused_options().size() > 5) {
    GTEST_SKIP() << "it does not look at them";
  }
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
