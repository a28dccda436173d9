// SoftmaxAttention against its slow twin, at sizes around every vector length,
// tile of queries and block of keys.

#include "core/compute/softmax_attention.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/compute/reference.h"
#include "core/compute/workspace.h"
#include "gtest/gtest.h"
#include "tests/core/compute/random_vectors.h"

namespace longhand {
namespace {

using testing::ExpectNear;

// Nothing may be written between the rows.
constexpr float kUntouched = 77;

struct Case {
  int queries, keys, heads, dim;
  float deviation;  // of the scores, about
};

struct Problem {
  Case size;
  int64_t query_stride, key_stride, context_stride;
  std::vector<float> queries, keys, values;

  explicit Problem(const Case& c)
      : size(c),
        query_stride(c.heads * c.dim + 3),
        key_stride(c.heads * c.dim + 5),
        context_stride(c.heads * c.dim + 2) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>* to, int64_t count) {
      to->resize(size_t(count));
      for (float& value : *to) value = normal(random);
    };
    fill(&queries, c.queries * query_stride);
    fill(&keys, c.keys * key_stride);
    fill(&values, c.keys * key_stride);
  }

  struct Result {
    std::vector<float> context, log_sums;
  };

  // `first` and `count` of the queries.
  SoftmaxAttentionArgs Args(int first, int count, Result* result) const {
    result->context.assign(size_t(count * context_stride), kUntouched);
    result->log_sums.assign(size_t(count * size.heads), 0);
    return {.queries = queries.data() + first * query_stride,
            .keys = keys.data(),
            .values = values.data(),
            .query_stride = query_stride,
            .key_stride = key_stride,
            .num_queries = count,
            .num_keys = size.keys,
            .num_heads = size.heads,
            .head_dim = size.dim,
            .scale = size.deviation / std::sqrt(float(size.dim)),
            .context = result->context.data(),
            .context_stride = context_stride,
            .log_sums = result->log_sums.data()};
  }
};

constexpr Case kCases[] = {
    {1, 1, 1, 1, 1},      {1, 2, 2, 3, 1},      {5, 7, 1, 8, 1},
    {6, 16, 2, 16, 1},    {7, 17, 1, 31, 1},    {12, 33, 3, 32, 1},
    {13, 128, 12, 32, 1}, {128, 126, 2, 32, 3}, {9, 50, 2, 64, 1},
    {4, 65, 1, 80, 1},    {3, 512, 1, 33, 40},  {11, 1023, 1, 32, 1},
    {8, 1024, 1, 32, 1},  {8, 1025, 2, 32, 1},  {7, 3000, 1, 40, 5},
};

TEST(SoftmaxAttention, IsThatOfItsTwin) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(absl::StrCat(c.queries, " queries, ", c.keys, " keys, ",
                              c.heads, " x ", c.dim));
    const Problem problem(c);
    Problem::Result fast, slow;
    Workspace workspace;
    SoftmaxAttention(problem.Args(0, c.queries, &fast), workspace);
    reference::SoftmaxAttention(problem.Args(0, c.queries, &slow));
    ExpectNear(fast.context, slow.context, 2e-5);
    ExpectNear(fast.log_sums, slow.log_sums, 1e-5);
  }
}

// Who is computed beside a query must not show in it, nor whether its log sum
// is wanted.
TEST(SoftmaxAttention, AQueryDoesNotDependOnTheOthers) {
  const Problem problem({20, 1500, 2, 32, 2});
  Problem::Result all;
  Workspace workspace;
  SoftmaxAttention(problem.Args(0, 20, &all), workspace);
  for (int first : {0, 5, 19}) {
    Problem::Result one;
    SoftmaxAttentionArgs args = problem.Args(first, 1, &one);
    args.log_sums = nullptr;
    SoftmaxAttention(args, workspace);
    const auto begin = all.context.begin() + first * problem.context_stride;
    EXPECT_EQ(one.context,
              std::vector<float>(begin, begin + problem.context_stride));
  }
}

TEST(SoftmaxAttention, SurvivesExtremeScores) {
  Problem problem({3, 1030, 1, 4, 1});
  // The largest score is in the last block, e^200 above all others.
  for (int i = 0; i < 4; ++i) {
    problem.keys[size_t(1029 * problem.key_stride + i)] = 400;
    for (int q = 0; q < 3; ++q) {
      problem.queries[size_t(q * problem.query_stride + i)] = 1;
    }
  }
  Problem::Result fast, slow;
  Workspace workspace;
  SoftmaxAttention(problem.Args(0, 3, &fast), workspace);
  reference::SoftmaxAttention(problem.Args(0, 3, &slow));
  ExpectNear(fast.context, slow.context, 1e-6);
  ExpectNear(fast.log_sums, slow.log_sums, 1e-6);
}

// A NaN stays where it is.
TEST(SoftmaxAttention, ANanReachesOnlyItsOwnQuery) {
  Problem problem({8, 40, 1, 32, 1});
  problem.queries[size_t(2 * problem.query_stride)] =
      std::numeric_limits<float>::quiet_NaN();
  Problem::Result result;
  Workspace workspace;
  SoftmaxAttention(problem.Args(0, 8, &result), workspace);
  for (int q = 0; q < 8; ++q) {
    EXPECT_EQ(std::isnan(result.context[size_t(q * problem.context_stride)]),
              q == 2)
        << q;
  }
}

}  // namespace
}  // namespace longhand
