// CheckedSize: byte and element counts that come from a file or a request. An
// overflow is remembered instead of wrapping, so a chain of products and sums
// needs one check at its end. A value type; safe from any thread.
#ifndef LONGHAND_CORE_BASE_CHECKED_MATH_H_
#define LONGHAND_CORE_BASE_CHECKED_MATH_H_

#include <cstdint>

#include "core/base/check.h"

namespace longhand {

class CheckedSize {
 public:
  // Implicit, so that `CheckedSize(a) * b + c` reads like arithmetic.
  constexpr CheckedSize(uint64_t value) : value_(value) {}  // NOLINT

  constexpr CheckedSize& operator*=(CheckedSize other) {
    overflow_ = overflow_ || other.overflow_ ||
                __builtin_mul_overflow(value_, other.value_, &value_);
    return *this;
  }
  constexpr CheckedSize& operator+=(CheckedSize other) {
    overflow_ = overflow_ || other.overflow_ ||
                __builtin_add_overflow(value_, other.value_, &value_);
    return *this;
  }
  // Going below zero is an overflow too.
  constexpr CheckedSize& operator-=(CheckedSize other) {
    overflow_ = overflow_ || other.overflow_ ||
                __builtin_sub_overflow(value_, other.value_, &value_);
    return *this;
  }
  friend constexpr CheckedSize operator*(CheckedSize a, CheckedSize b) {
    return a *= b;
  }
  friend constexpr CheckedSize operator+(CheckedSize a, CheckedSize b) {
    return a += b;
  }
  friend constexpr CheckedSize operator-(CheckedSize a, CheckedSize b) {
    return a -= b;
  }

  // Whether every step so far fitted into 64 bits.
  constexpr bool ok() const { return !overflow_; }

  // REQUIRES: ok().
  constexpr uint64_t value() const {
    LH_CHECK(!overflow_);
    return value_;
  }

 private:
  uint64_t value_;
  bool overflow_ = false;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_CHECKED_MATH_H_
