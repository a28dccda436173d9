#include <string>
#include <vector>

#include "bench/attention/passages.h"
#include "gtest/gtest.h"
#include "tests/core/base/temp_dir.h"

namespace longhand::attention {
namespace {

TEST(Passages, TileADocument) {
  EXPECT_TRUE(PassagesOf(0).empty());
  EXPECT_EQ(PassagesOf(kPassageBytes).size(), 1u);
  const std::vector<ByteSpan> passages = PassagesOf(2 * kPassageBytes + 1);
  ASSERT_EQ(passages.size(), 3u);
  uint64_t next = 0;
  for (const ByteSpan& passage : passages) {
    EXPECT_EQ(passage.begin, next);
    next = passage.end;
  }
  EXPECT_EQ(next, 2 * kPassageBytes + 1);
}

TEST(Passages, ComeBackFromAFile) {
  const TempDir directory;
  const std::string path = directory.path() + "/passages";
  const Passages passages{.size = 2, .vectors = {1, 2, 3, 4}};
  ASSERT_TRUE(WritePassages(path, passages).ok());
  const auto read = ReadPassages(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size, 2);
  EXPECT_EQ(read->vectors, passages.vectors);
  directory.Write("cut", "abc");
  EXPECT_FALSE(ReadPassages(directory.path() + "/cut").ok());
  EXPECT_FALSE(ReadPassages(directory.path() + "/none").ok());
}

TEST(Passages, AgreeByTheirCosines) {
  const Passages a{.size = 2, .vectors = {1, 0, 0, 2}};
  const Passages b{.size = 2, .vectors = {3, 0, 1, 0}};
  const auto agreement = Compare(a, b);
  ASSERT_TRUE(agreement.ok());
  EXPECT_DOUBLE_EQ(agreement->mean_cosine, 0.5);
  EXPECT_DOUBLE_EQ(agreement->min_cosine, 0);
  EXPECT_FALSE(Compare(a, {.size = 4, .vectors = {1, 0, 0, 2}}).ok());
  EXPECT_FALSE(Compare({}, {}).ok());
}

}  // namespace
}  // namespace longhand::attention
