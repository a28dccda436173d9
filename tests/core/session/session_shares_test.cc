// Tenants' shares of the memory, in use and at rest in a store of the same
// memory: who gets room, and whose sessions make it.

#include <string>
#include <vector>

#include "core/store/store_errors.h"
#include "tests/core/session/hooked_store.h"
#include "tests/core/session/manager_harness.h"

namespace longhand::testing {
namespace {

class SessionSharesTest : public ManagerTest {
 protected:
  // Room for about twelve sessions of 100 ids.
  SessionSharesTest() {
    options_.max_cache_bytes = 0;
    SetMemory(108'000);
  }

  absl::StatusOr<SessionId> TryFill(const std::string& tenant, int32_t first) {
    const SessionCall call{.tenant = tenant};
    const auto made = manager().CreateSession(call, {}, std::nullopt);
    if (!made.ok()) return made.status();
    const auto result =
        manager().Append(call, made->key.id, MakeAppend(0, Ids(100, first)));
    if (!result.ok()) return result.status();
    EXPECT_LE(used(), options_.max_memory_bytes);
    return made->key.id;
  }
  // So many sessions with 100 ids each.
  std::vector<SessionId> Fill(const std::string& tenant, int count) {
    std::vector<SessionId> sessions;
    for (int i = 0; i < count; ++i) {
      const auto id = TryFill(tenant, i);
      EXPECT_TRUE(id.ok()) << id.status();
      if (id.ok()) sessions.push_back(*id);
    }
    return sessions;
  }
  void PutToRest() {
    environment_.Pass(options_.idle_release);
    manager().Tick();
    ASSERT_EQ(manager().stats().resident_sessions, 0u);
  }
  std::string Look(const std::string& tenant, const SessionId& id) {
    return ReasonOf(manager().GetSession({.tenant = tenant}, id).status());
  }
};

TEST_F(SessionSharesTest, ATenantKeepsItsShare) {
  // They are the least recently used ones, less than b's half, and a fills all
  // there is.
  const std::vector<SessionId> kept = Fill("b", 4);
  const std::vector<SessionId> flood = Fill("a", 30);
  EXPECT_EQ(Look("a", flood.front()), "SESSION_EVICTED");
  for (const SessionId& id : kept) EXPECT_EQ(Look("b", id), "OK");

  // A third tenant gets its share from who has more than that.
  const std::vector<SessionId> late = Fill("c", 3);
  for (const SessionId& id : kept) EXPECT_EQ(Look("b", id), "OK");
  for (const SessionId& id : late) EXPECT_EQ(Look("c", id), "OK");
}

TEST_F(SessionSharesTest, ATenantKeepsItsShareAtRest) {
  const std::vector<SessionId> kept = Fill("b", 4);
  PutToRest();
  std::vector<SessionId> flood;
  for (int i = 0; i < 30; ++i) {
    const auto id = TryFill("a", i);
    ASSERT_TRUE(id.ok()) << id.status();
    flood.push_back(*id);
    PutToRest();
  }
  // Its gravestone is gone by now as well.
  EXPECT_EQ(Look("a", flood.front()), "SESSION_NOT_FOUND");
  EXPECT_EQ(Look("a", flood.back()), "OK");
  for (const SessionId& id : kept) EXPECT_EQ(Look("b", id), "OK");
}

TEST_F(SessionSharesTest, WhatRestsIsChargedAsBefore) {
  Fill("a", 3);
  const uint64_t bytes = used();
  PutToRest();
  EXPECT_EQ(used(), bytes);
  EXPECT_GE(used(), store_->stats().bytes);
}

TEST_F(SessionSharesTest, ATenantWithNothingGetsItsShare) {
  // One tenant has all there is, to the byte.
  Fill("a", 6);
  SetMemory(used());
  Fill("a", 6);
  ASSERT_EQ(used(), options_.max_memory_bytes);
  Fill("b", 3);
  // What rests makes room as well.
  PutToRest();
  for (const SessionId& id : Fill("c", 2)) EXPECT_EQ(Look("c", id), "OK");
}

TEST_F(SessionSharesTest, ALookDoesNotKeepASession) {
  const std::vector<SessionId> sessions = Fill("a", 10);
  PutToRest();
  for (const SessionId& id : sessions) EXPECT_EQ(Look("a", id), "OK");
  const std::vector<SessionId> more = Fill("a", 30);
  EXPECT_EQ(Look("a", sessions.front()), "SESSION_EVICTED");
  EXPECT_EQ(Look("a", more.back()), "OK");
}

TEST_F(SessionSharesTest, ASessionThatFailsToComeBackMakesRoom) {
  HookedStore hooked(store_.get());
  auto made = SessionManager::Create(&model_, &hooked, &environment_, options_);
  ASSERT_TRUE(made.ok()) << made.status();
  manager_ = *std::move(made);
  const std::vector<SessionId> sessions = Fill("a", 10);
  PutToRest();
  hooked.on_read_chunks = [] {
    return StoreUnavailableError("the test's store failed");
  };
  for (const SessionId& id : sessions) {
    EXPECT_EQ(ReasonOf(Append(id, MakeAppend(100, Ids(1))).status()),
              "STORE_DEGRADED");
  }
  Fill("a", 30);
  hooked.on_read_chunks = nullptr;
  EXPECT_EQ(Look("a", sessions.front()), "SESSION_EVICTED");
  manager_.reset();
}

TEST_F(SessionSharesTest, NothingIsLeftOfWhatRested) {
  const std::vector<SessionId> sessions = Fill("a", 4);
  PutToRest();
  ASSERT_TRUE(manager().DeleteSession(call_, sessions[0]).ok());
  // One is in memory again, one is found to have expired, two nobody asks for.
  MustAppend(sessions[1], 100, Ids(1));
  environment_.Pass(options_.default_ttl * 2);
  EXPECT_EQ(Look("a", sessions[2]), "SESSION_EXPIRED");
  manager().Tick();
  EXPECT_EQ(used(), 0u);
}

}  // namespace
}  // namespace longhand::testing
