#include "core/state/state_index.h"

#include <memory>
#include <random>
#include <vector>

#include "core/state/state_codec.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr int kHeads = 3;
constexpr int kLayers = 2;
constexpr int kKey = 5;

class StateIndexTest : public ::testing::Test {
 protected:
  StateIndexTest() {
    layout_.heads = kHeads;
    layout_.parts = {{2, 2}};
    layout_.meta_floats = kHeads * kKey + 1;
    layout_.meta_key_floats = kKey;
  }

  std::shared_ptr<const ChunkState> RandomState() {
    auto state = std::make_shared<ChunkState>(StateFingerprint{}, layout_,
                                              codec_, kLayers);
    std::vector<float> values(size_t(layout_.floats()));
    for (int layer = 0; layer < kLayers; ++layer) {
      for (float& value : values) {
        value = std::normal_distribution<float>()(random_);
      }
      state->SetLayer(layer, values.data());
    }
    return state;
  }

  void ExpectHolds(const StateIndex& index,
                   const std::vector<std::shared_ptr<const ChunkState>>& all) {
    ASSERT_EQ(index.size(), int64_t(all.size()));
    for (size_t slot = 0; slot < all.size(); ++slot) {
      ASSERT_EQ(index.states()[slot], all[slot].get());
      for (int layer = 0; layer < kLayers; ++layer) {
        for (int head = 0; head < kHeads; ++head) {
          const float* keys =
              index.meta_keys(int64_t(slot) / StateIndex::kBlock, layer, head) +
              int64_t(slot) % StateIndex::kBlock;
          for (int c = 0; c < kKey; ++c) {
            ASSERT_EQ(keys[c * StateIndex::kBlock],
                      all[slot]->meta(layer)[head * kKey + c])
                << slot << " " << layer << " " << head;
          }
        }
      }
    }
  }

  const std::shared_ptr<const StateCodec> codec_ =
      *(**StateCodecRegistry().Find("f32"))({});
  std::mt19937 random_{1};
  StateLayout layout_;
};

TEST_F(StateIndexTest, HoldsTheKeysOfWhatIsThere) {
  StateIndex index(StateFingerprint{}, layout_, kLayers);
  EXPECT_EQ(index.size(), 0);
  std::vector<std::shared_ptr<const ChunkState>> all;
  const auto grow = [&](int64_t size) {
    while (int64_t(all.size()) < size) {
      all.push_back(RandomState());
      index.Append(all.back());
    }
  };
  const auto shrink = [&](int64_t size) {
    all.resize(size_t(size));
    index.Truncate(size);
  };
  for (int64_t size : {int64_t{1}, StateIndex::kBlock, StateIndex::kBlock + 1,
                       3 * StateIndex::kBlock - 1}) {
    grow(size);
    ExpectHolds(index, all);
  }
  const uint64_t bytes = index.bytes();
  EXPECT_GE(bytes, uint64_t(3 * StateIndex::kBlock * kLayers * kHeads * kKey) *
                       sizeof(float));
  shrink(StateIndex::kBlock);
  ExpectHolds(index, all);
  EXPECT_LT(index.bytes(), bytes);
  grow(StateIndex::kBlock + 3);
  ExpectHolds(index, all);
  shrink(0);
  grow(2);
  ExpectHolds(index, all);
}

// The states live as long as the index knows them.
TEST_F(StateIndexTest, OwnsTheStates) {
  StateIndex index(StateFingerprint{}, layout_, kLayers);
  std::weak_ptr<const ChunkState> state;
  {
    auto made = RandomState();
    state = made;
    index.Append(std::move(made));
  }
  EXPECT_FALSE(state.expired());
  index.Truncate(0);
  EXPECT_TRUE(state.expired());
}

}  // namespace
}  // namespace longhand
