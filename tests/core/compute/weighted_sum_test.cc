// Weighted sums against their slow twin, at sizes around every vector length
// and tile, and that nothing beside a row changes it.

#include "core/compute/weighted_sum.h"

#include <cmath>
#include <vector>

#include "core/compute/reference.h"
#include "gtest/gtest.h"
#include "tests/core/compute/random_vectors.h"

namespace longhand {
namespace {

using testing::Random;

struct Case {
  std::vector<std::vector<float>> sources, sums;
  std::vector<const float*> x;
  std::vector<float*> y;
  std::vector<float> weights;

  Case(int rows, int count, int64_t size) {
    for (int s = 0; s < count; ++s) sources.push_back(Random(size, 10 + s));
    for (int r = 0; r < rows; ++r) sums.push_back(Random(size, 1000 + r));
    weights = Random(int64_t{rows} * count, 9);
    for (auto& source : sources) x.push_back(source.data());
    for (auto& sum : sums) y.push_back(sum.data());
  }
  WeightedSumArgs Args() {
    return {.x = x,
            .weights = weights.data(),
            .weight_stride = int64_t(x.size()),
            .y = absl::MakeSpan(y),
            .size = int64_t(sums[0].size())};
  }
};

TEST(WeightedSum, IsItsSlowTwin) {
  for (int rows : {1, 3, 4, 5, 9}) {
    for (int count : {1, 7, 8, 20, 64, 70}) {
      for (int64_t size : {1, 9, 23, 24, 25, 64, 150, 1056}) {
        Case fast(rows, count, size), slow(rows, count, size);
        WeightedSum(fast.Args());
        reference::WeightedSum(slow.Args());
        for (size_t r = 0; r < fast.sums.size(); ++r) {
          for (size_t i = 0; i < fast.sums[r].size(); ++i) {
            const float want = slow.sums[r][i];
            ASSERT_NEAR(fast.sums[r][i], want, 2e-5 * (1 + std::abs(want)))
                << rows << " rows, " << count << " sources, " << size;
          }
        }
      }
    }
  }
}

TEST(WeightedSum, OfARowDoesNotDependOnItsMates) {
  for (int64_t size : {24, 70, 1056}) {
    Case together(9, 100, size), alone(9, 100, size);
    WeightedSum(together.Args());
    for (size_t r = 0; r < alone.y.size(); ++r) {
      // Row by row, and its sources in two calls.
      WeightedSumArgs args = alone.Args();
      args.y = args.y.subspan(r, 1);
      args.weights += r * alone.x.size();
      args.x = absl::MakeConstSpan(alone.x).subspan(0, 5);
      WeightedSum(args);
      args.x = absl::MakeConstSpan(alone.x).subspan(5);
      args.weights += 5;
      WeightedSum(args);
    }
    EXPECT_EQ(together.sums, alone.sums) << size;
  }
}

TEST(WeightedSum, LeavesOutWhatWeighsNothing) {
  Case all(6, 80, 1056), few(6, 80, 1056);
  for (size_t i = 0; i < all.weights.size(); ++i) {
    if (i % 7 != 3) all.weights[i] = 0;
  }
  WeightedSum(all.Args());
  for (size_t r = 0; r < few.y.size(); ++r) {
    std::vector<const float*> x;
    std::vector<float> weights;
    for (size_t s = 0; s < few.x.size(); ++s) {
      const float weight = all.weights[r * few.x.size() + s];
      if (weight == 0) continue;
      x.push_back(few.x[s]);
      weights.push_back(weight);
    }
    WeightedSumArgs args = few.Args();
    args.x = x;
    args.weights = weights.data();
    args.y = args.y.subspan(r, 1);
    WeightedSum(args);
  }
  EXPECT_EQ(all.sums, few.sums);
}

}  // namespace
}  // namespace longhand
