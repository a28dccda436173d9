// How many sessions a tenant has: whatever is created, removed and counted at
// the same time, never more than its limit.

#include <string>
#include <vector>

#include "tests/core/session/hooked_store.h"
#include "tests/core/session/manager_harness.h"

namespace longhand::testing {
namespace {

// Counts are older than that.
constexpr absl::Duration kOld = absl::Seconds(6);

class SessionQuotaTest : public ManagerTest {
 protected:
  void MakeManager(int max_sessions) {
    options_.max_sessions_per_tenant = max_sessions;
    auto made =
        SessionManager::Create(&model_, &hooked_, &environment_, options_);
    ASSERT_TRUE(made.ok()) << made.status();
    manager_ = *std::move(made);
  }
  ~SessionQuotaTest() override { manager_.reset(); }

  std::string Create(absl::Duration ttl = absl::Hours(1)) {
    return ReasonOf(manager().CreateSession(call_, {}, ttl).status());
  }
  std::string Delete(const SessionId& id) {
    return ReasonOf(manager().DeleteSession(call_, id));
  }
  size_t NumSessions() {
    return manager().ListSessions(call_, 1000, "")->sessions.size();
  }

  HookedStore hooked_{store_.get()};
};

TEST_F(SessionQuotaTest, AGravestoneFreesNoPlace) {
  MakeManager(2);
  const auto brief =
      manager().CreateSession(call_, {}, options_.gravestone_ttl / 2);
  ASSERT_TRUE(brief.ok()) << brief.status();
  EXPECT_EQ(Create(), "OK");
  environment_.Pass(options_.gravestone_ttl / 2);
  manager().Tick();
  // Counted anew: the one that expired has given its place to this one.
  EXPECT_EQ(Create(), "OK");
  EXPECT_EQ(Delete(brief->key.id), "OK");
  EXPECT_EQ(Create(), "TENANT_QUOTA");
  EXPECT_EQ(NumSessions(), 2u);
}

TEST_F(SessionQuotaTest, ASessionOnItsWayTakesAPlace) {
  MakeManager(1);
  EXPECT_EQ(Create(absl::Minutes(1)), "OK");
  environment_.Pass(absl::Minutes(2));
  manager().Tick();
  // The first has its place and is not stored yet when the second is counted.
  std::string second;
  hooked_.on_create = [&] {
    hooked_.on_create = nullptr;
    environment_.Pass(kOld);
    second = Create();
    return absl::OkStatus();
  };
  EXPECT_EQ(Create(), "OK");
  EXPECT_EQ(second, "TENANT_QUOTA");
  EXPECT_EQ(NumSessions(), 1u);
}

TEST_F(SessionQuotaTest, ACreationThatFailsGivesItsPlaceBack) {
  MakeManager(1);
  hooked_.on_create = [] { return absl::UnavailableError("test"); };
  EXPECT_EQ(Create(), "STORE_DEGRADED");
  hooked_.on_create = nullptr;
  EXPECT_EQ(Create(), "OK");
  EXPECT_EQ(Create(), "TENANT_QUOTA");
}

TEST_F(SessionQuotaTest, ACountThatFailsCanBeTriedAgain) {
  MakeManager(1);
  hooked_.on_list = [] { return absl::UnavailableError("test"); };
  EXPECT_EQ(Create(), "STORE_DEGRADED");
  hooked_.on_list = nullptr;
  EXPECT_EQ(Create(), "OK");
}

TEST_F(SessionQuotaTest, ARemovalThatTheCountSawFreesOnePlace) {
  MakeManager(2);
  const SessionId removed = NewSession();
  EXPECT_EQ(Create(), "OK");
  environment_.Pass(kOld);
  // Removed from the store, and counted anew before the call ends.
  std::string meanwhile;
  hooked_.after_delete = [&] {
    hooked_.after_delete = nullptr;
    meanwhile = Create();
  };
  EXPECT_EQ(Delete(removed), "OK");
  EXPECT_EQ(meanwhile, "OK");
  EXPECT_EQ(Create(), "TENANT_QUOTA");
  EXPECT_EQ(NumSessions(), 2u);
}

}  // namespace
}  // namespace longhand::testing
