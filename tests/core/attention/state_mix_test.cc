// Sums of selected states against plain loops, and that what other chunks
// select changes none of them.

#include "core/attention/state_mix.h"

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/state/state_codec.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr int kHeads = 2;
constexpr int kLayer = 1;

struct Mix {
  std::vector<int> slots;
  std::vector<float> weights;
};

class Document {
 public:
  Document(const std::string& codec_name, int slots, uint32_t seed)
      : random_(seed) {
    const std::shared_ptr<const StateCodec> codec =
        *(**StateCodecRegistry().Find(codec_name))({});
    layout_.heads = kHeads;
    layout_.parts = {{8, 8}, {1, 8}};
    layout_.meta_floats = 3;
    std::normal_distribution<float> normal;
    std::vector<float> values(size_t(layout_.floats()));
    for (int slot = 0; slot < slots; ++slot) {
      auto state = std::make_shared<ChunkState>(StateFingerprint{}, layout_,
                                                codec, kLayer + 1);
      for (int layer = 0; layer <= kLayer; ++layer) {
        for (float& value : values) value = normal(random_);
        state->SetLayer(layer, values.data());
      }
      chunks_.push_back(state.get());
      states_.push_back(std::move(state));
    }
  }

  // A mix of about `share` of the slots, a few of them without weight.
  Mix RandomMix(double share) {
    Mix mix;
    for (int slot = 0; slot < static_cast<int>(states_.size()); ++slot) {
      if (std::uniform_real_distribution<>()(random_) >= share) continue;
      mix.slots.push_back(slot);
      mix.weights.push_back(random_() % 9 == 0 ? 0.0f
                                               : float(random_() % 97) / 97);
    }
    return mix;
  }

  // Sums [mixes] of head 1, of all `mixes` in one call.
  std::vector<std::vector<float>> Sums(const std::vector<Mix>& mixes) const {
    std::vector<std::vector<float>> sums;
    for (size_t m = 0; m < mixes.size(); ++m) {
      sums.emplace_back(size_t(layout_.head_floats()), 0.5f);
    }
    std::vector<StateMix> all;
    for (size_t m = 0; m < mixes.size(); ++m) {
      all.push_back({mixes[m].slots, mixes[m].weights.data(), sums[m].data()});
    }
    Workspace workspace;
    MixStates(states(), 1, layout_.head_floats(), all, workspace);
    return sums;
  }

  std::vector<double> SlowSum(const Mix& mix) const {
    std::vector<double> sum(size_t(layout_.head_floats()), 0.5);
    std::vector<float> buffer(sum.size());
    for (size_t i = 0; i < mix.slots.size(); ++i) {
      const float* block = states().Head(mix.slots[i], 1, buffer.data());
      for (size_t c = 0; c < sum.size(); ++c) {
        sum[c] += double{mix.weights[i]} * block[c];
      }
    }
    return sum;
  }

 private:
  LayerStates states() const { return {chunks_, kLayer}; }

  std::mt19937 random_;
  StateLayout layout_;
  std::vector<std::shared_ptr<const ChunkState>> states_;
  std::vector<const ChunkState*> chunks_;
};

class StateMixTest : public ::testing::TestWithParam<std::string> {};

TEST_P(StateMixTest, IsThePlainSumWhoeverElseIsThere) {
  for (int slots : {1, 31, 32, 33, 200}) {
    Document document(GetParam(), slots, uint32_t(slots));
    std::vector<Mix> mixes;
    for (double share : {0.0, 1.0, 0.02, 0.3, 0.6, 0.05, 1.0, 0.01, 0.9}) {
      mixes.push_back(document.RandomMix(share));
      const auto together = document.Sums(mixes);
      for (size_t m = 0; m < mixes.size(); ++m) {
        ASSERT_EQ(document.Sums({mixes[m]})[0], together[m]) << slots;
      }
    }
    const auto sums = document.Sums(mixes);
    for (size_t m = 0; m < mixes.size(); ++m) {
      const std::vector<double> want = document.SlowSum(mixes[m]);
      for (size_t c = 0; c < want.size(); ++c) {
        ASSERT_NEAR(sums[m][c], want[c], 2e-5 * (1 + std::abs(want[c])))
            << slots << " slots, mix " << m;
      }
    }
  }
}

TEST_P(StateMixTest, SparseMixesAreTheirSums) {
  // Many mixes of little in common: each is summed on its own.
  Document document(GetParam(), 300, 1);
  std::vector<Mix> mixes;
  for (int m = 0; m < 32; ++m) mixes.push_back(document.RandomMix(0.05));
  const auto sums = document.Sums(mixes);
  for (size_t m = 0; m < mixes.size(); ++m) {
    EXPECT_EQ(document.Sums({mixes[m]})[0], sums[m]);
    const std::vector<double> want = document.SlowSum(mixes[m]);
    for (size_t c = 0; c < want.size(); ++c) {
      ASSERT_NEAR(sums[m][c], want[c], 2e-5 * (1 + std::abs(want[c])));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Codecs, StateMixTest,
                         ::testing::Values("f32", "bf16", "int8"),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace longhand
