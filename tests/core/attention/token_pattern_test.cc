// What patterns are told in, and the random choice of some of them.

#include "core/attention/token_pattern.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr KeyComb kCombs[] = {
    {3, 1, 1, 1}, {0, 4, 4, 3}, {-5, 2, 7, 6}, {2, 1, 5, 40}, {10, 30, 30, 1}};

TEST(KeyComb, PlacesAreThoseOfItsTeeth) {
  for (const KeyComb& comb : kCombs) {
    for (int64_t begin = -10; begin < 60; ++begin) {
      for (int64_t end : {begin, begin + 1, begin + 6, begin + 50}) {
        std::vector<int64_t> expected, places;
        for (int64_t tooth = 0; tooth < comb.count; ++tooth) {
          for (int64_t i = 0; i < comb.length; ++i) {
            const int64_t place = comb.begin + tooth * comb.period + i;
            if (place >= begin && place < end) expected.push_back(place);
            EXPECT_LT(place, comb.end());
          }
        }
        AppendPlaces(comb, {begin, end}, &places);
        EXPECT_EQ(places, expected);
        EXPECT_EQ(Touches(comb, {begin, end}), !expected.empty());
      }
    }
  }
}

TEST(AddBand, HasEveryPairOfTheBandOnce) {
  for (int64_t window : {0, 1, 20, 64, 300}) {
    std::vector<QueryGroup> groups;
    AddBand({5, 205}, window, &groups);
    int64_t pairs = 0, expected = 0;
    for (const QueryGroup& group : groups) {
      std::vector<int64_t> keys;
      for (const KeyComb& comb : group.keys) {
        AppendPlaces(comb, {0, 250}, &keys);
      }
      for (int i = 0; i < group.count; ++i) {
        for (int64_t key : keys) {
          pairs += std::abs(group.begin + i - key) <= group.farthest ? 1 : 0;
        }
      }
    }
    for (int64_t query = 5; query < 205; ++query) {
      for (int64_t key = 0; key < 250; ++key) {
        expected += std::abs(query - key) <= window ? 1 : 0;
      }
    }
    EXPECT_EQ(pairs, expected) << window;
    EXPECT_EQ(CoversAll(groups, {5, 205}), window >= 199);
  }
}

TEST(DrawNumbers, AreDifferentAndDependOnSeedAndStreamAlone) {
  for (int64_t population : {0, 1, 2, 5, 100}) {
    for (int count : {0, 1, 3, 99, 200}) {
      const auto drawn = DrawNumbers(1, 2, population, count);
      EXPECT_EQ(int64_t(drawn.size()), std::min<int64_t>(population, count));
      for (size_t i = 0; i < drawn.size(); ++i) {
        EXPECT_GT(drawn[i], i == 0 ? -1 : drawn[i - 1]);
        EXPECT_LT(drawn[i], population);
      }
      EXPECT_EQ(DrawNumbers(1, 2, population, count), drawn);
    }
  }
  EXPECT_NE(DrawNumbers(1, 2, 1000, 3), DrawNumbers(2, 2, 1000, 3));
  EXPECT_NE(DrawNumbers(1, 2, 1000, 3), DrawNumbers(1, 3, 1000, 3));
}

TEST(DrawNumbers, AreDrawnEvenly) {
  constexpr int kStreams = 10000, kPopulation = 10, kCount = 3;
  std::vector<int> times(kPopulation);
  for (int stream = 0; stream < kStreams; ++stream) {
    for (int64_t x : DrawNumbers(0, uint64_t(stream), kPopulation, kCount)) {
      ++times[size_t(x)];
    }
  }
  // Binomial(10000, 0.3): 5 standard deviations are 229.
  for (int count : times) EXPECT_NEAR(count, 3000, 229);
}

}  // namespace
}  // namespace longhand
