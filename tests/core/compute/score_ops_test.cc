// Scores and their filter against their slow twins, at sizes around every
// vector length and tile, and that nothing beside a score changes it.

#include "core/compute/score_ops.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/compute/reference.h"
#include "gtest/gtest.h"
#include "tests/core/compute/random_vectors.h"

namespace longhand {
namespace {

using testing::Random;

struct Case {
  std::vector<std::vector<float>> queries, keys;
  std::vector<const float*> query_rows, key_rows;
  std::vector<float> scores;
  int64_t stride;

  Case(int rows, int slots, int64_t size) : stride(slots + 3) {
    for (int r = 0; r < rows; ++r) queries.push_back(Random(size, 10 + r));
    for (int s = 0; s < slots; ++s) keys.push_back(Random(size, 1000 + s));
    for (const auto& query : queries) query_rows.push_back(query.data());
    for (const auto& key : keys) key_rows.push_back(key.data());
    scores.assign(size_t(rows * stride), -7.0f);
  }
  ScoresArgs Args() {
    return {.queries = query_rows,
            .keys = key_rows,
            .size = int64_t(keys[0].size()),
            .factor = 0.3f,
            .scores = scores.data(),
            .score_stride = stride};
  }
};

TEST(Scores, AreTheirSlowTwin) {
  Workspace workspace;
  for (int rows : {1, 5, 6, 7, 13}) {
    for (int slots : {1, 3, 8, 15, 16, 17, 50, 129}) {
      for (int64_t size : {1, 3, 4, 7, 32, 64, 65}) {
        Case fast(rows, slots, size), slow(rows, slots, size);
        Scores(fast.Args(), workspace);
        reference::Scores(slow.Args());
        for (size_t i = 0; i < fast.scores.size(); ++i) {
          // What lies between the rows stays as it is too.
          ASSERT_NEAR(fast.scores[i], slow.scores[i],
                      2e-5 * (1 + std::abs(slow.scores[i])))
              << rows << " rows, " << slots << " keys, " << size;
        }
      }
    }
  }
}

TEST(Scores, DoNotDependOnEachOther) {
  Workspace workspace;
  Case together(13, 50, 32), alone(13, 50, 32);
  Scores(together.Args(), workspace);
  for (size_t r = 0; r < alone.queries.size(); ++r) {
    for (size_t first : {0, 11}) {
      ScoresArgs args = alone.Args();
      args.queries = args.queries.subspan(r, 1);
      args.keys = args.keys.subspan(first, first == 0 ? 11 : 50);
      args.scores += int64_t(r) * alone.stride + int64_t(first);
      Scores(args, workspace);
    }
  }
  EXPECT_EQ(together.scores, alone.scores);
}

TEST(ColumnScores, AreTheirSlowTwinAndScoresBitForBit) {
  Workspace workspace;
  for (int rows : {1, 3}) {
    for (int slots : {1, 7, 8, 31, 33, 64, 65, 128, 190}) {
      for (int64_t size : {1, 5, 32, 64}) {
        Case expected(rows, slots, size), fast(rows, slots, size),
            slow(rows, slots, size);
        const int64_t stride =
            (slots + kColumnBlock - 1) / kColumnBlock * kColumnBlock;
        std::vector<float> columns(size_t(size * stride), 1e30f);
        for (int s = 0; s < slots; ++s) {
          for (int64_t c = 0; c < size; ++c) {
            columns[size_t(c * stride + s)] =
                expected.keys[size_t(s)][size_t(c)];
          }
        }
        ColumnScoresArgs args = {.queries = fast.query_rows,
                                 .columns = columns.data(),
                                 .stride = stride,
                                 .slots = slots,
                                 .size = size,
                                 .factor = 0.3f,
                                 .scores = fast.scores.data(),
                                 .score_stride = fast.stride};
        ColumnScores(args);
        Scores(expected.Args(), workspace);
        EXPECT_EQ(fast.scores, expected.scores) << slots << ", " << size;
        args.queries = slow.query_rows;
        args.scores = slow.scores.data();
        reference::ColumnScores(args);
        for (size_t i = 0; i < fast.scores.size(); ++i) {
          ASSERT_NEAR(fast.scores[i], slow.scores[i],
                      2e-5 * (1 + std::abs(slow.scores[i])));
        }
      }
    }
  }
}

TEST(IndicesAtLeast, AreTheirSlowTwin) {
  for (int size : {0, 1, 7, 8, 9, 16, 31, 100}) {
    std::vector<float> x = Random(size + 5, 1);
    if (size > 8) {
      x[5] = std::numeric_limits<float>::quiet_NaN();
      x[6] = std::numeric_limits<float>::infinity();
      x[7] = -x[6];
    }
    for (float threshold : {-std::numeric_limits<float>::infinity(), -0.5f,
                            x[3], 0.0f, 0.7f, 10.0f}) {
      for (int begin : {0, 2}) {
        std::vector<int> fast(size_t(size), -1), slow = fast;
        const int end = begin + size;
        const int64_t count =
            IndicesAtLeast(x.data(), begin, end, threshold, fast.data());
        EXPECT_EQ(count, reference::IndicesAtLeast(x.data(), begin, end,
                                                   threshold, slow.data()));
        EXPECT_EQ(fast, slow) << size << " from " << begin;
      }
    }
  }
}

}  // namespace
}  // namespace longhand
