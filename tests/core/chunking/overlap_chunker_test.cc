// Which window answers for which token, against the definition: the window with
// the most context on both sides.

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/chunking/registry.h"
#include "gtest/gtest.h"
#include "tests/core/chunking/toy_document.h"

namespace longhand {
namespace {

absl::StatusOr<std::unique_ptr<Chunker>> Make(const ChunkerOptions& options) {
  return (**ChunkerRegistry().Find("overlap"))(options);
}

std::vector<Chunk> Cut(const ChunkerOptions& options, size_t count) {
  TokenSequence tokens;
  tokens.ids.resize(count);
  tokens.begin.resize(count);
  tokens.end.resize(count);
  return CutAtOnce(**Make(options), "", tokens);
}

// The first chunk whose window gives the token the largest
// min(tokens before it, tokens after it).
size_t BestWindow(const std::vector<Chunk>& chunks, int64_t token) {
  size_t best = chunks.size();
  int64_t most = -1;
  for (size_t i = 0; i < chunks.size(); ++i) {
    const int64_t before = token - chunks[i].window_begin;
    const int64_t after = chunks[i].window_end - 1 - token;
    if (std::min(before, after) <= most) continue;
    best = i;
    most = std::min(before, after);
  }
  return best;
}

TEST(OverlapChunker, TokensBelongToTheWindowWithMostContext) {
  for (int max_tokens : {1, 2, 3, 5, 8, 13}) {
    for (int overlap = 0; overlap < max_tokens; ++overlap) {
      for (size_t count = 1; count <= 45; ++count) {
        const auto chunks =
            Cut({.max_tokens = max_tokens, .overlap_tokens = overlap}, count);
        for (size_t i = 0; i < chunks.size(); ++i) {
          for (int64_t t = chunks[i].begin; t < chunks[i].end; ++t) {
            ASSERT_EQ(BestWindow(chunks, t), i)
                << "token " << t << " of " << count << ", windows of "
                << max_tokens << " that share " << overlap;
          }
        }
      }
    }
  }
}

TEST(OverlapChunker, WindowsAreFullAndNoneIsTooMany) {
  for (int overlap : {1, 3, 6, 9}) {
    for (int64_t count = 10; count <= 60; ++count) {
      const auto chunks =
          Cut({.max_tokens = 10, .overlap_tokens = overlap}, size_t(count));
      const int64_t stride = 10 - overlap;
      EXPECT_EQ(int64_t(chunks.size()), (count - 10 + stride - 1) / stride + 1);
      for (size_t i = 0; i < chunks.size(); ++i) {
        EXPECT_EQ(chunks[i].window_size(), 10);
        EXPECT_EQ(chunks[i].window_begin,
                  std::min(int64_t(i) * stride, count - 10));
      }
    }
  }
}

TEST(OverlapChunker, HalfOfTheWindowIsTheDefault) {
  const auto chunks = Cut({.max_tokens = 8}, 16);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[1].window_begin, 4);
  EXPECT_EQ(chunks[1].begin, 6);
  EXPECT_EQ(chunks[1].end, 10);
}

TEST(OverlapChunker, AShortDocumentIsOneWindow) {
  const auto chunks = Cut({.max_tokens = 8}, 5);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].window_end, 5);
}

TEST(OverlapChunker, RefusesAnOverlapOfWholeWindows) {
  for (int overlap : {-1, 8, 9}) {
    const auto chunker = Make({.max_tokens = 8, .overlap_tokens = overlap});
    ASSERT_FALSE(chunker.ok());
    EXPECT_EQ(chunker.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetErrorDetail(chunker.status())->reason, "CHUNKER_OPTIONS");
  }
}

}  // namespace
}  // namespace longhand
