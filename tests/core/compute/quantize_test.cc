// The conversions to and from 8 and 16 bits against their slow twins.

#include "core/compute/quantize.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/compute/reference.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr int kSizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 384, 385};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Random(size_t size, uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

struct Quantized {
  std::vector<uint8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> zero_points;

  Quantized(int rows, int columns)
      : values(size_t(rows) * columns, 77),
        scales(size_t{0} + rows),
        zero_points(size_t{0} + rows) {}
  QuantizedRows View() {
    return {values.data(), scales.data(), zero_points.data()};
  }
};

TEST(QuantizeRows, MatchesTheReference) {
  for (int columns : kSizes) {
    for (float scale : {1e-30f, 1e-3f, 1.0f, 1e30f}) {
      const std::vector<float> x = Random(5 * size_t(columns), 1, scale);
      Quantized fast(5, columns), slow(5, columns);
      QuantizeRows(x.data(), 5, columns, fast.View());
      reference::QuantizeRows(x.data(), 5, columns, slow.View());
      EXPECT_EQ(fast.values, slow.values);
      EXPECT_EQ(fast.scales, slow.scales);
      EXPECT_EQ(fast.zero_points, slow.zero_points);
    }
  }
}

TEST(QuantizeRows, EveryValueIsWithinHalfAStep) {
  for (int columns : kSizes) {
    std::vector<float> x = Random(3 * size_t(columns), 2);
    // All of one sign, too.
    for (int c = 0; c < columns; ++c) x[c] = 5 + std::abs(x[c]);
    for (int c = 0; c < columns; ++c) x[columns + c] = -std::abs(x[c]);
    Quantized q(3, columns);
    QuantizeRows(x.data(), 3, columns, q.View());
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t r = i / columns;
      const double back =
          double{q.scales[r]} * (q.values[i] - q.zero_points[r]);
      // Rounding of the value and of the zero point.
      EXPECT_NEAR(back, x[i], 1.001 * q.scales[r]);
    }
  }
}

TEST(QuantizeRows, ZeroIsExact) {
  const std::vector<float> x = {0, 0, 0, 3, 0, -0.1f};
  Quantized q(2, 3);
  QuantizeRows(x.data(), 2, 3, q.View());
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] != 0) continue;
    EXPECT_EQ(q.values[i], q.zero_points[i / 3]) << i;
  }
  EXPECT_TRUE(std::isnormal(q.scales[0]));
}

TEST(QuantizeRows, ExtremesAreFinite) {
  const float most = std::numeric_limits<float>::max();
  const float least = std::numeric_limits<float>::denorm_min();
  const std::vector<float> x = {most, -most, 0, 1, least, -least, 0, 0};
  Quantized q(2, 4);
  QuantizeRows(x.data(), 2, 4, q.View());
  EXPECT_EQ(q.values[0], 255);
  EXPECT_EQ(q.values[1], 0);
  for (float scale : q.scales) EXPECT_TRUE(std::isnormal(scale));
}

TEST(QuantizeRows, MarksRowsThatAreNotFinite) {
  for (int columns : {1, 8, 19}) {
    for (float bad : {kNan, kInfinity, -kInfinity}) {
      for (int place = 0; place < columns; ++place) {
        std::vector<float> x = Random(2 * size_t(columns), 3);
        x[size_t(place)] = bad;
        Quantized q(2, columns);
        QuantizeRows(x.data(), 2, columns, q.View());
        EXPECT_TRUE(std::isnan(q.scales[0]));
        EXPECT_TRUE(std::isfinite(q.scales[1]));
      }
    }
  }
}

struct DequantizeCase {
  std::vector<int32_t> sums, zero_points, weight_sums;
  std::vector<float> row_scales, channel_scales, bias, dst;
  int rows, columns;

  DequantizeCase(int row_count, int column_count)
      : rows(row_count), columns(column_count) {
    const size_t size = size_t(rows) * columns;
    std::mt19937 random(4);
    for (size_t i = 0; i < size; ++i) {
      sums.push_back(static_cast<int32_t>(random() % 2000001) - 1000000);
    }
    for (int r = 0; r < rows; ++r) zero_points.push_back(random() % 256);
    for (int c = 0; c < columns; ++c) {
      weight_sums.push_back(static_cast<int32_t>(random() % 2001) - 1000);
    }
    row_scales = Random(size_t{0} + rows, 5, 1e-2f);
    channel_scales = Random(size_t{0} + columns, 6, 1e-3f);
    bias = Random(size_t{0} + columns, 7);
    dst = Random(size, 8);
  }
  DequantizeArgs Args(Activation activation, bool accumulate) const {
    return {.sums = sums.data(),
            .row_scales = row_scales.data(),
            .zero_points = zero_points.data(),
            .channel_scales = channel_scales.data(),
            .weight_sums = weight_sums.data(),
            .bias = bias.data(),
            .rows = rows,
            .columns = columns,
            .activation = activation,
            .accumulate = accumulate};
  }
};

constexpr Activation kActivations[] = {Activation::kNone, Activation::kGeluErf,
                                       Activation::kGeluTanh, Activation::kRelu,
                                       Activation::kSilu};

TEST(DequantizeRows, MatchesTheReference) {
  for (int columns : kSizes) {
    const DequantizeCase test(3, columns);
    for (Activation activation : kActivations) {
      for (bool accumulate : {false, true}) {
        std::vector<float> fast = test.dst, slow = test.dst;
        const DequantizeArgs args = test.Args(activation, accumulate);
        DequantizeRows(args, fast.data());
        reference::DequantizeRows(args, slow.data());
        for (size_t i = 0; i < fast.size(); ++i) {
          ASSERT_NEAR(fast[i], slow[i], 1e-6 * (1 + std::abs(slow[i])));
        }
      }
    }
  }
}

// The activations alone: x = sums * 2^-10 is exact.
TEST(DequantizeRows, ActivationsOverTheirWholeRange) {
  const int limit = 200 << 10;
  std::vector<int32_t> sums;
  for (int x = -limit; x <= limit; x += x > -12288 && x < 12288 ? 1 : 97) {
    sums.push_back(x);
  }
  const int size = static_cast<int>(sums.size());
  const float row_scale = 1.0f / 1024;
  const int32_t zero_point = 0;
  const std::vector<float> ones(sums.size(), 1.0f), zeros(sums.size(), 0.0f);
  std::vector<float> y(sums.size());
  for (Activation activation : kActivations) {
    DequantizeRows({.sums = sums.data(),
                    .row_scales = &row_scale,
                    .zero_points = &zero_point,
                    .channel_scales = ones.data(),
                    .weight_sums = sums.data(),
                    .bias = zeros.data(),
                    .rows = 1,
                    .columns = size,
                    .activation = activation},
                   y.data());
    for (int i = 0; i < size; ++i) {
      const double x = sums[i] / 1024.0;
      ASSERT_NEAR(y[i], reference::Activate(x, activation),
                  5e-7 * (1 + std::abs(x)))
          << "activation " << int(activation) << " of " << x;
    }
  }
}

TEST(DequantizeRows, KeepsNan) {
  DequantizeCase test(2, 19);
  test.row_scales[1] = kNan;
  for (Activation activation : kActivations) {
    std::vector<float> y(test.dst.size());
    DequantizeRows(test.Args(activation, false), y.data());
    for (size_t i = 0; i < y.size(); ++i) {
      EXPECT_EQ(std::isnan(y[i]), i >= 19) << int(activation);
    }
  }
}

TEST(RoundToBf16, MatchesTheReference) {
  for (int size : kSizes) {
    std::mt19937 random(9);
    // Any bits: denormals, infinities and NaNs as well.
    std::vector<float> x(size_t{0} + size);
    for (int run = 0; run < 100; ++run) {
      for (float& value : x) {
        value = std::bit_cast<float>(static_cast<uint32_t>(random()));
      }
      std::vector<uint16_t> fast(x.size()), slow(x.size());
      RoundToBf16(x.data(), size, fast.data());
      reference::RoundToBf16(x.data(), size, slow.data());
      EXPECT_EQ(fast, slow);
    }
  }
}

TEST(RoundToBf16, TiesAndSpecialValues) {
  const std::vector<uint32_t> bits = {
      0x3f808000,  // 1 + half a step: down to even
      0x3f818000,  // an odd one + half a step: up
      0x3f808001,  // more than half
      0x7f7fffff,  // the largest number becomes infinity
      0x7f800000, 0xff800000, 0x7f800001, 0x7fffffff, 0x80000000, 0x00000001};
  const std::vector<uint16_t> expected = {0x3f80, 0x3f82, 0x3f81, 0x7f80,
                                          0x7f80, 0xff80, 0x7fc0, 0x7fff,
                                          0x8000, 0x0000};
  std::vector<float> x;
  for (uint32_t value : bits) x.push_back(std::bit_cast<float>(value));
  std::vector<uint16_t> fast(x.size()), slow(x.size());
  RoundToBf16(x.data(), int64_t(x.size()), fast.data());
  reference::RoundToBf16(x.data(), int64_t(x.size()), slow.data());
  EXPECT_EQ(fast, expected);
  EXPECT_EQ(slow, expected);
}

TEST(QuantizeWeights, EveryWeightIsWithinHalfAStep) {
  for (Int8Sums sums : {Int8Sums::kWide, Int8Sums::kPairs}) {
    for (int inputs : kSizes) {
      const std::vector<float> weights = Random(4 * size_t(inputs), 10);
      const QuantizedWeights q = QuantizeWeights(weights, inputs, 4, sums);
      for (int o = 0; o < 4; ++o) {
        int sum = 0;
        for (int i = 0; i < inputs; ++i) {
          const size_t j = size_t(o) * inputs + i;
          EXPECT_NEAR(double{q.scales[o]} * q.values[j], weights[j],
                      0.5001 * q.scales[o]);
          sum += q.values[j];
        }
        EXPECT_EQ(q.sums[o], sum);
      }
    }
  }
}

TEST(QuantizeWeights, WideSumsUseAllSteps) {
  const std::vector<float> weights = {1, 1, -1, -1};
  const QuantizedWeights q = QuantizeWeights(weights, 4, 1, Int8Sums::kWide);
  EXPECT_EQ(q.values[0], 127);
  EXPECT_EQ(q.values[3], -127);
}

// What the arithmetic in quantize.h promises, for weights of one sign, of both,
// and with ties, where rounding adds the most.
TEST(QuantizeWeights, PairsNeverExceed16Bits) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const int inputs = 1 + static_cast<int>(seed % 37);
    std::vector<float> weights = Random(8 * size_t(inputs), seed);
    for (size_t i = 0; i < weights.size(); ++i) {
      if (seed % 3 == 1) weights[i] = std::abs(weights[i]);
      if (seed % 3 == 2) weights[i] = std::round(weights[i] * 8);
    }
    const QuantizedWeights q =
        QuantizeWeights(weights, inputs, 8, Int8Sums::kPairs);
    for (int o = 0; o < 8; ++o) {
      for (int i = 0; i < inputs; i += 2) {
        const int8_t* pair = &q.values[size_t(o) * inputs + i];
        const int a = pair[0];
        const int b = i + 1 < inputs ? pair[1] : 0;
        EXPECT_LE(255 * (std::max(a, 0) + std::max(b, 0)), 32767);
        EXPECT_GE(255 * (std::min(a, 0) + std::min(b, 0)), -32768);
      }
    }
  }
}

TEST(QuantizeWeights, MarksOutputsThatAreNotFinite) {
  const std::vector<float> weights = {1, kNan, 2, 3, kInfinity, 1, 0, 0};
  const QuantizedWeights q = QuantizeWeights(weights, 2, 4, Int8Sums::kPairs);
  EXPECT_TRUE(std::isnan(q.scales[0]));
  EXPECT_FALSE(std::isnan(q.scales[1]));
  EXPECT_TRUE(std::isnan(q.scales[2]));
  EXPECT_TRUE(std::isnormal(q.scales[3]));
  EXPECT_EQ(q.values[6], 0);
}

}  // namespace
}  // namespace longhand
