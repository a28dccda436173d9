#include "core/tensor/dtype.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace longhand {
namespace {

TEST(DType, NamesRoundTrip) {
#define LH_CHECK_DTYPE(id, name, bytes)      \
  EXPECT_EQ(DTypeName(DType::id), name);     \
  EXPECT_EQ(DTypeFromName(name), DType::id); \
  EXPECT_EQ(DTypeSize(DType::id), bytes);
  LH_DTYPE_LIST(LH_CHECK_DTYPE)
#undef LH_CHECK_DTYPE
}

TEST(DType, UnknownNames) {
  for (const char* name : {"", "f32", "F32 ", "F4", "FLOAT"}) {
    EXPECT_FALSE(DTypeFromName(name).has_value()) << name;
  }
}

TEST(DType, FloatTypes) {
  EXPECT_TRUE(IsFloat(DType::kF32));
  EXPECT_TRUE(IsFloat(DType::kF16));
  EXPECT_TRUE(IsFloat(DType::kBF16));
  EXPECT_TRUE(IsFloat(DType::kF64));
  EXPECT_FALSE(IsFloat(DType::kI64));
  EXPECT_FALSE(IsFloat(DType::kF8E4M3));
  EXPECT_FALSE(IsFloat(DType::kC64));
}

// The definition of IEEE 754 binary16, in double arithmetic.
double HalfValue(uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f;
  const int mantissa = bits & 0x3ff;
  const double magnitude = exponent == 0
                               ? std::ldexp(mantissa, -24)
                               : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

TEST(F16ToFloat, EveryHalf) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = F16ToFloat(bits);
    EXPECT_EQ(std::signbit(value), (bits & 0x8000) != 0) << bits;
    if ((bits & 0x7c00) != 0x7c00) {
      EXPECT_EQ(static_cast<double>(value), HalfValue(bits)) << bits;
    } else if ((bits & 0x3ff) == 0) {
      EXPECT_TRUE(std::isinf(value)) << bits;
    } else {
      EXPECT_TRUE(std::isnan(value)) << bits;
    }
  }
}

TEST(Bf16ToFloat, KnownValues) {
  EXPECT_EQ(Bf16ToFloat(0x0000), 0.0f);
  EXPECT_TRUE(std::signbit(Bf16ToFloat(0x8000)));
  EXPECT_EQ(Bf16ToFloat(0x3f80), 1.0f);
  EXPECT_EQ(Bf16ToFloat(0xc0a0), -5.0f);
  EXPECT_EQ(Bf16ToFloat(0x7f80), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(Bf16ToFloat(0x7fc0)));
  EXPECT_EQ(Bf16ToFloat(0x0001), std::ldexp(1.0f, -133));
}

TEST(Bf16ToFloat, IsTheUpperHalfOfAFloat) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(Bf16ToFloat(static_cast<uint16_t>(i))),
              i << 16);
  }
}

}  // namespace
}  // namespace longhand
