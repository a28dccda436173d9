// How sessions come and go: time, memory, the store, the end of the server.

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/core/session/manager_harness.h"

namespace longhand::testing {
namespace {

using SessionUpkeepTest = ManagerTest;

TEST_F(SessionUpkeepTest, ATenantHasSoManySessions) {
  options_.max_sessions_per_tenant = 2;
  const SessionId id = NewSession();
  NewSession();
  const auto create = [&] {
    return ReasonOf(manager().CreateSession(call_, {}, std::nullopt).status());
  };
  EXPECT_EQ(create(), "TENANT_QUOTA");
  EXPECT_EQ(ReasonOf(manager().Fork(call_, id, std::nullopt).status()),
            "TENANT_QUOTA");
  NewSession("b");
  ASSERT_TRUE(manager().DeleteSession(call_, id).ok());
  EXPECT_EQ(create(), "OK");
  EXPECT_EQ(create(), "TENANT_QUOTA");
  // Those that expire free their places as well.
  environment_.Pass(options_.default_ttl * 2);
  manager().Tick();
  EXPECT_EQ(create(), "OK");
}

TEST_F(SessionUpkeepTest, ACallerMayHaveALowerLimit) {
  options_.max_sessions_per_tenant = 3;
  const auto create = [&](int max_sessions) {
    SessionCall call = call_;
    call.max_sessions = max_sessions;
    return ReasonOf(manager().CreateSession(call, {}, std::nullopt).status());
  };
  EXPECT_EQ(create(1), "OK");
  EXPECT_EQ(create(1), "TENANT_QUOTA");
  EXPECT_EQ(create(2), "OK");  // it was raised meanwhile
  EXPECT_EQ(create(2), "TENANT_QUOTA");
  EXPECT_EQ(create(100), "OK");
  EXPECT_EQ(create(100), "TENANT_QUOTA");
  EXPECT_EQ(create(0), "TENANT_QUOTA");
}

TEST_F(SessionUpkeepTest, ASessionLivesAsLongAsItIsUsed) {
  const SessionId id = NewSession();
  for (int i = 0; i < 3; ++i) {
    environment_.Pass(options_.default_ttl * 0.75);
    manager().Tick();
    ASSERT_TRUE(Get(id).ok());
    MustAppend(id, uint64_t(i), Ids(1));
  }
  environment_.Pass(options_.default_ttl);
  EXPECT_EQ(ReasonOf(Get(id).status()), "SESSION_EXPIRED");
  EXPECT_EQ(ReasonOf(Append(id, MakeAppend(3, Ids(1))).status()),
            "SESSION_EXPIRED");
  EXPECT_EQ(used(), 0u);
  environment_.Pass(options_.gravestone_ttl * 2);
  manager().Tick();
  EXPECT_EQ(ReasonOf(Get(id).status()), "SESSION_NOT_FOUND");
}

TEST_F(SessionUpkeepTest, TtlsHaveARange) {
  for (const absl::Duration ttl :
       {absl::ZeroDuration(), absl::Seconds(-1),
        options_.max_ttl + absl::Seconds(1), absl::InfiniteDuration()}) {
    EXPECT_EQ(ReasonOf(manager().CreateSession(call_, {}, ttl).status()),
              "TTL_OUT_OF_RANGE");
  }
  const auto info = manager().CreateSession(call_, {}, absl::Seconds(1));
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->expire_time, environment_.Now() + absl::Seconds(1));
}

TEST_F(SessionUpkeepTest, IdleSessionsRestAndComeBackAsTheyWere) {
  const SessionId id = NewSession();
  const AppendArgs args = MakeAppend(0, Ids(10));
  ASSERT_TRUE(Append(id, args).ok());
  const SessionInfo before = *Get(id);
  environment_.Pass(options_.idle_release);
  manager().Tick();
  EXPECT_EQ(manager().stats().resident_sessions, 0u);
  EXPECT_FALSE(Get(id)->resident);
  EXPECT_EQ(Get(id)->digest, before.digest);
  // Its appends are still known.
  EXPECT_TRUE(Append(id, args)->duplicate);
  EXPECT_EQ(manager().stats().restores, 1u);
  const auto result = MustAppend(id, 10, Ids(3));
  EXPECT_EQ(result.chunks.size(), 1u);
  EXPECT_EQ(result.chunks[0].vector, HashVector(HashChunkKeys(
                                         "a",
                                         [] {
                                           auto ids = Ids(10);
                                           const auto more = Ids(3);
                                           ids.insert(ids.end(), more.begin(),
                                                      more.end());
                                           return ids;
                                         }(),
                                         false)[2]));
}

TEST_F(SessionUpkeepTest, SessionsOfAnotherModelAreRefused) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(10));
  ASSERT_TRUE(manager().Drain(absl::InfiniteFuture()).ok());
  HashSessionModel newer("2");
  const auto other =
      SessionManager::Create(&newer, store_.get(), &environment_, options_);
  ASSERT_TRUE(other.ok());
  const auto result = (*other)->Append(call_, id, MakeAppend(10, Ids(1)));
  EXPECT_EQ(ReasonOf(result.status()), "MODEL_FINGERPRINT_MISMATCH");
  const auto detail = GetErrorDetail(result.status());
  EXPECT_EQ(detail->metadata.at("field"), "version");
  EXPECT_EQ(detail->metadata.at("current_offset"), "10");
}

TEST_F(SessionUpkeepTest, TheBudgetHoldsToTheByte) {
  // What one session takes, and what it gives back.
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(100));
  const uint64_t bytes = used();
  EXPECT_GE(bytes, 24 * model_.chunk_bytes());
  EXPECT_EQ(manager().stats().cache_bytes, 0u);
  ASSERT_TRUE(manager().DeleteSession(call_, id).ok());
  EXPECT_EQ(used(), 0u);

  SetMemory(bytes);
  const SessionId fits = NewSession();
  MustAppend(fits, 0, Ids(100));
  EXPECT_EQ(used(), bytes);
  const auto more = Append(fits, MakeAppend(100, Ids(100)));
  EXPECT_EQ(ReasonOf(more.status()), "SESSION_TOO_LARGE");
  EXPECT_EQ(more.status().code(), absl::StatusCode::kResourceExhausted);
  // The session is as it was, and goes on living.
  EXPECT_EQ(Get(fits)->committed_offset, 100u);
  EXPECT_LE(used(), bytes);
}

TEST_F(SessionUpkeepTest, IdleSessionsMakeRoomOldestFirst) {
  // The store is of the same memory: what rests there is evicted in the end.
  SetMemory(60'000);
  std::vector<SessionId> sessions;
  for (int i = 0; i < 12; ++i) {
    sessions.push_back(NewSession());
    MustAppend(sessions.back(), 0, Ids(200, i));
    EXPECT_LE(used(), options_.max_memory_bytes);
  }
  EXPECT_GT(manager().stats().evictions, 0u);
  EXPECT_EQ(
      ReasonOf(Append(sessions.front(), MakeAppend(200, Ids(1))).status()),
      "SESSION_EVICTED");
  EXPECT_TRUE(Append(sessions.back(), MakeAppend(200, Ids(1))).ok());
}

TEST_F(SessionUpkeepTest, TheStoresOwnLimitLeavesGravestones) {
  store_options_.max_bytes = 1;
  OpenStore();
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(30));
  environment_.Pass(options_.idle_release);
  manager().Tick();
  EXPECT_EQ(ReasonOf(Get(id).status()), "SESSION_EVICTED");
  EXPECT_EQ(used(), 0u);
}

TEST_F(SessionUpkeepTest, NothingInMemoryIsCalledDurable) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(30));
  ASSERT_TRUE(manager().Edit(call_, id, {.begin = 10}).ok());
  EXPECT_EQ(Get(id)->durable_offset, 0u);
}

TEST_F(SessionUpkeepTest, DrainingGivesEverythingToTheStore) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(10));
  const SessionDigest digest = Get(id)->digest;
  ASSERT_TRUE(manager().Drain(absl::InfiniteFuture()).ok());
  EXPECT_TRUE(manager().draining());
  EXPECT_EQ(ReasonOf(Get(id).status()), "DRAINING");
  EXPECT_EQ(ReasonOf(Append(id, MakeAppend(10, Ids(1))).status()), "DRAINING");
  EXPECT_TRUE(manager().Drain(absl::InfiniteFuture()).ok());
  manager_.reset();
  EXPECT_EQ(Get(id)->digest, digest);
  MustAppend(id, 10, Ids(1));
}

TEST_F(SessionUpkeepTest, EvictionRacesWithUse) {
  // Room for two of eight: each use brings one in and others out.
  SetMemory(25'000);
  options_.max_cache_bytes = 2'000;
  constexpr int kThreads = 4, kEach = 2;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0}, done{0};
  manager();
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int s = 0; s < kEach; ++s) {
        auto made = manager().CreateSession(call_, {}, std::nullopt);
        while (ReasonOf(made.status()) == "OVERLOADED") {
          made = manager().CreateSession(call_, {}, std::nullopt);
        }
        ASSERT_TRUE(made.ok()) << made.status();
        const SessionId id = made->key.id;
        uint64_t offset = 0;
        for (int i = 0; i < 25; ++i) {
          const auto result = Append(id, MakeAppend(offset, Ids(4, i)));
          const std::string reason = ReasonOf(result.status());
          if (result.ok()) {
            offset = result->committed_offset;
            ++done;
          } else if (reason == "SESSION_EVICTED") {
            break;
          } else if (reason != "OVERLOADED") {
            ++wrong;
          }
          if (i % 5 == 0) manager().Tick();
          if (i % 3 == 0) {
            const std::string looked = ReasonOf(Get(id).status());
            if (looked != "OK" && looked != "SESSION_EVICTED" &&
                looked != "OVERLOADED") {
              ++wrong;
            }
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(done, 0);
  EXPECT_LE(used(), options_.max_memory_bytes);
  // Nothing stays charged that is not there any more.
  environment_.Pass(options_.default_ttl * 2);
  manager().Tick();
  EXPECT_EQ(used(), manager().stats().cache_bytes);
}

TEST_F(SessionUpkeepTest, ACallKeepsItsSessionAlive) {
  // In the middle of an append the clock jumps, and others come by.
  int computed = 0;
  SessionId id{};
  HashSessionModel slow("1", [&]() -> absl::Status {
    ++computed;
    environment_.Pass(options_.default_ttl * 2);
    manager().Tick();
    EXPECT_TRUE(Get(id).ok());
    return absl::OkStatus();
  });
  auto made =
      SessionManager::Create(&slow, store_.get(), &environment_, options_);
  ASSERT_TRUE(made.ok());
  manager_ = *std::move(made);
  id = NewSession();
  MustAppend(id, 0, Ids(10));
  EXPECT_GT(computed, 0);
  // Its end counts as a use.
  environment_.Pass(options_.default_ttl * 0.75);
  EXPECT_TRUE(Get(id).ok());
}

}  // namespace
}  // namespace longhand::testing
