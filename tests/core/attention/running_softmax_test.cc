// RunningSoftmax against one softmax in double precision, however its rows and
// keys are cut.

#include "core/attention/running_softmax.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "core/compute/compute_context.h"
#include "gtest/gtest.h"
#include "tests/core/attention/layer_harness.h"
#include "tests/core/attention/pattern_twin.h"

namespace longhand {
namespace {

using testing::TwinKey;
using testing::TwinMix;
using testing::TwinWeights;
using Vector = std::vector<double>;

// Some rows of one head over two segments of keys with gaps between those that
// are taken.
class RunningSoftmaxTest : public ::testing::Test {
 protected:
  static constexpr int kDim = 24, kRows = 40, kStride = 30;

  RunningSoftmaxTest() {
    std::mt19937 random(80);
    std::normal_distribution<float> normal(0, 1);
    for (std::vector<float>* values : {&queries_, &keys_, &values_}) {
      values->resize(size_t{kStride} * 200);
      for (float& value : *values) value = normal(random);
    }
    for (int i = 0; i < 100; i += i < 40 ? 1 : 3) {
      chosen_.push_back(i);
      places_.push_back(2 * i);
    }
  }

  struct Result {
    std::vector<float> context, log_sums, segment_log_sums;
  };

  // Rows and keys in parts of at most these sizes.
  Result Run(int row_part, size_t key_part, int64_t nearest,
             int64_t farthest) const {
    constexpr float kNothing = -std::numeric_limits<float>::infinity();
    ComputeContext compute;
    const RunningSoftmax softmax(kDim, compute);
    const RunningSoftmax::Segment segments[] = {
        {keys_.data(), values_.data(), kStride, 55},
        {keys_.data() + 55 * kStride, values_.data() + 55 * kStride, kStride,
         45}};
    Result result{std::vector<float>(size_t{kRows} * kDim),
                  std::vector<float>(kRows, kNothing),
                  std::vector<float>(2 * size_t{kRows}, kNothing)};
    for (int row = 0; row < kRows; row += row_part) {
      for (size_t key = 0; key < chosen_.size(); key += key_part) {
        softmax.Add({.segments = segments,
                     .chosen = absl::MakeSpan(chosen_).subspan(key, key_part),
                     .places = absl::MakeSpan(places_).subspan(key, key_part),
                     .nearest = nearest,
                     .farthest = farthest},
                    {.queries = queries_.data() + row * kStride,
                     .query_stride = kStride,
                     .count = std::min(row_part, kRows - row),
                     .context = result.context.data() + row * kDim,
                     .context_stride = kDim,
                     .log_sums = result.log_sums.data() + row,
                     .log_stride = 1,
                     .segment_log_sums = result.segment_log_sums.data() + row,
                     .segment_stride = kRows,
                     .place = 60 + 3 * row,
                     .step = 3});
      }
    }
    return result;
  }

  // The same in double precision; rows that see nothing are 0.
  std::vector<double> Reference(int64_t nearest, int64_t farthest) const {
    std::vector<double> contexts;
    for (int row = 0; row < kRows; ++row) {
      std::vector<TwinKey> seen;
      for (size_t i = 0; i < chosen_.size(); ++i) {
        const int64_t distance = std::abs(60 + 3 * row - places_[i]);
        if (distance < nearest || distance > farthest) continue;
        const float* k = keys_.data() + chosen_[i] * kStride;
        const float* v = values_.data() + chosen_[i] * kStride;
        seen.push_back({Vector(k, k + kDim), Vector(v, v + kDim), 0});
      }
      const float* q = queries_.data() + row * kStride;
      const Vector context =
          seen.empty() ? Vector(kDim, 0.0)
                       : TwinMix(TwinWeights(Vector(q, q + kDim), seen), seen,
                                 &TwinKey::v);
      contexts.insert(contexts.end(), context.begin(), context.end());
    }
    return contexts;
  }

  std::vector<float> queries_, keys_, values_;
  std::vector<int> chosen_;
  std::vector<int64_t> places_;
};

TEST_F(RunningSoftmaxTest, AllPathsAgree) {
  static_assert(kRows * 60 > RunningSoftmax::kMaxSparsePairs);
  const std::pair<int64_t, int64_t> bounds[] = {
      {0, kAnyDistance}, {1, kAnyDistance}, {0, 7}, {3, 50}, {0, 0}};
  for (const auto& [nearest, farthest] : bounds) {
    const std::vector<double> expected = Reference(nearest, farthest);
    // Matrix products in place and gathered, and vector by vector.
    for (const auto& [rows, keys] :
         std::vector<std::pair<int, size_t>>{{kRows, 1000},
                                             {kRows, 20},
                                             {kRows, 7},
                                             {7, 50},
                                             {2, 64},
                                             {1, 1}}) {
      const Result result = Run(rows, keys, nearest, farthest);
      EXPECT_LE(testing::MaxDifference({result.context}, {expected}), 1e-5)
          << rows << " x " << keys;
      for (int row = 0; row < kRows; ++row) {
        const double whole = std::exp(double{result.log_sums[size_t(row)]});
        const double parts =
            std::exp(double{result.segment_log_sums[size_t(row)]}) +
            std::exp(double{result.segment_log_sums[size_t(row + kRows)]});
        EXPECT_NEAR(parts, whole, 1e-5 * whole);
      }
    }
  }
}

}  // namespace
}  // namespace longhand
