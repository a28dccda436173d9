#include "core/base/checked_math.h"

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(CheckedSize, ExactResults) {
  EXPECT_EQ((CheckedSize(6) * 7 + 8 - 50).value(), 0u);
  EXPECT_EQ((CheckedSize(kMax / 2) * 2 + 1).value(), kMax);
  EXPECT_EQ((CheckedSize(0) * kMax).value(), 0u);
  static_assert((CheckedSize(3) * 5).value() == 15);
}

TEST(CheckedSize, EveryOverflowIsNoticed) {
  EXPECT_FALSE((CheckedSize(kMax) + 1).ok());
  EXPECT_FALSE((CheckedSize(uint64_t{1} << 32) * (uint64_t{1} << 32)).ok());
  EXPECT_FALSE((CheckedSize(1) - 2).ok());
}

TEST(CheckedSize, OverflowIsNeverForgotten) {
  CheckedSize size = kMax;
  size += 1;  // wraps to 0 in plain arithmetic
  size *= 0;
  size += 5;
  EXPECT_FALSE(size.ok());
  EXPECT_FALSE((CheckedSize(1) * size).ok());
  EXPECT_FALSE((CheckedSize(1) + size).ok());
  EXPECT_FALSE((CheckedSize(1) - size).ok());
}

TEST(CheckedSizeDeathTest, ValueAfterOverflow) {
  const CheckedSize size = CheckedSize(kMax) + 1;
  EXPECT_DEATH((void)size.value(), "check failed: !overflow_");
}

}  // namespace
}  // namespace longhand
