// The merge loops against their slow twins, at sizes around every vector
// length.

#include "core/compute/merge_ops.h"

#include <cmath>
#include <vector>

#include "core/compute/reference.h"
#include "core/compute/vector_ops.h"
#include "gtest/gtest.h"
#include "tests/core/compute/random_vectors.h"

namespace longhand {
namespace {

using testing::ExpectNear;
using testing::Random;

constexpr int kSizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 129};

TEST(MergeOps, SoftmaxRowsWithLogSum) {
  for (int columns : kSizes) {
    for (float scale : {0.1f, 5.0f, 80.0f}) {
      auto fast = Random(3 * (columns + 2), 1, scale), slow = fast;
      std::vector<float> fast_sums(3), slow_sums(3);
      SoftmaxRowsWithLogSum(fast.data(), 3, columns, columns + 2,
                            fast_sums.data());
      reference::SoftmaxRowsWithLogSum(slow.data(), 3, columns, columns + 2,
                                       slow_sums.data());
      ExpectNear(fast, slow, 1e-5);
      ExpectNear(fast_sums, slow_sums, 1e-5);
    }
  }
}

// A context must not depend on whether its log sums are wanted.
TEST(MergeOps, SoftmaxHasTheSameBitsWithAndWithoutLogSum) {
  for (int columns : kSizes) {
    auto with = Random(5 * columns, 2, 3), without = with;
    std::vector<float> sums(5);
    SoftmaxRowsWithLogSum(with.data(), 5, columns, columns, sums.data());
    SoftmaxRows(without.data(), 5, columns, columns);
    EXPECT_EQ(with, without) << columns;
  }
}

TEST(MergeOps, RowDots) {
  for (int size : kSizes) {
    const auto a = Random(4 * (size + 3), 3), b = Random(size, 4);
    std::vector<float> fast(4), slow(4);
    RowDots(a.data(), size + 3, 4, b.data(), size, fast.data());
    reference::RowDots(a.data(), size + 3, 4, b.data(), size, slow.data());
    ExpectNear(fast, slow, 1e-5);
  }
}

TEST(MergeOps, BlendRows) {
  for (int size : kSizes) {
    const auto other = Random(4 * size, 5), scale = Random(4, 6);
    const std::vector<float> share = {0, 0.25f, 0.7f, 1};
    auto fast = Random(4 * (size + 2), 7), slow = fast;
    const auto before = fast;
    const auto args = [&](std::vector<float>& context) {
      return BlendRowsArgs{.other = other.data(),
                           .scale = scale.data(),
                           .share = share.data(),
                           .rows = 4,
                           .size = size,
                           .context = context.data(),
                           .context_stride = size + 2};
    };
    BlendRows(args(fast));
    reference::BlendRows(args(slow));
    ExpectNear(fast, slow, 1e-6);
    // Nothing between the rows is touched.
    for (int r = 0; r < 4; ++r) {
      for (int i = size; i < size + 2; ++i) {
        EXPECT_EQ(fast[size_t(r * (size + 2) + i)],
                  before[size_t(r * (size + 2) + i)]);
      }
    }
  }
}

}  // namespace
}  // namespace longhand
