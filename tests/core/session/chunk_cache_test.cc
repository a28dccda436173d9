#include "core/session/chunk_cache.h"

#include <memory>

#include "gtest/gtest.h"

namespace longhand {
namespace {

std::shared_ptr<const EncodedChunk> Chunk(uint8_t name) {
  auto chunk = std::make_shared<EncodedChunk>();
  chunk->key.fill(name);
  chunk->pooled.resize(4);
  return chunk;
}

ChunkKey Key(uint8_t name) {
  ChunkKey key;
  key.fill(name);
  return key;
}

TEST(ChunkCacheTest, KnowsWhatSomebodyHolds) {
  ChunkCache cache(0);
  auto chunk = Chunk(1);
  cache.Keep("a", chunk);
  EXPECT_EQ(cache.Find("a", Key(1)), chunk);
  chunk.reset();
  EXPECT_EQ(cache.Find("a", Key(1)), nullptr);
  EXPECT_EQ(cache.hits(), 1u);
  EXPECT_EQ(cache.misses(), 1u);
}

TEST(ChunkCacheTest, TenantsDoNotSeeEachOther) {
  ChunkCache cache(1000);
  cache.Keep("a", Chunk(1));
  EXPECT_EQ(cache.Find("b", Key(1)), nullptr);
  EXPECT_NE(cache.Find("a", Key(1)), nullptr);
}

TEST(ChunkCacheTest, HoldsTheMostRecentlyUsed) {
  const uint64_t size = Chunk(0)->bytes();
  ChunkCache cache(2 * size);
  cache.Keep("a", Chunk(1));
  cache.Keep("a", Chunk(2));
  EXPECT_NE(cache.Find("a", Key(1)), nullptr);
  cache.Keep("a", Chunk(3));
  EXPECT_EQ(cache.Find("a", Key(2)), nullptr);
  EXPECT_NE(cache.Find("a", Key(1)), nullptr);
  EXPECT_NE(cache.Find("a", Key(3)), nullptr);
  EXPECT_EQ(cache.own_bytes(), 2 * size);
}

TEST(ChunkCacheTest, ShrinkingFreesOnlyWhatNobodyElseHolds) {
  const uint64_t size = Chunk(0)->bytes();
  ChunkCache cache(10 * size);
  const auto held = Chunk(1);
  cache.Keep("a", held);
  cache.Keep("a", Chunk(2));
  cache.Keep("a", Chunk(3));
  EXPECT_EQ(cache.own_bytes(), 2 * size);
  EXPECT_EQ(cache.Shrink(1), size);
  EXPECT_EQ(cache.Find("a", Key(2)), nullptr);
  EXPECT_EQ(cache.Shrink(UINT64_MAX), size);
  EXPECT_EQ(cache.Shrink(1), 0u);
  EXPECT_EQ(cache.Find("a", Key(1)), held);
}

TEST(ChunkCacheTest, ForgetsManyThatAreGone) {
  ChunkCache cache(0);
  for (int i = 0; i < 5000; ++i) {
    auto chunk = std::make_shared<EncodedChunk>();
    chunk->key[0] = uint8_t(i);
    chunk->key[1] = uint8_t(i >> 8);
    cache.Keep("a", chunk);
    EXPECT_EQ(cache.Find("a", chunk->key), chunk);
  }
}

}  // namespace
}  // namespace longhand
