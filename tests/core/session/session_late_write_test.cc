// Writes that reach the store after it answered that they failed, when the
// session has gone on: they must not undo what came after them.

#include <memory>
#include <string>

#include "core/session/session_manager.h"
#include "tests/core/session/manager_harness.h"
#include "tests/core/session/simulation/sim_store.h"

namespace longhand::testing {
namespace {

class SessionLateWriteTest : public ::testing::Test {
 protected:
  SessionLateWriteTest() : now_(environment_.Now()), store_(&baton_, &now_) {
    options_.max_memory_bytes = uint64_t{1} << 20;
    connection_ = store_.Connect(&crashed_);
    manager_ = MakeManager(connection_.get());
    key_ = manager_->CreateSession(call_, {}, std::nullopt)->key;
  }

  std::unique_ptr<SessionManager> MakeManager(SessionStore* connection) {
    auto manager =
        SessionManager::Create(&model_, connection, &environment_, options_);
    EXPECT_TRUE(manager.ok());
    return *std::move(manager);
  }

  void Pass(absl::Duration time) {
    environment_.Pass(time);
    now_ = environment_.Now();
  }

  std::string Append(uint64_t offset, int count, bool close = false,
                     Durability durability = Durability::kShared) {
    AppendArgs args;
    args.expected_offset = offset;
    args.append_id = std::string(16, char('a' + ++appends_));
    args.content = Ids(count);
    args.close = close;
    args.min_durability = durability;
    return ReasonOf(manager_->Append(call_, key_.id, args).status());
  }
  const SimStore::Session& stored() { return store_.sessions().at(key_); }

  const SessionCall call_{.tenant = "a"};
  Baton baton_{1};
  ManualEnvironment environment_;
  absl::Time now_;
  SimStore store_;
  HashSessionModel model_;
  SessionManagerOptions options_;
  bool crashed_ = false;
  std::unique_ptr<SessionStore> connection_;
  std::unique_ptr<SessionManager> manager_;
  SessionKey key_;
  int appends_ = 0;
};

TEST_F(SessionLateWriteTest, TheEndOfADocumentStays) {
  ASSERT_EQ(Append(0, 5), "OK");
  Pass(absl::Seconds(1));
  ASSERT_TRUE(manager_->GetSession(call_, key_.id).ok());
  // A write that says no more than when the session was used last.
  store_.faults.late = 1;
  Pass(options_.idle_release);
  manager_->Tick();
  ASSERT_EQ(manager_->stats().resident_sessions, 1u);
  store_.faults.late = 0;
  ASSERT_EQ(Append(5, 0, /*close=*/true, Durability::kMemory), "OK");
  ASSERT_EQ(stored().head.state, SessionState::kClosed);
  ASSERT_TRUE(store_.DeliverLate());
  EXPECT_EQ(stored().head.state, SessionState::kClosed);
  EXPECT_EQ(stored().chunks.size(), 2u);
}

TEST_F(SessionLateWriteTest, AnExpiredSessionStaysExpired) {
  store_.faults.late = 1;
  ASSERT_EQ(Append(0, 5), "STORE_DEGRADED");
  store_.faults.late = 0;
  // The process is gone; one of the same name follows.
  crashed_ = true;
  const bool alive = false;
  const auto connection = store_.Connect(&alive);
  const auto manager = MakeManager(connection.get());
  Pass(options_.default_ttl * 2);
  EXPECT_EQ(ReasonOf(manager->GetSession(call_, key_.id).status()),
            "SESSION_EXPIRED");
  ASSERT_TRUE(store_.DeliverLate());
  EXPECT_EQ(stored().head.state, SessionState::kExpired);
  EXPECT_EQ(stored().chunks.size(), 0u);
}

TEST_F(SessionLateWriteTest, AnEditStays) {
  ASSERT_EQ(Append(0, 9), "OK");
  store_.faults.late = 1;
  ASSERT_EQ(Append(9, 5), "STORE_DEGRADED");
  store_.faults.late = 0;
  manager_->Tick();
  // Back to where the late write began.
  ASSERT_TRUE(manager_->Edit(call_, key_.id, {.begin = 9}).ok());
  ASSERT_TRUE(store_.DeliverLate());
  EXPECT_EQ(stored().head.committed_offset, 9u);
}

TEST_F(SessionLateWriteTest, OneThatIsTriedAgainIsDoneOnce) {
  store_.faults.late = 1;
  ASSERT_EQ(Append(0, 9), "STORE_DEGRADED");
  store_.faults.late = 0;
  manager_->Tick();
  ASSERT_EQ(Append(9, 9), "OK");
  ASSERT_TRUE(store_.DeliverLate());
  EXPECT_EQ(stored().head.committed_offset, 18u);
  EXPECT_EQ(stored().chunks.size(), 4u);
}

}  // namespace
}  // namespace longhand::testing
