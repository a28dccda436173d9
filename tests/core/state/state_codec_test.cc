// What every registered state codec must keep, and what each one promises of
// its error and size. Loops over the registry, so that a newcomer is tested for
// free.

#include "core/state/state_codec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/state/chunk_state.h"
#include "core/state/layer_states.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

std::unique_ptr<const StateCodec> Make(const std::string& name, int rank = 4) {
  auto codec = (**StateCodecRegistry().Find(name))({.rank = rank});
  EXPECT_TRUE(codec.ok());
  return *std::move(codec);
}

std::vector<float> RandomBlock(const StateLayout& layout, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> block(size_t(layout.head_floats()));
  for (float& value : block) value = normal(random);
  return block;
}

std::vector<float> RoundTrip(const StateCodec& codec, const StateLayout& layout,
                             const std::vector<float>& block) {
  const size_t bytes = size_t(codec.HeadBytes(layout));
  EXPECT_EQ(bytes % sizeof(float), 0u);
  // Nothing may be written past the end.
  std::vector<float> packed(bytes / sizeof(float) + 1, 1234.5f);
  codec.Encode(layout, block.data(),
               reinterpret_cast<std::byte*>(packed.data()));
  EXPECT_EQ(packed.back(), 1234.5f);
  std::vector<float> decoded(block.size() + 1, 77.0f);
  codec.Decode(layout, reinterpret_cast<const std::byte*>(packed.data()),
               decoded.data());
  EXPECT_EQ(decoded.back(), 77.0f);
  decoded.pop_back();
  return decoded;
}

const StateLayout kLayouts[] = {
    {.heads = 2, .parts = {{32, 32}, {1, 32}}},
    {.heads = 1, .parts = {{5, 7}, {1, 7}, {1, 7}}},
    {.heads = 3, .parts = {{126, 32}, {126, 32}}},
    {.heads = 1, .parts = {{1, 1}}},
};

class StateCodecConformance : public ::testing::TestWithParam<std::string> {};

TEST_P(StateCodecConformance, IsAFunctionOfTheBlock) {
  const auto codec = Make(GetParam());
  for (const StateLayout& layout : kLayouts) {
    const auto block = RandomBlock(layout, 1);
    const auto once = RoundTrip(*codec, layout, block);
    EXPECT_EQ(RoundTrip(*codec, layout, block), once);
  }
}

TEST_P(StateCodecConformance, KeepsZerosAndScale) {
  const auto codec = Make(GetParam());
  for (const StateLayout& layout : kLayouts) {
    std::vector<float> block(size_t(layout.head_floats()), 0.0f);
    EXPECT_EQ(RoundTrip(*codec, layout, block), block);
    block = RandomBlock(layout, 2);
    auto larger = block;
    for (float& value : larger) value *= 1024;
    const auto a = RoundTrip(*codec, layout, block);
    const auto b = RoundTrip(*codec, layout, larger);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(a[i] * 1024, b[i], 1024 * 1e-3) << i;
    }
  }
}

TEST_P(StateCodecConformance, NeverHidesWhatIsNotFinite) {
  const auto codec = Make(GetParam());
  const StateLayout& layout = kLayouts[0];
  for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity()}) {
    auto block = RandomBlock(layout, 3);
    block[5] = bad;
    const auto decoded = RoundTrip(*codec, layout, block);
    EXPECT_TRUE(std::any_of(decoded.begin(), decoded.end(),
                            [](float value) { return !std::isfinite(value); }));
  }
}

TEST_P(StateCodecConformance, StatesOfSeveralLayersAndHeads) {
  const std::shared_ptr<const StateCodec> codec = Make(GetParam());
  StateLayout layout = kLayouts[0];
  layout.meta_floats = 3;
  ChunkState state({}, layout, codec, 2);
  std::vector<std::vector<float>> layers;
  for (uint32_t layer : {0u, 1u}) {
    std::vector<float> values = {1.5f, -2.5f, float(layer)};
    for (int head = 0; head < layout.heads; ++head) {
      const auto block = RandomBlock(layout, 10 * layer + uint32_t(head));
      values.insert(values.end(), block.begin(), block.end());
    }
    state.SetLayer(int(layer), values.data());
    layers.push_back(values);
  }
  const ChunkState* chunks[] = {&state};
  std::vector<float> buffer(size_t(layout.head_floats()));
  for (int layer : {0, 1}) {
    const LayerStates states{chunks, layer};
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(states.meta(0)[i], layers[size_t(layer)][size_t(i)]);
    }
    for (int head = 0; head < layout.heads; ++head) {
      const float* values = states.Head(0, head, buffer.data());
      const auto expected = RoundTrip(
          *codec, layout, RandomBlock(layout, uint32_t(10 * layer + head)));
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), values));
    }
  }
  EXPECT_EQ(state.charge(), ChunkState::Charge(layout, *codec, 2));
}

INSTANTIATE_TEST_SUITE_P(Codecs, StateCodecConformance,
                         ::testing::ValuesIn(StateCodecRegistry().Names()),
                         [](const auto& parameter) { return parameter.param; });

TEST(F32Codec, IsExact) {
  const auto block = RandomBlock(kLayouts[0], 4);
  EXPECT_EQ(RoundTrip(*Make("f32"), kLayouts[0], block), block);
}

TEST(Bf16Codec, HalvesTheBytesWithinOnePartIn256) {
  const auto codec = Make("bf16");
  const auto block = RandomBlock(kLayouts[0], 5);
  const auto decoded = RoundTrip(*codec, kLayouts[0], block);
  for (size_t i = 0; i < block.size(); ++i) {
    EXPECT_LE(std::abs(decoded[i] - block[i]), std::abs(block[i]) / 256);
  }
  EXPECT_EQ(codec->HeadBytes(kLayouts[0]) * 2,
            Make("f32")->HeadBytes(kLayouts[0]));
  // Ties go to the even neighbour.
  const StateLayout one{.heads = 1, .parts = {{1, 2}}};
  const auto ties =
      RoundTrip(*codec, one, {1.0f + 1.0f / 256, 1.0f + 3.0f / 256});
  EXPECT_EQ(ties[0], 1.0f);
  EXPECT_EQ(ties[1], 1.0f + 4.0f / 256);
}

TEST(Int8Codec, ErrorIsHalfAStepOfEachPart) {
  const auto codec = Make("int8");
  const StateLayout& layout = kLayouts[0];
  auto block = RandomBlock(layout, 6);
  // The parts have scales of their own.
  for (size_t i = 32 * 32; i < block.size(); ++i) block[i] *= 100;
  const auto decoded = RoundTrip(*codec, layout, block);
  size_t begin = 0;
  for (const StateLayout::Part& part : layout.parts) {
    float largest = 0;
    const size_t end = begin + size_t(part.floats());
    for (size_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::abs(block[i]));
    }
    for (size_t i = begin; i < end; ++i) {
      EXPECT_LE(std::abs(decoded[i] - block[i]), largest / 254 * 1.001f);
    }
    begin = end;
  }
  EXPECT_LT(codec->HeadBytes(layout) * 3.9,
            double(Make("f32")->HeadBytes(layout)));
}

TEST(Int8Codec, TinyValuesBecomeZerosNotNoise) {
  const auto codec = Make("int8");
  const StateLayout layout{.heads = 1, .parts = {{1, 3}}};
  for (const float tiny : {std::numeric_limits<float>::denorm_min(), 1e-40F,
                           std::numeric_limits<float>::min()}) {
    EXPECT_EQ(RoundTrip(*codec, layout, {tiny, -tiny, 0}),
              std::vector<float>(3, 0.0F));
  }
  // The smallest that is kept.
  const float kept = 1.5e-36F;
  const std::vector<float> decoded = RoundTrip(*codec, layout, {kept, 0, 0});
  EXPECT_NEAR(decoded[0] / kept, 1, 1.0 / 254);
}

TEST(Int8Codec, TheLargestNumbersStayFinite) {
  const auto codec = Make("int8");
  const StateLayout layout{.heads = 1, .parts = {{1, 2}}};
  float largest = std::numeric_limits<float>::max();
  for (int i = 0; i < 256; ++i) {
    const std::vector<float> decoded =
        RoundTrip(*codec, layout, {largest, -largest});
    EXPECT_NEAR(double{decoded[0]} / largest, 1, 1e-6);
    EXPECT_NEAR(double{decoded[1]} / largest, -1, 1e-6);
    largest = std::nextafter(largest, 0.0F);
  }
}

TEST(LowRankCodec, IsExactForMatricesOfThatRank) {
  const auto codec = Make("low_rank", 3);
  const StateLayout layout{.heads = 1, .parts = {{32, 32}}};
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> left(32 * 3), right(3 * 32), block(32 * 32, 0.0f);
  for (float& value : left) value = normal(random);
  for (float& value : right) value = normal(random);
  for (int i = 0; i < 32; ++i) {
    for (int j = 0; j < 32; ++j) {
      for (int k = 0; k < 3; ++k) {
        block[size_t(i * 32 + j)] +=
            left[size_t(i * 3 + k)] * right[size_t(k * 32 + j)];
      }
    }
  }
  const auto decoded = RoundTrip(*codec, layout, block);
  for (size_t i = 0; i < block.size(); ++i) {
    EXPECT_NEAR(decoded[i], block[i], 1e-4);
  }
  EXPECT_EQ(codec->HeadBytes(layout), 3 * 64 * int64_t{sizeof(float)});
}

TEST(LowRankCodec, MoreRankIsLessError) {
  const StateLayout layout{.heads = 1, .parts = {{32, 32}}};
  const auto block = RandomBlock(layout, 8);
  double previous = 1e9;
  for (int rank : {1, 2, 4, 8, 15}) {
    const auto decoded = RoundTrip(*Make("low_rank", rank), layout, block);
    double error = 0;
    for (size_t i = 0; i < block.size(); ++i) {
      error += std::pow(decoded[i] - block[i], 2);
    }
    EXPECT_LT(error, previous);
    previous = error;
  }
  // From here on nothing would be saved, so nothing is lost.
  EXPECT_EQ(RoundTrip(*Make("low_rank", 16), layout, block), block);
}

}  // namespace
}  // namespace longhand
