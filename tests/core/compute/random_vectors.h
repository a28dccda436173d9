// Random vectors and their comparison, for the tests of the vector loops.
#ifndef LONGHAND_TESTS_CORE_COMPUTE_RANDOM_VECTORS_H_
#define LONGHAND_TESTS_CORE_COMPUTE_RANDOM_VECTORS_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace longhand::testing {

// Normal deviates of standard deviation `scale`, the same for the same seed.
inline std::vector<float> Random(int64_t size, uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) value = normal(random);
  return values;
}

// `tolerance` is relative where the slow twin's value is large.
inline void ExpectNear(const std::vector<float>& fast,
                       const std::vector<float>& slow, double tolerance) {
  ASSERT_EQ(fast.size(), slow.size());
  for (size_t i = 0; i < fast.size(); ++i) {
    ASSERT_NEAR(fast[i], slow[i], tolerance * (1 + std::abs(slow[i]))) << i;
  }
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_COMPUTE_RANDOM_VECTORS_H_
