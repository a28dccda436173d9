// What sessions promise, call by call, over the memory store.

#include "core/session/session_manager.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/session/append_protocol.h"
#include "core/session/crc32c.h"
#include "tests/core/session/manager_harness.h"

namespace longhand::testing {
namespace {

using SessionManagerTest = ManagerTest;

TEST_F(SessionManagerTest, RefusesOptionsThatMakeNoSense) {
  using Options = SessionManagerOptions;
  const std::vector<void (*)(Options&)> spoilers = {
      [](Options& o) { o.max_memory_bytes = 0; },
      [](Options& o) { o.max_cache_bytes = o.max_memory_bytes + 1; },
      [](Options& o) { o.max_document_bytes = 0; },
      [](Options& o) { o.max_append_bytes = 0; },
      [](Options& o) { o.max_sessions_per_tenant = 0; },
      [](Options& o) { o.default_ttl = absl::ZeroDuration(); },
      [](Options& o) { o.default_ttl = o.max_ttl + absl::Seconds(1); },
      [](Options& o) { o.max_ttl = absl::InfiniteDuration(); },
      [](Options& o) { o.gravestone_ttl = absl::ZeroDuration(); },
      [](Options& o) { o.lease_duration = absl::Milliseconds(10); },
      [](Options& o) { o.idle_release = absl::ZeroDuration(); },
      [](Options& o) { o.write_behind = absl::Seconds(-1); },
      [](Options& o) { o.owner = ""; },
      [](Options& o) { o.owner = "a b"; },
      [](Options& o) { o.owner = std::string(256, 'a'); },
  };
  for (size_t i = 0; i < spoilers.size(); ++i) {
    SessionManagerOptions options = options_;
    spoilers[i](options);
    EXPECT_EQ(ReasonOf(SessionManager::Create(&model_, store_.get(),
                                              &environment_, options)
                           .status()),
              "CONFIG_INVALID")
        << i;
  }
}

TEST_F(SessionManagerTest, AnAppendIsThereExactlyOnce) {
  const SessionId id = NewSession();
  const AppendArgs args = MakeAppend(0, Ids(6));
  const auto first = Append(id, args);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(first->duplicate);
  EXPECT_EQ(first->committed_offset, 6u);
  EXPECT_EQ(first->encoded_offset, 4u);
  EXPECT_EQ(first->computed_tokens, 4u);
  EXPECT_EQ(first->digest, DigestAppend({}, args.content));
  ASSERT_EQ(first->chunks.size(), 1u);
  EXPECT_EQ(first->chunks[0].vector,
            HashVector(HashChunkKeys("a", Ids(6), false)[0]));

  MustAppend(id, 6, Ids(3));
  const auto again = Append(id, args);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(again->committed_offset, 6u);
  EXPECT_EQ(again->digest, first->digest);
  EXPECT_TRUE(again->chunks.empty());
  EXPECT_EQ(Get(id)->committed_offset, 9u);
}

TEST_F(SessionManagerTest, TheRowsOfTheAppendTableReachTheCaller) {
  const SessionId id = NewSession();
  const AppendArgs applied = MakeAppend(0, Ids(6));
  ASSERT_TRUE(Append(id, applied).ok());
  const auto reason = [&](const AppendArgs& args) {
    return ReasonOf(Append(id, args).status());
  };
  AppendArgs args = applied;
  args.content = Ids(6, 1);
  EXPECT_EQ(reason(args), "APPEND_ID_REUSED");
  args = MakeAppend(7, Ids(1));
  EXPECT_EQ(reason(args), "OFFSET_GAP");
  args = MakeAppend(5, Ids(1));
  EXPECT_EQ(reason(args), "OFFSET_ALREADY_WRITTEN");
  args = MakeAppend(6, Ids(1));
  args.expected_offset.reset();
  EXPECT_EQ(reason(args), "BAD_APPEND");
  args = MakeAppend(6, Ids(1));
  args.append_id = "short";
  EXPECT_EQ(reason(args), "BAD_APPEND");
  args = MakeAppend(6, Ids(0));
  EXPECT_EQ(reason(args), "BAD_APPEND");
  args = MakeAppend(6, Ids(1001));
  EXPECT_EQ(reason(args), "BAD_APPEND");
  args = MakeAppend(6, std::string("text"));
  EXPECT_EQ(reason(args), "BAD_APPEND");
  args = MakeAppend(6, std::vector<int32_t>{-1});
  EXPECT_EQ(reason(args), "TOKEN_ID_OUT_OF_RANGE");
  args = MakeAppend(6, Ids(2));
  args.payload_crc32c = 1;
  EXPECT_EQ(reason(args), "CHECKSUM");
  args = MakeAppend(6, Ids(2));
  args.if_state_digest = SessionDigest{};
  EXPECT_EQ(reason(args), "STATE_DIVERGED");
  args = MakeAppend(6, Ids(2));
  args.min_durability = Durability::kLocal;
  const auto unsafe = Append(id, args);
  EXPECT_EQ(ReasonOf(unsafe.status()), "DURABILITY_UNAVAILABLE");
  EXPECT_EQ(GetErrorDetail(unsafe.status())->metadata.at("current_offset"),
            "6");
  std::atomic<bool> cancelled{true};
  EXPECT_EQ(
      ReasonOf(manager()
                   .Append({.tenant = "a", .stop = {.cancelled = &cancelled}},
                           id, MakeAppend(6, Ids(2)))
                   .status()),
      "CANCELLED");
  EXPECT_EQ(ReasonOf(manager()
                         .Append({.tenant = "a",
                                  .stop = {.deadline = absl::InfinitePast()}},
                                 id, MakeAppend(6, Ids(2)))
                         .status()),
            "QUEUE_TIMEOUT");
  // None of it left a trace.
  EXPECT_EQ(Get(id)->digest, DigestAppend({}, applied.content));
  args = MakeAppend(6, Ids(2));
  args.payload_crc32c = Crc32c(ContentPayload(args.content));
  args.if_state_digest = Get(id)->digest;
  EXPECT_EQ(reason(args), "OK");
}

TEST_F(SessionManagerTest, ADocumentHasALimit) {
  options_.max_document_bytes = 40;
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(8));
  EXPECT_EQ(ReasonOf(Append(id, MakeAppend(8, Ids(3))).status()),
            "SESSION_TOKEN_LIMIT");
  MustAppend(id, 8, Ids(2));
}

TEST_F(SessionManagerTest, VeryOldAppendsAreRefusedByTheirOffset) {
  const SessionId id = NewSession();
  const AppendArgs first = MakeAppend(0, Ids(1));
  ASSERT_TRUE(Append(id, first).ok());
  for (uint64_t i = 1; i <= SessionHead::kMaxAppendRecords; ++i) {
    EXPECT_EQ(Append(id, first).ok(), true) << i;
    MustAppend(id, i, Ids(1));
  }
  EXPECT_EQ(ReasonOf(Append(id, first).status()), "OFFSET_ALREADY_WRITTEN");
}

TEST_F(SessionManagerTest, TheEndOfADocumentCanBeSentAgain) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(3));
  AppendArgs end = MakeAppend(3, Ids(3));
  end.close = true;
  const auto closed = Append(id, end);
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ(closed->chunks.size(), 2u);
  EXPECT_EQ(closed->encoded_offset, 6u);
  EXPECT_TRUE(Append(id, end)->duplicate);
  EXPECT_EQ(Get(id)->state, SessionState::kClosed);
  EXPECT_EQ(ReasonOf(Append(id, MakeAppend(6, Ids(1))).status()),
            "SESSION_CLOSED");
  EXPECT_EQ(ReasonOf(manager().Edit(call_, id, {.begin = 1}).status()),
            "SESSION_CLOSED");
  EXPECT_TRUE(manager().Query(call_, id, {.questions = {Ids(2)}}).ok());
}

TEST_F(SessionManagerTest, TheTailIsShownAsIfTheDocumentEnded) {
  const SessionId id = NewSession();
  AppendArgs args = MakeAppend(0, Ids(6));
  args.provisional = true;
  const auto result = Append(id, args);
  ASSERT_TRUE(result.ok()) << result.status();
  const auto keys = HashChunkKeys("a", Ids(6), true);
  ASSERT_EQ(result->provisional_chunks.size(), 1u);
  EXPECT_EQ(result->provisional_chunks[0].index, 1);
  EXPECT_EQ(result->provisional_chunks[0].vector, HashVector(keys[1]));
}

TEST_F(SessionManagerTest, EditsAndRewindsRaiseTheGeneration) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(20));
  const SessionInfo before = *Get(id);
  const EditArgs edit{.begin = 5,
                      .end = 7,
                      .content = Ids(3, 100),
                      .if_state_digest = before.digest};
  const auto edited = manager().Edit(call_, id, edit);
  ASSERT_TRUE(edited.ok()) << edited.status();
  std::vector<int32_t> ids = Ids(20);
  ids.erase(ids.begin() + 5, ids.begin() + 7);
  const auto inserted = Ids(3, 100);
  ids.insert(ids.begin() + 5, inserted.begin(), inserted.end());
  const auto keys = HashChunkKeys("a", ids, false);
  EXPECT_EQ(edited->info.committed_offset, 21u);
  EXPECT_GT(edited->info.generation, before.generation);
  EXPECT_EQ(edited->old_chunks, 4u);
  ASSERT_EQ(edited->changed.size(), keys.size() - 1);
  for (const ChunkResult& chunk : edited->changed) {
    EXPECT_EQ(chunk.vector, HashVector(keys[size_t(chunk.index)]));
  }
  // Sent again, it is known; another one is not taken for it.
  const auto again = manager().Edit(call_, id, edit);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->info.digest, edited->info.digest);
  EXPECT_TRUE(again->changed.empty());
  EditArgs other = edit;
  other.end = 8;
  EXPECT_EQ(ReasonOf(manager().Edit(call_, id, other).status()),
            "STATE_DIVERGED");

  const auto rewound = manager().Edit(call_, id, {.begin = 3});
  ASSERT_TRUE(rewound.ok()) << rewound.status();
  EXPECT_EQ(rewound->info.committed_offset, 3u);
  EXPECT_EQ(rewound->info.num_chunks, 0u);
  EXPECT_GT(rewound->info.generation, edited->info.generation);
  EXPECT_EQ(ReasonOf(manager().Edit(call_, id, {.begin = 4}).status()),
            "OFFSET_BEYOND_END");
}

TEST_F(SessionManagerTest, ARewindToNothingLeavesTheKindOpenOnlyIfItWas) {
  const SessionId id = NewSession();
  ASSERT_TRUE(manager().Edit(call_, id, {.begin = 0}).ok());
  MustAppend(id, 0, Ids(5));
  ASSERT_TRUE(manager().Edit(call_, id, {.begin = 0}).ok());
  MustAppend(id, 0, Ids(5));
}

TEST_F(SessionManagerTest, AForkGoesItsOwnWay) {
  const SessionId parent = NewSession();
  MustAppend(parent, 0, Ids(9));
  const uint64_t before = used();
  const auto fork = manager().Fork(call_, parent, std::nullopt);
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_EQ(fork->generation, 1u);
  EXPECT_EQ(fork->parent, FormatSessionId(parent));
  EXPECT_EQ(fork->digest, Get(parent)->digest);
  // The chunks' states are there once.
  EXPECT_LT(used() - before, before);
  const SessionId child = fork->key.id;
  MustAppend(child, 9, Ids(9, 50));
  EXPECT_EQ(Get(parent)->committed_offset, 9u);
  ASSERT_TRUE(manager().DeleteSession(call_, parent).ok());
  EXPECT_EQ(Get(child)->committed_offset, 18u);
  MustAppend(child, 18, Ids(2));
}

TEST_F(SessionManagerTest, AForkDoesNotKnowItsParentsAppends) {
  const SessionId parent = NewSession();
  const AppendArgs args = MakeAppend(0, Ids(3));
  ASSERT_TRUE(Append(parent, args).ok());
  const SessionId child = manager().Fork(call_, parent, std::nullopt)->key.id;
  EXPECT_EQ(ReasonOf(Append(child, args).status()), "OFFSET_ALREADY_WRITTEN");
}

TEST_F(SessionManagerTest, QuestionsSeeAllOfTheContent) {
  const SessionId id = NewSession();
  EXPECT_EQ(
      ReasonOf(manager().Query(call_, id, {.questions = {Ids(2)}}).status()),
      "SESSION_EMPTY");
  MustAppend(id, 0, Ids(10));
  const auto result = manager().Query(
      call_, id, {.questions = {Ids(2)}, .max_attended = 2, .max_similar = 2});
  ASSERT_TRUE(result.ok()) << result.status();
  const auto keys = HashChunkKeys("a", Ids(10), true);
  EXPECT_EQ(result->num_chunks, 3u);
  EXPECT_EQ(result->committed_offset, 10u);
  ASSERT_EQ(result->answers.size(), 1u);
  EXPECT_EQ(result->answers[0].vector, HashAnswer(keys, Ids(2)));
  for (const auto* scored :
       {&result->answers[0].attended, &result->answers[0].similar}) {
    ASSERT_EQ(scored->size(), 2u);
    EXPECT_GE((*scored)[0].score, (*scored)[1].score);
    EXPECT_LE((*scored)[0].score, 1.0001f);
  }
  // The weights are the model's.
  std::vector<uint8_t> weights;
  for (const ChunkKey& key : keys) weights.push_back(key[0]);
  EXPECT_EQ(keys[result->answers[0].attended[0].index][0],
            *std::max_element(weights.begin(), weights.end()));
  EXPECT_EQ(Get(id)->committed_offset, 10u);

  for (const QueryArgs& bad :
       {QueryArgs{}, QueryArgs{.questions = {Ids(0)}},
        QueryArgs{.questions = {Ids(1)}, .max_similar = 1001},
        QueryArgs{.questions = {Ids(1)}, .max_attended = -1},
        QueryArgs{.questions = {Ids(1)}, .document_weight = 3},
        QueryArgs{.questions = std::vector<Content>(65, Ids(1))}}) {
    EXPECT_EQ(ReasonOf(manager().Query(call_, id, bad).status()), "BAD_QUERY");
  }
}

TEST_F(SessionManagerTest, AnotherTenantsSessionIsNotThere) {
  const SessionId id = NewSession("a");
  MustAppend(id, 0, Ids(5));
  const SessionCall other{.tenant = "b"};
  SessionId unknown = id;
  ++unknown[0];
  const absl::Status nowhere = Get(unknown).status();
  EXPECT_EQ(ReasonOf(nowhere), "SESSION_NOT_FOUND");
  EXPECT_EQ(manager().GetSession(other, id).status(), nowhere);
  EXPECT_EQ(manager().Append(other, id, MakeAppend(0, Ids(1))).status(),
            nowhere);
  EXPECT_EQ(manager().Edit(other, id, {}).status(), nowhere);
  EXPECT_EQ(manager().Fork(other, id, std::nullopt).status(), nowhere);
  EXPECT_EQ(manager().Query(other, id, {.questions = {Ids(1)}}).status(),
            nowhere);
  EXPECT_EQ(manager().DeleteSession(other, id), nowhere);
  EXPECT_TRUE(manager().ListSessions(other, 10, "")->sessions.empty());
  EXPECT_TRUE(Get(id).ok());
}

TEST_F(SessionManagerTest, TenantsShareNoChunks) {
  options_.max_cache_bytes = 100'000;
  const SessionId a = NewSession("a");
  MustAppend(a, 0, Ids(9));
  const SessionId again = NewSession("a");
  EXPECT_EQ(MustAppend(again, 0, Ids(9)).reused_tokens, 8u);
  const SessionId b = NewSession("b");
  const auto result =
      manager().Append({.tenant = "b"}, b, MakeAppend(0, Ids(9)));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->reused_tokens, 0u);
  EXPECT_EQ(manager().stats().cache_hits, 2u);
}

TEST_F(SessionManagerTest, ListsPageByPage) {
  std::set<SessionId> made;
  for (int i = 0; i < 7; ++i) made.insert(NewSession());
  std::set<SessionId> listed;
  std::string token;
  int pages = 0;
  do {
    const auto page = manager().ListSessions(call_, 3, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const SessionInfo& info : page->sessions) listed.insert(info.key.id);
    token = page->next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(listed, made);
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(ReasonOf(manager().ListSessions(call_, 3, "nonsense").status()),
            "PAGE_TOKEN_INVALID");
}

TEST_F(SessionManagerTest, DeletingIsForGood) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(9));
  EXPECT_TRUE(manager().DeleteSession(call_, id).ok());
  EXPECT_EQ(ReasonOf(manager().DeleteSession(call_, id)), "SESSION_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Get(id).status()), "SESSION_NOT_FOUND");
  EXPECT_EQ(used(), 0u);
}

TEST_F(SessionManagerTest, OfTwoWritersOneWins) {
  const SessionId id = NewSession();
  constexpr int kRounds = 50;
  std::atomic<int> applied{0}, refused{0}, wrong{0};
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::thread> writers;
    for (int i = 0; i < 2; ++i) {
      writers.emplace_back([&, round] {
        const auto result =
            Append(id, MakeAppend(uint64_t(round) * 5, Ids(5, round)));
        const std::string reason = ReasonOf(result.status());
        if (result.ok()) {
          ++applied;
        } else if (reason == "CONCURRENT_APPEND" ||
                   reason == "OFFSET_ALREADY_WRITTEN") {
          ++refused;
        } else {
          ++wrong;
        }
      });
    }
    for (std::thread& writer : writers) writer.join();
  }
  EXPECT_EQ(applied, kRounds);
  EXPECT_EQ(refused, kRounds);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(Get(id)->committed_offset, uint64_t{kRounds} * 5);
}

TEST_F(SessionManagerTest, TheSameAppendFromTwoThreadsIsOne) {
  const SessionId id = NewSession();
  for (uint64_t round = 0; round < 50; ++round) {
    const AppendArgs args = MakeAppend(round * 3, Ids(3));
    std::atomic<int> first{0}, again{0};
    std::vector<std::thread> senders;
    for (int i = 0; i < 3; ++i) {
      senders.emplace_back([&] {
        const auto result = Append(id, args);
        if (result.ok()) ++(result->duplicate ? again : first);
      });
    }
    for (std::thread& sender : senders) sender.join();
    EXPECT_EQ(first, 1);
    EXPECT_EQ(again, 2);
  }
}

}  // namespace
}  // namespace longhand::testing
