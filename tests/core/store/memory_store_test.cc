// What the memory store evicts, and what it counts.

#include <memory>
#include <string>
#include <vector>

#include "core/store/session_store.h"
#include "gtest/gtest.h"
#include "tests/core/store/store_testing.h"

namespace longhand {
namespace {

using testing::DigestOf;
using testing::MakeChunks;
using testing::ReasonOf;
using testing::TestDecoder;

class MemoryStoreTest : public ::testing::Test {
 protected:
  using Chunks = std::vector<std::shared_ptr<const ChunkRecord>>;

  void Open(uint64_t max_bytes) {
    SessionStoreOptions options;
    options.max_bytes = max_bytes;
    store_ = *(**SessionStoreRegistry().Find("memory"))(options);
  }

  static SessionKey Key(uint8_t number) {
    SessionKey key{"tenant", {}};
    key.id[0] = number;
    return key;
  }

  static uint64_t BytesOf(const Chunks& chunks) {
    uint64_t bytes = 0;
    for (const auto& chunk : chunks) {
      bytes += chunk->own_bytes() + chunk->encoded->bytes();
    }
    return bytes;
  }

  // Leased, generation 1.
  void Put(uint8_t number, const Chunks& chunks, const std::string& tail = "") {
    ASSERT_TRUE(store_->Create(Key(number), {}, request_).ok());
    SessionCommit commit;
    commit.generation = commit.new_generation = 1;
    commit.chunks = chunks;
    commit.head.num_chunks = chunks.size();
    commit.head.num_tokens = 3 * chunks.size();
    commit.head.committed_offset = 100;
    commit.head.tail = tail;
    commit.head.digest = DigestOf(number);
    ASSERT_TRUE(store_->Commit(Key(number), commit).ok());
  }
  void Release(uint8_t number) {
    const auto stored = store_->ReadHead(Key(number));
    ASSERT_TRUE(store_->Release(Key(number), stored->generation).ok());
  }
  // Leases it and gives it back.
  void Use(uint8_t number) {
    ASSERT_TRUE(store_->Acquire(Key(number), request_).ok());
    Release(number);
  }
  bool IsThere(uint8_t number) {
    const auto stored = store_->ReadHead(Key(number));
    EXPECT_TRUE(stored.ok()) << stored.status();
    return stored->head.state != SessionState::kEvicted;
  }

  const TestDecoder decoder_;
  const LeaseRequest request_{.owner = "a", .duration = absl::Seconds(1)};
  std::unique_ptr<SessionStore> store_;
};

TEST_F(MemoryStoreTest, EvictsTheLeastRecentlyUsed) {
  const uint64_t one = BytesOf(MakeChunks(decoder_, 0, 0, 2));
  Open(3 * one);
  for (uint8_t i = 0; i < 4; ++i) Put(i, MakeChunks(decoder_, 10 * i, 0, 2));
  for (uint8_t i = 0; i < 3; ++i) Release(i);
  EXPECT_EQ(store_->stats().evictions, 0u);
  Use(0);
  Release(3);
  EXPECT_TRUE(IsThere(0));
  EXPECT_FALSE(IsThere(1));
  EXPECT_TRUE(IsThere(2));
  EXPECT_TRUE(IsThere(3));
  EXPECT_EQ(store_->stats().evictions, 1u);
  EXPECT_EQ(store_->stats().bytes, 3 * one);
}

TEST_F(MemoryStoreTest, LeavesAGravestone) {
  Open(0);
  Put(1, MakeChunks(decoder_, 1, 0, 2), "tail");
  EXPECT_TRUE(IsThere(1));
  Release(1);
  const auto stored = store_->ReadHead(Key(1));
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->head.state, SessionState::kEvicted);
  EXPECT_EQ(stored->head.num_chunks, 0u);
  EXPECT_EQ(stored->head.tail, "");
  EXPECT_EQ(store_->stats().bytes, 0u);
  EXPECT_EQ(store_->stats().sessions, 1u);
  // Whoever takes it learns it, and can remove it.
  const auto lease = store_->Acquire(Key(1), request_);
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->head.state, SessionState::kEvicted);
  EXPECT_TRUE(store_->Release(Key(1), lease->generation).ok());
  EXPECT_EQ(store_->stats().evictions, 1u);
  EXPECT_TRUE(store_->Delete(Key(1), lease->generation).ok());
  EXPECT_EQ(store_->stats().sessions, 0u);
}

TEST_F(MemoryStoreTest, NeverEvictsWhatIsLeased) {
  Open(1);
  Put(1, MakeChunks(decoder_, 1, 0, 2));
  Put(2, MakeChunks(decoder_, 5, 0, 2));
  Release(2);
  EXPECT_TRUE(IsThere(1));
  EXPECT_FALSE(IsThere(2));
}

TEST_F(MemoryStoreTest, CountsSharedChunksOnce) {
  const Chunks chunks = MakeChunks(decoder_, 1, 0, 3);
  const uint64_t bytes = BytesOf(chunks);
  Open(bytes);
  Put(1, chunks);
  Put(2, chunks);  // a fork
  // The same encoded chunks in records of their own.
  Chunks copies;
  uint64_t records = 0;
  for (const auto& chunk : chunks) {
    copies.push_back(std::make_shared<ChunkRecord>(*chunk));
    records += chunk->own_bytes();
  }
  Put(3, copies);
  EXPECT_EQ(store_->stats().bytes, bytes + records);
  Release(1);
  Release(2);
  EXPECT_EQ(store_->stats().evictions, 0u);
  ASSERT_TRUE(store_->Delete(Key(1), 1).ok());
  ASSERT_TRUE(store_->Delete(Key(3), 1).ok());
  EXPECT_EQ(store_->stats().bytes, bytes);
  ASSERT_TRUE(store_->Delete(Key(2), 1).ok());
  EXPECT_EQ(store_->stats().bytes, 0u);
}

TEST_F(MemoryStoreTest, GivesTheVeryChunks) {
  Open(1 << 20);
  const Chunks chunks = MakeChunks(decoder_, 1, 0, 2);
  Put(1, chunks);
  EXPECT_EQ(*store_->ReadChunks(Key(1), 0, 2, decoder_), chunks);
}

}  // namespace
}  // namespace longhand
