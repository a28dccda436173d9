// The vector loops against their slow twins, at sizes around every vector
// length.

#include "core/compute/vector_ops.h"

#include <cmath>
#include <vector>

#include "core/compute/reference.h"
#include "gtest/gtest.h"
#include "tests/core/compute/random_vectors.h"

namespace longhand {
namespace {

using testing::ExpectNear;
using testing::Random;

constexpr int64_t kSizes[] = {1,  2,  3,  7,  8,  9,   15,
                              16, 17, 31, 33, 64, 384, 385};

TEST(VectorOps, SoftmaxRows) {
  for (int64_t columns : kSizes) {
    for (float scale : {0.1f, 5.0f, 80.0f}) {
      std::vector<float> fast = Random(3 * (columns + 2), 1, scale),
                         slow = fast;
      SoftmaxRows(fast.data(), 3, int(columns), columns + 2);
      reference::SoftmaxRows(slow.data(), 3, int(columns), columns + 2);
      ExpectNear(fast, slow, 2e-6);
    }
  }
}

TEST(VectorOps, SoftmaxIgnoresTheLowestScore) {
  std::vector<float> scores = {1.0f, std::numeric_limits<float>::lowest() / 2,
                               1.0f};
  SoftmaxRows(scores.data(), 1, 3, 3);
  EXPECT_EQ(scores[1], 0.0f);
  EXPECT_FLOAT_EQ(scores[0], 0.5f);
}

TEST(VectorOps, LayerNormRows) {
  for (int64_t columns : kSizes) {
    std::vector<float> fast = Random(4 * columns, 2, 3), slow = fast;
    const std::vector<float> scale = Random(columns, 3),
                             bias = Random(columns, 4);
    LayerNormRows(fast.data(), 4, int(columns), scale.data(), bias.data(),
                  1e-5f);
    reference::LayerNormRows(slow.data(), 4, int(columns), scale.data(),
                             bias.data(), 1e-5f);
    ExpectNear(fast, slow, 1e-4);
  }
}

TEST(VectorOps, RmsNormRows) {
  for (int64_t columns : kSizes) {
    const int64_t stride = columns + 3;
    std::vector<float> fast = Random(4 * stride, 2, 3), slow = fast;
    const std::vector<float> scale = Random(columns, 3);
    RmsNormRows(fast.data(), 4, int(columns), scale.data(), stride, 1e-5f);
    reference::RmsNormRows(slow.data(), 4, int(columns), scale.data(), stride,
                           1e-5f);
    ExpectNear(fast, slow, 1e-5);
  }
}

TEST(VectorOps, ElementWise) {
  for (int64_t size : kSizes) {
    const std::vector<float> x = Random(size, 5, 4);
    std::vector<float> fast(x.size()), slow(x.size());
    EluPlusOne(x.data(), size, fast.data());
    reference::EluPlusOne(x.data(), size, slow.data());
    ExpectNear(fast, slow, 1e-6);
    for (float value : fast) EXPECT_GT(value, 0);
    LogEluPlusOne(x.data(), size, fast.data());
    reference::LogEluPlusOne(x.data(), size, slow.data());
    ExpectNear(fast, slow, 1e-6);
    SquaredRelu(x.data(), size, fast.data());
    reference::SquaredRelu(x.data(), size, slow.data());
    ExpectNear(fast, slow, 1e-6);
    AddTo(x.data(), size, fast.data());
    reference::AddTo(x.data(), size, slow.data());
    Multiply(x.data(), size, fast.data());
    reference::Multiply(x.data(), size, slow.data());
    Scale(0.3f, size, fast.data());
    reference::Scale(0.3f, size, slow.data());
    ExpectNear(fast, slow, 1e-6);
  }
}

TEST(VectorOps, Dots) {
  for (int64_t size : kSizes) {
    const std::vector<float> a = Random(size, 6), b = Random(size, 7),
                             c = Random(size, 8);
    const float* x[] = {b.data(), c.data()};
    std::vector<float> fast(2), slow(2);
    Dots(a.data(), x, size, 0.5f, fast.data());
    reference::Dots(a.data(), x, size, 0.5f, slow.data());
    ExpectNear(fast, slow, 2e-5);
  }
}

}  // namespace
}  // namespace longhand
