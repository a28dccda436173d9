// Every operation of the store fails once, in every way, under one life of a
// session: appended to, changed, forked, put out of memory and read again. The
// simulation (session_simulation_test) fails them at random and with several
// replicas; here none is left out, and stored bytes get damaged as well.

#include <functional>
#include <string>
#include <vector>

#include "core/session/append_protocol.h"
#include "tests/core/session/hooked_store.h"
#include "tests/core/session/manager_harness.h"
#include "tests/testing/faulty_store.h"

namespace longhand::testing {
namespace {

constexpr int kMaxTries = 5;

class SessionStoreFaultTest : public ManagerTest {
 protected:
  SessionStoreFaultTest() : faulty_(store_.get()) {
    auto made =
        SessionManager::Create(&model_, &faulty_, &environment_, options_);
    EXPECT_TRUE(made.ok()) << made.status();
    manager_ = *std::move(made);
  }

  // Does `change` until the session has the digest that comes of it. Another
  // try may find that the one before was done after all.
  void Until(const SessionId& id, const SessionDigest& digest,
             const std::function<absl::Status()>& change) {
    for (int i = 0; i < kMaxTries && !lost_; ++i) {
      const absl::Status status = change();
      CheckStatus(status);
      CheckSession(id);
      if (status.ok()) break;
      Recover();
      const auto info = Get(id);
      if (info.ok() && info->digest == digest &&
          info->durable_offset == info->committed_offset) {
        break;
      }
    }
    const auto info = Get(id);
    CheckStatus(info.status());
    if (lost_) return;
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->digest, digest);
  }

  void CheckStatus(const absl::Status& status) {
    if (status.ok()) return;
    EXPECT_FALSE(ReasonOf(status).empty()) << status;
    if (absl::IsDataLoss(status)) {
      EXPECT_TRUE(damages_) << status;
      lost_ = true;
    }
  }

  // What the session says of itself against what the store has.
  void CheckSession(const SessionId& id) {
    const auto info = Get(id);
    const auto stored = store_->ReadHead({call_.tenant, id});
    if (!info.ok() || !stored.ok()) return;
    EXPECT_LE(info->durable_offset, stored->head.committed_offset);
    EXPECT_LE(info->durable_offset, info->committed_offset);
    if (info->committed_offset == stored->head.committed_offset &&
        info->generation == stored->generation) {
      EXPECT_EQ(info->digest, stored->head.digest);
    }
  }

  void Recover() {
    faulty_.Repair();
    environment_.Pass(options_.write_behind);
    manager().Tick();
  }

  void PutOut() {
    environment_.Pass(options_.idle_release * 2);
    manager().Tick();
    faulty_.Repair();
    manager().Tick();
  }

  AppendArgs Durable(uint64_t offset, int count, int32_t first,
                     Durability durability = Durability::kShared) {
    AppendArgs args = MakeAppend(offset, Ids(count, first));
    args.min_durability = durability;
    return args;
  }

  // The whole life. False if the session was not even made.
  bool Live() {
    absl::StatusOr<SessionInfo> made = absl::UnknownError("");
    for (int i = 0; i < kMaxTries && !made.ok(); ++i) {
      made = manager().CreateSession(call_, {}, std::nullopt);
      CheckStatus(made.status());
      if (!made.ok()) Recover();
    }
    if (!made.ok()) return false;
    const SessionId id = made->key.id;
    const auto append = [&](const AppendArgs& args) {
      return [this, id, args] { return Append(id, args).status(); };
    };
    const AppendArgs first = Durable(0, 6, 0);
    SessionDigest digest = DigestAppend({}, first.content);
    Until(id, digest, append(first));
    const AppendArgs second = Durable(6, 9, 6, Durability::kMemory);
    digest = DigestAppend(digest, second.content);
    Until(id, digest, append(second));
    Recover();  // write-behind
    const EditArgs rewind{.begin = 10, .min_durability = Durability::kShared};
    EditArgs guarded = rewind;
    guarded.if_state_digest = digest;
    digest = DigestEdit(digest, rewind.begin, rewind.end, rewind.content);
    Until(id, digest,
          [&] { return manager().Edit(call_, id, guarded).status(); });
    LiveOfAFork(id, digest);
    PutOut();
    const AppendArgs third = Durable(10, 8, 30);
    digest = DigestAppend(digest, third.content);
    Until(id, digest, append(third));
    PutOut();
    AppendArgs last = Durable(18, 1, 50);
    last.close = true;
    digest = DigestClose(DigestAppend(digest, last.content));
    Until(id, digest, append(last));
    Delete(id);
    return true;
  }

  void LiveOfAFork(const SessionId& parent, const SessionDigest& digest) {
    absl::StatusOr<SessionInfo> fork = absl::UnknownError("");
    for (int i = 0; i < kMaxTries && !fork.ok() && !lost_; ++i) {
      fork = manager().Fork(call_, parent, std::nullopt);
      CheckStatus(fork.status());
      if (!fork.ok()) Recover();
    }
    if (!fork.ok()) return;
    const SessionId id = fork->key.id;
    const AppendArgs more = Durable(10, 5, 70);
    Until(id, DigestAppend(digest, more.content),
          [&] { return Append(id, more).status(); });
    Delete(id);
  }

  void Delete(const SessionId& id) {
    absl::Status status;
    for (int i = 0; i < kMaxTries; ++i) {
      status = manager().DeleteSession(call_, id);
      if (status.ok() || absl::IsNotFound(status)) return;
      CheckStatus(status);
      Recover();
    }
    // A damaged one goes when it expires.
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  }

  // A new session works, and the manager ends as it should.
  void CheckAfterwards() {
    faulty_.StopFailing();
    manager().Tick();
    const SessionId id = NewSession();
    const auto result = Append(id, Durable(0, 5, 0));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->durable_offset, 5u);
    EXPECT_TRUE(manager().Drain(environment_.Now() + absl::Seconds(5)).ok());
    manager_.reset();
  }

  FaultyStore faulty_;
  bool damages_ = false;  // DATA_LOSS is right
  bool lost_ = false;     // it has come
};

class SessionStoreFaultEachTest : public ::testing::TestWithParam<StoreFault> {
};

// One life in a world of its own.
class Life : public SessionStoreFaultTest {
 public:
  // Whether an operation was left to fail.
  bool Run(int64_t n, StoreFault fault) {
    damages_ = fault == StoreFault::kDamaged;
    faulty_.FailOperation(n, fault);
    EXPECT_TRUE(Live());
    const bool failed = faulty_.failed();
    CheckAfterwards();
    return failed;
  }
  void TestBody() override {}
};

TEST_P(SessionStoreFaultEachTest, NoOperationDoesHarmByFailing) {
  int64_t n = 1;
  while (true) {
    Life life;
    const bool failed = life.Run(n, GetParam());
    ASSERT_FALSE(HasFailure()) << "operation " << n;
    if (!failed) break;
    ++n;
  }
  EXPECT_GT(n, 15);
}

class SessionFailoverTest : public ManagerTest {
 protected:
  SessionFailoverTest() : hooked_(store_.get(), Durability::kShared) {
    auto made =
        SessionManager::Create(&model_, &hooked_, &environment_, options_);
    EXPECT_TRUE(made.ok()) << made.status();
    manager_ = *std::move(made);
  }
  ~SessionFailoverTest() override { manager_.reset(); }

  HookedStore hooked_;
};

// A session that this name has the lease of is given back and taken anew. Right
// in between the store fails over to a node that has an older lease of the
// name.
TEST_F(SessionFailoverTest, NoGenerationComesBackWithAnOlderLease) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(10));
  ASSERT_TRUE(manager().Edit(call_, id, {.begin = 5}).ok());
  const SessionInfo before = *Get(id);
  ASSERT_GT(before.generation, 1u);
  environment_.Pass(options_.idle_release);
  manager().Tick();
  ASSERT_EQ(manager().stats().resident_sessions, 0u);

  int acquired = 0;
  hooked_.after_acquire = [&](Lease& lease) {
    ++acquired;
    if (acquired == 1) lease.generation = before.generation;
    if (acquired == 2) lease.generation = before.generation - 1;
  };
  const auto info = Get(id);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_GT(info->generation, before.generation);
  EXPECT_EQ(info->digest, before.digest);
  EXPECT_EQ(acquired, 3);

  // A store in which that never ends is not waited for.
  hooked_.after_acquire = [&](Lease& lease) { lease.generation = 1; };
  EXPECT_EQ(ReasonOf(Get(id).status()), "STORE_DEGRADED");
  hooked_.after_acquire = nullptr;
  EXPECT_TRUE(Get(id).ok());
}

std::string FaultName(const ::testing::TestParamInfo<StoreFault>& test) {
  switch (test.param) {
    case StoreFault::kRefused:
      return "Refused";
    case StoreFault::kAnswerLost:
      return "AnswerLost";
    case StoreFault::kDown:
      return "Down";
    case StoreFault::kDamaged:
      break;
  }
  return "Damaged";
}

INSTANTIATE_TEST_SUITE_P(Faults, SessionStoreFaultEachTest,
                         ::testing::Values(StoreFault::kRefused,
                                           StoreFault::kAnswerLost,
                                           StoreFault::kDown,
                                           StoreFault::kDamaged),
                         FaultName);

}  // namespace
}  // namespace longhand::testing
