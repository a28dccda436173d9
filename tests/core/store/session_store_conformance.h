// SessionStoreConformance: one store by its registered name, and what the tests
// that all stores share do with it. For one thread, but for the store itself.
#ifndef LONGHAND_TESTS_CORE_STORE_SESSION_STORE_CONFORMANCE_H_
#define LONGHAND_TESTS_CORE_STORE_SESSION_STORE_CONFORMANCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/store/session_store.h"
#include "gtest/gtest.h"
#include "tests/core/store/redis_server.h"
#include "tests/core/store/store_testing.h"

namespace longhand::testing {

// One server for all tests; each has a prefix of its own.
inline RedisServer& Redis() {
  static RedisServer server;
  return server;
}

class SessionStoreConformance : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    options_.max_bytes = uint64_t{1} << 30;
    options_.path = dir_.File("store");
    if (GetParam() == "redis") {
      options_.address = Redis().address();
      options_.timeout = absl::Seconds(20);
      static int tests = 0;
      options_.key_prefix = absl::StrCat("test", ++tests, ":");
    }
    Reopen();
    ASSERT_NE(store_, nullptr);
    EXPECT_EQ(store_->name(), GetParam());
  }

  // As after a restart of this process.
  void Reopen() {
    store_.reset();
    auto store = (**SessionStoreRegistry().Find(GetParam()))(options_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  static SessionKey Key(uint8_t number, const std::string& tenant = "tenant") {
    SessionKey key{tenant, {}};
    key.id.fill(0x5a);
    key.id[0] = number;
    return key;
  }

  LeaseRequest Request(const std::string& owner = "a",
                       absl::Duration duration = absl::Hours(1)) const {
    return {.owner = owner, .duration = duration, .now = now_};
  }

  SessionHead EmptyHead() const {
    SessionHead head;
    head.options.mechanism = "bsbr";
    head.fingerprint = {{"model", "x"}};
    head.create_time = now_;
    head.expire_time = now_ + absl::Hours(2);
    head.ttl = absl::Hours(2);
    return head;
  }

  SessionHead HeadOf(uint64_t num_chunks, uint64_t offset, uint8_t digest,
                     const std::string& tail = "") const {
    SessionHead head = EmptyHead();
    head.kind = ContentKind::kText;
    head.num_chunks = num_chunks;
    head.num_tokens = num_chunks * 3;
    head.committed_offset = offset;
    head.digest = DigestOf(digest);
    head.tail = tail;
    return head;
  }

  // Appends `count` chunks to a session that has `old` of 10 bytes each.
  SessionCommit AppendOf(uint64_t generation, int old, int count,
                         uint32_t seed) const {
    SessionCommit commit;
    commit.generation = commit.new_generation = generation;
    commit.expected_offset = uint64_t(old) * 10;
    commit.head = HeadOf(uint64_t(old + count), uint64_t(old + count) * 10,
                         uint8_t(seed));
    commit.first_chunk = uint64_t(old);
    commit.chunks = MakeChunks(decoder_, seed, old, count);
    return commit;
  }

  uint64_t MustCreate(const SessionKey& key) {
    const auto lease = store_->Create(key, EmptyHead(), Request());
    EXPECT_TRUE(lease.ok()) << lease.status();
    return lease.ok() ? lease->generation : 0;
  }

  void ExpectChunks(
      const SessionKey& key,
      const std::vector<std::shared_ptr<const ChunkRecord>>& expected) {
    const auto stored = store_->ReadHead(key);
    ASSERT_TRUE(stored.ok()) << stored.status();
    ASSERT_EQ(stored->head.num_chunks, expected.size());
    const auto chunks = store_->ReadChunks(key, 0, expected.size(), decoder_);
    ASSERT_TRUE(chunks.ok()) << chunks.status();
    ASSERT_EQ(chunks->size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ExpectSameChunk(*(*chunks)[i], *expected[i]);
    }
  }

  const TempDir dir_;
  SessionStoreOptions options_;
  std::unique_ptr<SessionStore> store_;
  const TestDecoder decoder_;
  // Whole milliseconds: what every store keeps.
  const absl::Time now_ = absl::FromUnixMillis(absl::ToUnixMillis(absl::Now()));
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_STORE_SESSION_STORE_CONFORMANCE_H_
