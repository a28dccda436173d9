// What every registered chunker must keep: chunks tile the tokens, none is
// longer than the limit, and the way in which tokens arrive does not matter.
// Loops over the registry.

#include <random>
#include <string>
#include <vector>

#include "core/chunking/registry.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

TokenSequence MakeTokens(size_t begin, size_t count) {
  TokenSequence tokens;
  for (size_t i = begin; i < begin + count; ++i) {
    tokens.ids.push_back(int32_t(i % 997));
    tokens.begin.push_back(5 * i);
    tokens.end.push_back(5 * i + 4);
  }
  return tokens;
}

std::vector<std::pair<int64_t, int64_t>> Cut(
    const std::string& name, int max_tokens,
    const std::vector<size_t>& pieces) {
  auto chunker = (**ChunkerRegistry().Find(name))({.max_tokens = max_tokens});
  std::vector<Chunk> chunks;
  size_t begin = 0;
  for (size_t piece : pieces) {
    (*chunker)->Push(MakeTokens(begin, piece), &chunks);
    begin += piece;
    // A chunk is final only once the token after it is known.
    if (!chunks.empty()) {
      EXPECT_LT(chunks.back().end, int64_t(begin));
    }
  }
  (*chunker)->Flush(&chunks);
  std::vector<std::pair<int64_t, int64_t>> result;
  for (const Chunk& chunk : chunks) result.emplace_back(chunk.begin, chunk.end);
  return result;
}

class ChunkerConformance : public ::testing::TestWithParam<std::string> {};

TEST_P(ChunkerConformance, ChunksTileTheTokens) {
  for (int max_tokens : {1, 7, 126}) {
    for (size_t count : {1, 6, 7, 8, 125, 126, 127, 252, 1000}) {
      int64_t next = 0;
      for (const auto& [begin, end] : Cut(GetParam(), max_tokens, {count})) {
        EXPECT_EQ(begin, next);
        EXPECT_GT(end, begin);
        EXPECT_LE(end - begin, max_tokens);
        next = end;
      }
      EXPECT_EQ(next, int64_t(count));
    }
  }
}

TEST_P(ChunkerConformance, PiecesDoNotMatter) {
  const auto whole = Cut(GetParam(), 126, {5000});
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    std::vector<size_t> pieces;
    size_t left = 5000;
    while (left > 0) {
      pieces.push_back(std::min<size_t>(left, random() % 400));
      left -= pieces.back();
    }
    EXPECT_EQ(Cut(GetParam(), 126, pieces), whole);
  }
}

TEST_P(ChunkerConformance, NoTokensGiveNoChunks) {
  EXPECT_TRUE(Cut(GetParam(), 126, {}).empty());
}

INSTANTIATE_TEST_SUITE_P(Chunkers, ChunkerConformance,
                         ::testing::ValuesIn(ChunkerRegistry().Names()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace longhand
