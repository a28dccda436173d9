// What every registered session store must do. Loops over the registry, so that
// a newcomer is tested for free.

#include "tests/core/store/session_store_conformance.h"

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "core/store/session_store.h"
#include "gtest/gtest.h"
#include "tests/core/store/store_testing.h"

namespace longhand {
namespace {

using testing::ExpectSameChunk;
using testing::ExpectSameHead;
using testing::FullHead;
using testing::MakeChunk;
using testing::MakeChunks;
using testing::ReasonOf;
using testing::SessionStoreConformance;
using testing::TestDecoder;

TEST_P(SessionStoreConformance, CreateGivesALease) {
  SessionHead head = FullHead();
  head.num_chunks = 0;
  head.expire_time = now_ + absl::Hours(1);
  const auto lease = store_->Create(Key(1), head, Request());
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->generation, 1u);
  ExpectSameHead(lease->head, head);
  EXPECT_EQ(ReasonOf(store_->Create(Key(1), head, Request())),
            "SESSION_EXISTS");

  const auto stored = store_->ReadHead(Key(1));
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->id, Key(1).id);
  EXPECT_EQ(stored->generation, 1u);
  ExpectSameHead(stored->head, head);
  EXPECT_TRUE(store_->CheckHealth().ok());
  EXPECT_EQ(store_->stats().sessions, 1u);
}

TEST_P(SessionStoreConformance, UnknownSessions) {
  EXPECT_EQ(ReasonOf(store_->Acquire(Key(1), Request())), "SESSION_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store_->ReadHead(Key(1))), "SESSION_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store_->ReadChunks(Key(1), 0, 1, decoder_)),
            "SESSION_NOT_FOUND");
  EXPECT_EQ(ReasonOf(store_->Renew(Key(1), 1, Request())), "STALE_GENERATION");
  EXPECT_EQ(ReasonOf(store_->Commit(Key(1), AppendOf(1, 0, 1, 1))),
            "STALE_GENERATION");
  EXPECT_TRUE(store_->Release(Key(1), 1).ok());
  EXPECT_TRUE(store_->Delete(Key(1), 1).ok());
}

TEST_P(SessionStoreConformance, OthersMustWaitForTheLease) {
  const uint64_t generation = MustCreate(Key(1));
  const auto other = store_->Acquire(Key(1), Request("b"));
  ASSERT_EQ(ReasonOf(other), "WRONG_REPLICA");
  EXPECT_EQ(GetErrorDetail(other.status())->metadata.at("owner"), "a");
  // The owner's own is no new one.
  const auto own = store_->Acquire(Key(1), Request("a"));
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->generation, generation);
  EXPECT_TRUE(store_->Renew(Key(1), generation, Request("a")).ok());
  EXPECT_EQ(ReasonOf(store_->Renew(Key(1), generation, Request("b"))),
            "STALE_GENERATION");
}

TEST_P(SessionStoreConformance, ReleasedLeaseIsFree) {
  const uint64_t first = MustCreate(Key(1));
  EXPECT_TRUE(store_->Release(Key(1), first + 1).ok());  // not its own
  EXPECT_EQ(ReasonOf(store_->Acquire(Key(1), Request("b"))), "WRONG_REPLICA");
  EXPECT_TRUE(store_->Release(Key(1), first).ok());
  EXPECT_EQ(ReasonOf(store_->Renew(Key(1), first, Request("a"))),
            "STALE_GENERATION");
  const auto second = store_->Acquire(Key(1), Request("b"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(second->generation, first);
}

TEST_P(SessionStoreConformance, TakeOverFencesTheOldOwner) {
  const absl::Duration lease = absl::Milliseconds(50);
  auto old = store_->Create(Key(1), EmptyHead(), Request("a", lease));
  ASSERT_TRUE(old.ok()) << old.status();
  ASSERT_TRUE(store_->Commit(Key(1), AppendOf(old->generation, 0, 2, 1)).ok());

  // The clock of the asker, or that of the store.
  LeaseRequest late = Request("b");
  late.now += absl::Minutes(1);
  auto taken = store_->Acquire(Key(1), late);
  while (ReasonOf(taken) == "WRONG_REPLICA") {
    absl::SleepFor(absl::Milliseconds(5));
    taken = store_->Acquire(Key(1), late);
  }
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_GT(taken->generation, old->generation);
  EXPECT_EQ(taken->head.num_chunks, 2u);

  SessionCommit stale = AppendOf(old->generation, 2, 1, 9);
  EXPECT_EQ(ReasonOf(store_->Commit(Key(1), stale)), "STALE_GENERATION");
  EXPECT_EQ(ReasonOf(store_->Renew(Key(1), old->generation, Request("a"))),
            "STALE_GENERATION");
  EXPECT_EQ(ReasonOf(store_->Delete(Key(1), old->generation)),
            "STALE_GENERATION");
  EXPECT_TRUE(store_->Release(Key(1), old->generation).ok());
  EXPECT_EQ(ReasonOf(store_->Acquire(Key(1), Request("c"))), "WRONG_REPLICA");
  ExpectChunks(Key(1), MakeChunks(decoder_, 1, 0, 2));
  EXPECT_TRUE(
      store_->Commit(Key(1), AppendOf(taken->generation, 2, 1, 7)).ok());
}

TEST_P(SessionStoreConformance, CommitsAppend) {
  const uint64_t generation = MustCreate(Key(1));
  auto expected = MakeChunks(decoder_, 1, 0, 3);
  SessionCommit commit = AppendOf(generation, 0, 3, 1);
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  ExpectChunks(Key(1), expected);

  commit = AppendOf(generation, 3, 2, 40);
  commit.head.tail = std::string("\0tail", 5);
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  for (const auto& chunk : MakeChunks(decoder_, 40, 3, 2)) {
    expected.push_back(chunk);
  }
  ExpectChunks(Key(1), expected);
  ExpectSameHead(store_->ReadHead(Key(1))->head, commit.head);

  const auto some = store_->ReadChunks(Key(1), 2, 4, decoder_);
  ASSERT_TRUE(some.ok()) << some.status();
  ASSERT_EQ(some->size(), 2u);
  ExpectSameChunk(*(*some)[0], *expected[2]);
  ExpectSameChunk(*(*some)[1], *expected[3]);
  EXPECT_TRUE(store_->ReadChunks(Key(1), 5, 5, decoder_)->empty());
  EXPECT_EQ(ReasonOf(store_->ReadChunks(Key(1), 4, 6, decoder_)),
            "STORE_CORRUPT");
}

TEST_P(SessionStoreConformance, CommitsRewindAndReplace) {
  uint64_t generation = MustCreate(Key(1));
  ASSERT_TRUE(store_->Commit(Key(1), AppendOf(generation, 0, 5, 1)).ok());
  // To two chunks, the second of them new.
  SessionCommit commit;
  commit.generation = generation;
  commit.new_generation = ++generation;
  commit.expected_offset = 50;
  commit.head = HeadOf(2, 17, 99, "rest");
  commit.first_chunk = 1;
  commit.chunks = {MakeChunk(decoder_, 50, 1)};
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  ExpectChunks(Key(1), {MakeChunk(decoder_, 1, 0), MakeChunk(decoder_, 50, 1)});
  EXPECT_EQ(store_->ReadHead(Key(1))->generation, generation);
  EXPECT_EQ(ReasonOf(store_->ReadChunks(Key(1), 2, 3, decoder_)),
            "STORE_CORRUPT");
  // Its old generation is over, its lease is not.
  EXPECT_EQ(ReasonOf(store_->Renew(Key(1), generation - 1, Request())),
            "STALE_GENERATION");
  EXPECT_TRUE(store_->Renew(Key(1), generation, Request()).ok());
  // Chunks that were cut off do not come back.
  commit = AppendOf(generation, 2, 1, 60);
  commit.expected_offset = 17;
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  ExpectChunks(Key(1), {MakeChunk(decoder_, 1, 0), MakeChunk(decoder_, 50, 1),
                        MakeChunk(decoder_, 60, 2)});
  // To nothing.
  commit = {};
  commit.generation = commit.new_generation = generation;
  commit.expected_offset = 30;
  commit.head = HeadOf(0, 0, 100);
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  ExpectChunks(Key(1), {});
}

TEST_P(SessionStoreConformance, CommitTwiceIsOnce) {
  uint64_t generation = MustCreate(Key(1));
  const SessionCommit append = AppendOf(generation, 0, 3, 1);
  ASSERT_TRUE(store_->Commit(Key(1), append).ok());
  ASSERT_TRUE(store_->Commit(Key(1), append).ok());
  ExpectChunks(Key(1), MakeChunks(decoder_, 1, 0, 3));

  SessionCommit rewind;
  rewind.generation = generation;
  rewind.new_generation = generation + 1;
  rewind.expected_offset = 30;
  rewind.head = HeadOf(1, 10, 77);
  rewind.first_chunk = 1;
  ASSERT_TRUE(store_->Commit(Key(1), rewind).ok());
  ASSERT_TRUE(store_->Commit(Key(1), rewind).ok());
  ExpectChunks(Key(1), MakeChunks(decoder_, 1, 0, 1));

  // A change of the head alone is no repetition.
  SessionCommit close = rewind;
  close.generation = close.new_generation = generation + 1;
  close.expected_offset = 10;
  close.head.state = SessionState::kClosed;
  close.head.expire_time += absl::Hours(1);
  ASSERT_TRUE(store_->Commit(Key(1), close).ok());
  ExpectSameHead(store_->ReadHead(Key(1))->head, close.head);
}

TEST_P(SessionStoreConformance, LostWritesAreNoticed) {
  const uint64_t generation = MustCreate(Key(1));
  ASSERT_TRUE(store_->Commit(Key(1), AppendOf(generation, 0, 2, 1)).ok());
  SessionCommit ahead = AppendOf(generation, 3, 1, 5);
  EXPECT_EQ(ReasonOf(store_->Commit(Key(1), ahead)), "STORE_LOST_WRITES");
  ahead.expected_offset = 20;  // the offset fits, its chunks do not
  EXPECT_EQ(ReasonOf(store_->Commit(Key(1), ahead)), "STORE_LOST_WRITES");
  ExpectChunks(Key(1), MakeChunks(decoder_, 1, 0, 2));
}

TEST_P(SessionStoreConformance, DeleteRemovesAll) {
  const uint64_t generation = MustCreate(Key(1));
  ASSERT_TRUE(store_->Commit(Key(1), AppendOf(generation, 0, 3, 1)).ok());
  EXPECT_EQ(ReasonOf(store_->Delete(Key(1), generation + 1)),
            "STALE_GENERATION");
  ASSERT_TRUE(store_->Delete(Key(1), generation).ok());
  EXPECT_EQ(ReasonOf(store_->ReadHead(Key(1))), "SESSION_NOT_FOUND");
  EXPECT_TRUE(store_->List("tenant", nullptr, 10)->empty());
  EXPECT_TRUE(store_->ListExpired(now_ + absl::Hours(100), 10)->empty());
  EXPECT_TRUE(store_->Delete(Key(1), generation).ok());
  EXPECT_TRUE(store_->CheckHealth().ok());
  EXPECT_EQ(store_->stats().sessions, 0u);
  // A new one of the same id has nothing of the old one.
  MustCreate(Key(1));
  EXPECT_EQ(ReasonOf(store_->ReadChunks(Key(1), 0, 1, decoder_)),
            "STORE_CORRUPT");
}

TEST_P(SessionStoreConformance, TenantsAreSeparate) {
  // Names that could run into ids or each other.
  const std::vector<std::string> tenants = {
      "a", "ab", "", std::string("a\0", 2), "a:", "{a}", "*", "\xff\xff"};
  for (const std::string& tenant : tenants) MustCreate(Key(1, tenant));
  ASSERT_TRUE(store_->Commit(Key(1, "a"), AppendOf(1, 0, 1, 1)).ok());
  for (const std::string& tenant : tenants) {
    const auto listed = store_->List(tenant, nullptr, 10);
    ASSERT_TRUE(listed.ok()) << listed.status();
    ASSERT_EQ(listed->size(), 1u);
    EXPECT_EQ((*listed)[0].head.num_chunks, tenant == "a" ? 1u : 0u);
  }
  EXPECT_EQ(ReasonOf(store_->ReadHead(Key(1, "b"))), "SESSION_NOT_FOUND");
  ASSERT_TRUE(store_->Delete(Key(1, "a"), 1).ok());
  EXPECT_EQ(ReasonOf(store_->ReadHead(Key(1, "a"))), "SESSION_NOT_FOUND");
  const auto expired = store_->ListExpired(now_ + absl::Hours(100), 100);
  ASSERT_TRUE(expired.ok()) << expired.status();
  std::set<std::string> found;
  for (const SessionKey& key : *expired) found.insert(key.tenant);
  EXPECT_EQ(found, std::set<std::string>(tenants.begin() + 1, tenants.end()));
}

TEST_P(SessionStoreConformance, ListsInPages) {
  // Not in the order of their text.
  std::set<SessionId> ids;
  for (int i = 0; i < 23; ++i) {
    const SessionKey key = Key(uint8_t(i * 37));
    MustCreate(key);
    ids.insert(key.id);
  }
  MustCreate(Key(0, "another"));
  ASSERT_TRUE(store_->Delete(Key(37), 1).ok());
  ids.erase(Key(37).id);

  std::vector<SessionId> listed;
  while (true) {
    const auto page =
        store_->List("tenant", listed.empty() ? nullptr : &listed.back(), 5);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_LE(page->size(), 5u);
    if (page->empty()) break;
    for (const StoredSession& session : *page) {
      EXPECT_EQ(session.generation, 1u);
      EXPECT_EQ(session.head.options.mechanism, "bsbr");
      listed.push_back(session.id);
    }
  }
  EXPECT_EQ(listed, std::vector<SessionId>(ids.begin(), ids.end()));
  EXPECT_TRUE(store_->List("tenant", nullptr, 0)->empty());
}

TEST_P(SessionStoreConformance, ListsExpired) {
  for (uint8_t i = 0; i < 5; ++i) {
    SessionHead head = EmptyHead();
    head.expire_time = now_ + absl::Minutes(i);
    ASSERT_TRUE(store_->Create(Key(i), head, Request()).ok());
  }
  // This one lives longer from now on, that one shorter.
  SessionCommit commit = AppendOf(1, 0, 1, 1);
  commit.head.expire_time = now_ + absl::Hours(1);
  ASSERT_TRUE(store_->Commit(Key(0), commit).ok());
  commit.head.expire_time = now_ + absl::Seconds(1);
  ASSERT_TRUE(store_->Commit(Key(4), commit).ok());

  const auto expired_by = [&](absl::Duration after, size_t limit) {
    std::set<int> numbers;
    const auto keys = store_->ListExpired(now_ + after, limit);
    EXPECT_TRUE(keys.ok()) << keys.status();
    for (const SessionKey& key : *keys) {
      EXPECT_EQ(key.tenant, "tenant");
      numbers.insert(key.id[0]);
    }
    return numbers;
  };
  EXPECT_EQ(expired_by(absl::Milliseconds(500), 10), std::set<int>());
  EXPECT_EQ(expired_by(absl::Minutes(1), 10), std::set<int>({4}));
  EXPECT_EQ(expired_by(absl::Minutes(10), 10), std::set<int>({1, 2, 3, 4}));
  EXPECT_EQ(expired_by(absl::Minutes(10), 2), std::set<int>({1, 4}));
  EXPECT_EQ(expired_by(absl::Hours(2), 10), std::set<int>({0, 1, 2, 3, 4}));
  EXPECT_EQ(expired_by(absl::Hours(2), 0), std::set<int>());
}

TEST_P(SessionStoreConformance, LargeRecords) {
  const TestDecoder large("f32", 40000);  // 3.8 MB a state
  const uint64_t generation = MustCreate(Key(1));
  SessionCommit commit = AppendOf(generation, 0, 0, 1);
  commit.chunks = MakeChunks(large, 1, 0, 3);
  ASSERT_GT(commit.chunks[0]->encoded->state->bytes().size(), 1u << 20);
  commit.head.num_chunks = 3;
  commit.head.tail = std::string(2 << 20, 't');
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  if (store_->durability() != Durability::kMemory) Reopen();
  const auto chunks = store_->ReadChunks(Key(1), 0, 3, large);
  ASSERT_TRUE(chunks.ok()) << chunks.status();
  for (int i = 0; i < 3; ++i) {
    ExpectSameChunk(*(*chunks)[i], *commit.chunks[i]);
  }
  EXPECT_EQ(store_->ReadHead(Key(1))->head.tail, commit.head.tail);
}

TEST_P(SessionStoreConformance, ManyChunksInOneCommit) {
  const uint64_t generation = MustCreate(Key(1));
  SessionCommit commit = AppendOf(generation, 0, 0, 1);
  for (int i = 0; i < 500; ++i) {
    commit.chunks.push_back(MakeChunk(decoder_, uint32_t(i), i));
  }
  commit.head.num_chunks = 500;
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  ExpectChunks(Key(1), commit.chunks);
}

// Every thread takes the session for a moment and appends to it. Whatever the
// order, generations fence: no append is lost, none is there twice.
TEST_P(SessionStoreConformance, ManyThreadsOneSession) {
  const uint64_t first = MustCreate(Key(1));
  ASSERT_TRUE(store_->Release(Key(1), first).ok());
  std::atomic<int> appended{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string owner = absl::StrCat("owner", t);
      for (int mine = 0; mine < 10;) {
        const auto lease = store_->Acquire(Key(1), Request(owner));
        if (ReasonOf(lease) == "WRONG_REPLICA") {
          std::this_thread::yield();
          continue;
        }
        ASSERT_TRUE(lease.ok()) << lease.status();
        const int old = int(lease->head.num_chunks);
        const absl::Status status = store_->Commit(
            Key(1), AppendOf(lease->generation, old, 1, uint32_t(old)));
        ASSERT_TRUE(status.ok()) << status;
        ++mine;
        ++appended;
        EXPECT_TRUE(store_->Release(Key(1), lease->generation).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(appended, 40);
  ExpectChunks(Key(1), MakeChunks(decoder_, 0, 0, 40));
}

TEST_P(SessionStoreConformance, ManyThreadsManySessions) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const SessionKey key = Key(uint8_t(t * 10 + i));
        const uint64_t generation = MustCreate(key);
        EXPECT_TRUE(store_->Commit(key, AppendOf(generation, 0, 2, 5)).ok());
        ExpectChunks(key, MakeChunks(decoder_, 5, 0, 2));
        if (i % 2 == 0) {
          EXPECT_TRUE(store_->Delete(key, generation).ok());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->List("tenant", nullptr, 100)->size(), 20u);
}

TEST_P(SessionStoreConformance, ReopenFindsTheSame) {
  if (store_->durability() == Durability::kMemory) {
    GTEST_SKIP() << "sessions of this store end with the process";
  }
  const uint64_t generation = MustCreate(Key(1));
  MustCreate(Key(2, "other"));
  SessionCommit commit = AppendOf(generation, 0, 3, 1);
  commit.new_generation = generation + 1;
  ASSERT_TRUE(store_->Commit(Key(1), commit).ok());
  Reopen();
  ExpectChunks(Key(1), commit.chunks);
  const auto stored = store_->ReadHead(Key(1));
  EXPECT_EQ(stored->generation, generation + 1);
  ExpectSameHead(stored->head, commit.head);
  EXPECT_EQ(store_->List("other", nullptr, 10)->size(), 1u);
  EXPECT_EQ(store_->ListExpired(now_ + absl::Hours(9), 10)->size(), 2u);
  EXPECT_TRUE(store_->CheckHealth().ok());
  EXPECT_EQ(store_->stats().sessions, 2u);
  // The same owner goes on; generations never go back.
  const auto lease = store_->Acquire(Key(1), Request("a"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_GE(lease->generation, generation + 1);
  EXPECT_TRUE(
      store_->Commit(Key(1), AppendOf(lease->generation, 3, 1, 8)).ok());
}

INSTANTIATE_TEST_SUITE_P(Registry, SessionStoreConformance,
                         ::testing::ValuesIn(SessionStoreRegistry().Names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace longhand
