// Memory that cannot be had in the middle of a call: the call ends, by an error
// or an exception for its caller, and everything else is as it was. The session
// takes the same call again, nothing stays reserved, and nobody waits for what
// will not end.

#include <algorithm>
#include <functional>
#include <new>
#include <string>

#include "core/session/append_protocol.h"
#include "tests/core/session/manager_harness.h"
#include "tests/testing/failing_new.h"
#include "tests/testing/faulty_store.h"

namespace longhand::testing {
namespace {

class SessionAllocationFailureTest : public ManagerTest {
 protected:
  // Over a store that passes for a shared one, so that appends are written.
  SessionAllocationFailureTest() : shared_(store_.get()) {
    // Longer than all the waiting of a test.
    options_.default_ttl = absl::Hours(24 * 7);
    auto made =
        SessionManager::Create(&model_, &shared_, &environment_, options_);
    EXPECT_TRUE(made.ok()) << made.status();
    manager_ = *std::move(made);
  }
  ~SessionAllocationFailureTest() override { manager_.reset(); }

  // Runs `call` with each of its allocations failing once: the first ones all,
  // then fewer. `check` comes after each.
  void FailEachAllocation(const std::function<void()>& call,
                          const std::function<void()>& check) {
    int64_t failures = 0;
    for (int64_t n = 1;; n += std::max<int64_t>(n / 16, 1)) {
      bool failed = false;
      {
        const FailNthAllocation failing(n, CountedThreads::kThis);
        try {
          call();
        } catch (const std::bad_alloc&) {
        }
        failed = failing.failed();
      }
      check();
      ASSERT_FALSE(HasFailure()) << "allocation " << n;
      if (!failed) break;
      ++failures;
    }
    EXPECT_GT(failures, 10);
  }

  void ExpectNothingLeft(const SessionId& id) {
    EXPECT_TRUE(manager().DeleteSession(call_, id).ok());
    EXPECT_EQ(manager().stats().resident_sessions, 0u);
    EXPECT_EQ(used(), 0u);
  }

  FaultyStore shared_;
};

TEST_F(SessionAllocationFailureTest, AnAppendIsThereOnceOrNotAtAll) {
  SessionId id;
  AppendArgs args;
  SessionDigest before{}, after{};
  const auto start = [&] {
    id = NewSession();
    before = MustAppend(id, 0, Ids(6)).digest;
    args = MakeAppend(6, Ids(9, 6));
    args.min_durability = Durability::kShared;
    after = DigestAppend(before, args.content);
  };
  start();
  FailEachAllocation([&] { Append(id, args).status().IgnoreError(); },
                     [&] {
                       const auto info = Get(id);
                       ASSERT_TRUE(info.ok()) << info.status();
                       const bool applied = info->committed_offset == 15;
                       EXPECT_TRUE(applied || info->committed_offset == 6);
                       EXPECT_EQ(info->digest, applied ? after : before);
                       // Sent again it is there, once.
                       const auto again = Append(id, args);
                       ASSERT_TRUE(again.ok()) << again.status();
                       EXPECT_EQ(again->committed_offset, 15u);
                       EXPECT_EQ(again->digest, after);
                       const auto more = Append(id, MakeAppend(15, Ids(2, 15)));
                       ASSERT_TRUE(more.ok()) << more.status();
                       EXPECT_EQ(more->chunks.size(), 1u);
                       EXPECT_EQ(
                           more->chunks[0].vector,
                           HashVector(HashChunkKeys("a", Ids(17), false)[3]));
                       ExpectNothingLeft(id);
                       start();
                     });
}

TEST_F(SessionAllocationFailureTest, AnEditIsThereOrNot) {
  SessionId id;
  const EditArgs args{.begin = 3, .end = 5, .content = Ids(4, 50)};
  const auto start = [&] {
    id = NewSession();
    MustAppend(id, 0, Ids(14));
  };
  start();
  FailEachAllocation(
      [&] { manager().Edit(call_, id, args).status().IgnoreError(); },
      [&] {
        const auto info = Get(id);
        ASSERT_TRUE(info.ok()) << info.status();
        EXPECT_TRUE(info->committed_offset == 14 ||
                    info->committed_offset == 16);
        const auto more =
            Append(id, MakeAppend(info->committed_offset, Ids(1, 90)));
        ASSERT_TRUE(more.ok()) << more.status();
        ExpectNothingLeft(id);
        start();
      });
}

TEST_F(SessionAllocationFailureTest, QuestionsAndForksLeaveTheSessionAlone) {
  const SessionId id = NewSession();
  const SessionDigest digest = MustAppend(id, 0, Ids(14)).digest;
  QueryArgs query;
  query.questions = {Content(Ids(3, 70))};
  const auto check = [&] {
    const auto info = Get(id);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->digest, digest);
    const auto answer = manager().Query(call_, id, query);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->answers[0].vector,
              HashAnswer(HashChunkKeys("a", Ids(14), true), Ids(3, 70)));
  };
  FailEachAllocation(
      [&] { manager().Query(call_, id, query).status().IgnoreError(); }, check);
  FailEachAllocation(
      [&] { manager().Fork(call_, id, std::nullopt).status().IgnoreError(); },
      check);
  EXPECT_TRUE(manager().Drain(environment_.Now() + absl::Seconds(5)).ok());
}

TEST_F(SessionAllocationFailureTest, ARestoreCanBeTriedAgain) {
  const SessionId id = NewSession();
  const SessionDigest digest = MustAppend(id, 0, Ids(14)).digest;
  const auto put_out = [&] {
    environment_.Pass(options_.idle_release * 2);
    manager().Tick();
    ASSERT_EQ(manager().stats().resident_sessions, 0u);
  };
  put_out();
  const uint64_t used_by_nothing = used();
  FailEachAllocation(
      [&] { Append(id, MakeAppend(13, Ids(1))).status().IgnoreError(); },
      [&] {
        const auto info = Get(id);
        ASSERT_TRUE(info.ok()) << info.status();
        EXPECT_EQ(info->digest, digest);
        put_out();
        EXPECT_EQ(used(), used_by_nothing);
      });
}

TEST_F(SessionAllocationFailureTest, WhatRestsInMemoryIsChargedOnce) {
  manager_.reset();  // the next one is over the memory store as it is
  const SessionId id = NewSession();
  const SessionDigest digest = MustAppend(id, 0, Ids(14)).digest;
  const uint64_t bytes = used();
  FailEachAllocation(
      [&] {
        environment_.Pass(options_.idle_release * 2);
        manager().Tick();
        Append(id, MakeAppend(13, Ids(1))).status().IgnoreError();
      },
      [&] {
        const auto info = Get(id);
        ASSERT_TRUE(info.ok()) << info.status();
        EXPECT_EQ(info->digest, digest);
        EXPECT_EQ(used(), bytes);
      });
  ExpectNothingLeft(id);
}

}  // namespace
}  // namespace longhand::testing
