// What every registered attention mechanism must keep: a chunk on its own is
// the source model; batches and earlier states do not matter in causal
// documents; remote chunks have no order in bidirectional ones; contexts stay
// bounded by the values. Loops over the registry, so that a new mechanism is
// tested for free.

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/compute/compute_context.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "gtest/gtest.h"
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
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

using States = std::vector<std::shared_ptr<const ChunkState>>;
using Hidden = std::vector<std::vector<float>>;

Hidden Forward(const Attention& attention, std::vector<ChunkInput> chunks,
               States past = {}, States* left = nullptr) {
  ComputeContext compute;
  ForwardPass pass(TinyModel(), &attention, std::move(chunks), std::move(past),
                   {});
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

class AttentionConformance : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<const Attention> Make(Visibility visibility,
                                        float gate = 0.4f) const {
    const ModelConfig& config = TinyModel()->config();
    auto attention = (**AttentionRegistry().Find(GetParam()))(
        {.num_heads = config.num_heads,
         .head_dim = config.head_dim(),
         .num_layers = config.num_layers,
         .visibility = visibility,
         .gate = gate});
    LH_CHECK(attention.ok());
    return *std::move(attention);
  }
  static std::unique_ptr<const Attention> Independent() {
    const ModelConfig& config = TinyModel()->config();
    return *(**AttentionRegistry().Find("independent"))(
        {.num_heads = config.num_heads,
         .head_dim = config.head_dim(),
         .num_layers = config.num_layers});
  }
};

constexpr Visibility kVisibilities[] = {Visibility::kCausal,
                                        Visibility::kBidirectional};

TEST_P(AttentionConformance, OneChunkIsTheSourceModel) {
  for (int length : {1, 2, 16, 50, 200}) {
    const auto chunks = RandomChunks({length}, 1);
    for (Visibility visibility : kVisibilities) {
      EXPECT_EQ(Forward(*Make(visibility), chunks),
                Forward(*Independent(), chunks));
    }
  }
}

TEST_P(AttentionConformance, GateZeroIsIndependentChunks) {
  const auto chunks = RandomChunks({16, 20, 1, 16, 7}, 2);
  const Hidden independent = Forward(*Independent(), chunks);
  for (Visibility visibility : kVisibilities) {
    EXPECT_EQ(Forward(*Make(visibility, 0), chunks), independent);
  }
}

TEST_P(AttentionConformance, CausalAppendEqualsWhole) {
  const auto chunks = RandomChunks({16, 16, 9, 16, 16, 16, 3, 16}, 3);
  const auto attention = Make(Visibility::kCausal);
  if (attention->needs_whole_document()) GTEST_SKIP() << "it cannot stream";
  const Hidden whole = Forward(*attention, chunks);
  for (size_t step : {1, 3}) {
    States states;
    Hidden appended;
    for (size_t begin = 0; begin < chunks.size(); begin += step) {
      const size_t end = std::min(begin + step, chunks.size());
      Hidden part =
          Forward(*attention, {chunks.begin() + begin, chunks.begin() + end},
                  states, &states);
      appended.insert(appended.end(), part.begin(), part.end());
    }
    EXPECT_EQ(appended, whole) << step;
  }
}

TEST_P(AttentionConformance, CausalChunksIgnoreWhatFollows) {
  const auto attention = Make(Visibility::kCausal);
  const auto chunks = RandomChunks({16, 16, 16}, 4);
  auto changed = chunks;
  changed[2] = RandomChunks({12}, 5)[0];
  const Hidden before = Forward(*attention, chunks);
  const Hidden after = Forward(*attention, changed);
  EXPECT_EQ(before[0], after[0]);
  EXPECT_EQ(before[1], after[1]);
}

TEST_P(AttentionConformance, BidirectionalRemoteChunksHaveNoOrder) {
  const auto attention = Make(Visibility::kBidirectional);
  const auto chunks = RandomChunks({16, 12, 9, 16}, 6);
  const std::vector<ChunkInput> shuffled = {chunks[0], chunks[3], chunks[1],
                                            chunks[2]};
  const Hidden a = Forward(*attention, chunks);
  const Hidden b = Forward(*attention, shuffled);
  const size_t place[] = {0, 2, 3, 1};
  for (size_t i = 0; i < chunks.size(); ++i) {
    ASSERT_EQ(a[i].size(), b[place[i]].size());
    EXPECT_LE(
        testing::MaxAbsDifference(a[i].data(), b[place[i]].data(), a[i].size()),
        1e-5);
  }
}

// One layer of attention on random projections: every coordinate of a context
// lies within the range of the values that it mixes.
TEST_P(AttentionConformance, ContextsStayWithinTheValues) {
  constexpr int kHidden = 64, kRows = 16, kChunks = 4;
  for (Visibility visibility : kVisibilities) {
    const auto attention = Make(visibility, 1.0f);
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 3);
    ComputeContext compute;
    std::vector<std::vector<float>> qkv(kChunks), context(kChunks),
        scratch(kChunks), state(kChunks);
    std::vector<ChunkSlot> slots;
    std::vector<float> low(kHidden, 1e30f), high(kHidden, -1e30f);
    for (int i = 0; i < kChunks; ++i) {
      qkv[i].resize(kRows * 3 * kHidden);
      for (float& value : qkv[i]) value = normal(random);
      for (int r = 0; r < kRows; ++r) {
        for (int c = 0; c < kHidden; ++c) {
          const float v = qkv[i][(r * 3 + 2) * kHidden + c];
          low[c] = std::min(low[c], v);
          high[c] = std::max(high[c], v);
        }
      }
      context[i].resize(kRows * kHidden);
      scratch[i].resize(size_t(attention->scratch_floats(kRows)));
      state[i].resize(size_t(attention->state_floats()));
      slots.push_back({kRows, context[i].data(), scratch[i].data(),
                       state[i].data(), nullptr});
      attention->Local(qkv[i].data(), slots.back(), compute);
    }
    const BatchView batch{{}, slots};
    if (attention->exchanges()) {
      for (int item = 0; item < attention->exchange_items(); ++item) {
        attention->Exchange(item, batch, compute);
      }
      for (int i = 0; i < kChunks; ++i) attention->Finish(i, batch, compute);
    }
    for (int i = 0; i < kChunks; ++i) {
      for (int j = 0; j < kRows * kHidden; ++j) {
        const int c = j % kHidden;
        ASSERT_GE(context[i][j], low[c] - 1e-4);
        ASSERT_LE(context[i][j], high[c] + 1e-4);
      }
    }
  }
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
