// SessionAppender: what it sends, and how it gets to the server that takes it.
#include "client/session_appender.h"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "tests/client/session_appender_case.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;

TEST_F(SessionAppenderTest, PiecesArriveOnceAndInOrder) {
  Start();
  const std::string text = MakeText(4500);
  StringSource source(text);
  AppendOptions options;
  options.provisional = true;
  options.min_durability = v1::DURABILITY_LOCAL;
  const auto result = Append(&source, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sessions_.Content(id_), text);
  EXPECT_EQ(sessions_.session_header, id_);
  EXPECT_THAT(chunks_, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(provisional_, 5);
  EXPECT_EQ(result->session.committed_offset(), 4500);
  EXPECT_EQ(result->progress.appends, 5);
  EXPECT_EQ(result->progress.source_bytes, 4500);
  EXPECT_EQ(result->lost_chunks, 0);
  ASSERT_EQ(sessions_.appends.size(), 5);
  std::set<std::string> ids;
  for (const v1::AppendSessionRequest& request : sessions_.appends) {
    EXPECT_EQ(request.append_id().size(), 16);
    EXPECT_EQ(request.min_durability(), v1::DURABILITY_LOCAL);
    EXPECT_EQ(request.if_state_digest().size(), 32);
    EXPECT_TRUE(request.has_payload_crc32c());
    ids.insert(request.append_id());
  }
  EXPECT_EQ(ids.size(), 5);
}

TEST_F(SessionAppenderTest, ServerBoundsThePieces) {
  server_.model.mutable_session_limits()->set_max_append_bytes(700);
  Start();
  const std::string text = MakeText(2000);
  StringSource source(text);
  ASSERT_TRUE(Append(&source).ok());
  ASSERT_EQ(sessions_.appends.size(), 3);
  EXPECT_EQ(sessions_.appends[0].text().size(), 700);
}

TEST_F(SessionAppenderTest, TokenIdsCountTokens) {
  Start();
  std::string bytes;
  for (uint32_t i = 0; i < 600; ++i) {
    bytes += {static_cast<char>(i), static_cast<char>(i >> 8), 0, 0};
  }
  StringSource source(bytes);
  AppendOptions options;
  options.token_ids = true;
  options.close = true;
  const auto result = Append(&source, options);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(sessions_.appends.size(), 4);
  EXPECT_EQ(sessions_.appends[1].expected_offset(), 250);
  EXPECT_EQ(sessions_.appends[1].token_ids().ids(0), 250);
  EXPECT_EQ(result->session.committed_offset(), 600);
  EXPECT_EQ(sessions_.Content(id_), bytes);

  StringSource cut("abcdef");
  EXPECT_EQ(Reason(Append(&cut, options).status()), "INPUT_INVALID");
}

TEST_F(SessionAppenderTest, ARefusedAppendIsSentAgain) {
  int busy = 0;
  sessions_.on_append = [&](const auto&, int count) {
    std::optional<AppendFault> fault;
    const std::vector<std::string> reasons = {
        "CONCURRENT_APPEND", "STALE_GENERATION", "CONCURRENT_APPEND"};
    if (count > 1 && busy < 3) {
      fault = {.apply = false, .status = Aborted(reasons[busy++])};
    }
    return fault;
  };
  Start();
  const std::string text = MakeText(2000);
  StringSource source(text);
  ASSERT_TRUE(Append(&source).ok());
  EXPECT_EQ(sessions_.Content(id_), text);
  EXPECT_THAT(IdNumbers(), ElementsAre(0, 1, 1, 1, 1));
  EXPECT_EQ(retries_.size(), 3);
}

TEST_F(SessionAppenderTest, TheRetriesAreCountedFromTheLastProgress) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count % 3 != 0) fault = {.apply = false, .status = Lost()};
    return fault;
  };
  Start();
  const std::string text = MakeText(6000);
  StringSource source(text);
  ASSERT_TRUE(Append(&source).ok());
  EXPECT_EQ(retries_.size(), 12);
  EXPECT_EQ(sessions_.Content(id_), text);
}

TEST_F(SessionAppenderTest, ItGivesUpAfterSoManyAttemptsAndTellsWhere) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count > 2) fault = {.apply = false, .status = Lost()};
    return fault;
  };
  Start();
  const std::string text = MakeText(6000);
  StringSource source(text);
  EXPECT_TRUE(absl::IsUnavailable(Append(&source).status()));
  EXPECT_EQ(sessions_.appends.size(), 2 + 4);
  EXPECT_EQ(progress_.committed_offset, 2000);
  // Another run goes on from there.
  sessions_.on_append = nullptr;
  StringSource again(text);
  AppendOptions options;
  options.source_offset = 0;
  ASSERT_TRUE(Append(&again, options).ok());
  EXPECT_EQ(skipped_, 2000);
  EXPECT_EQ(sessions_.Content(id_), text);
}

TEST_F(SessionAppenderTest, ADrainNoticeMovesTheAppendToTheNextStream) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count == 2) fault = {.apply = false, .drain = true};
    if (count == 4) fault = {.apply = true, .drain = true};
    return fault;
  };
  Start();
  const std::string text = MakeText(4000);
  StringSource source(text);
  ASSERT_TRUE(Append(&source).ok());
  EXPECT_EQ(sessions_.Content(id_), text);
  EXPECT_THAT(IdNumbers(), ElementsAre(0, 1, 1, 2, 2, 3));
  EXPECT_EQ(sessions_.calls["AppendSession"], 3);
}

TEST_F(SessionAppenderTest, WrongReplicaIsFollowedToTheOwner) {
  Start();
  FakeServer owner;
  owner.Start();
  const std::string at_owner = owner.sessions.Add();
  ASSERT_EQ(at_owner, id_);
  const auto elsewhere = Aborted("WRONG_REPLICA", {{"owner", owner.target()}});
  sessions_.ScriptCalls([&](const std::string&, int) { return elsewhere; });
  const std::string text = MakeText(3000);
  StringSource source(text);
  const auto result = Append(&source);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(owner.sessions.Content(id_), text);
  EXPECT_EQ(sessions_.Content(id_), "");
  EXPECT_EQ(sessions_.calls["AppendSession"], 1);
}

TEST_F(SessionAppenderTest, OwnersThatCannotBeReachedAreNotFollowed) {
  RedirectOptions redirects;
  redirects.connect_timeout = absl::Milliseconds(50);
  Start(redirects);
  int asked = 0;
  sessions_.ScriptCalls([&](const std::string&, int) {
    const std::vector<std::string> owners = {"127.0.0.1:1", "unix:/etc/passwd"};
    std::optional<grpc::Status> status;
    if (asked < 2)
      status = Aborted("WRONG_REPLICA", {{"owner", owners[asked]}});
    ++asked;
    return status;
  });
  StringSource source("short");
  ASSERT_TRUE(Append(&source).ok());
  EXPECT_EQ(sessions_.Content(id_), "short");
  EXPECT_EQ(retries_.size(), 2);
}

TEST_F(SessionAppenderTest, PermanentErrorsStopAtOnce) {
  Start();
  for (const auto& [code, reason] :
       std::vector<std::pair<grpc::StatusCode, std::string>>{
           {grpc::StatusCode::NOT_FOUND, "SESSION_EXPIRED"},
           {grpc::StatusCode::FAILED_PRECONDITION, "SESSION_CLOSED"},
           {grpc::StatusCode::FAILED_PRECONDITION,
            "MODEL_FINGERPRINT_MISMATCH"},
           {grpc::StatusCode::ABORTED, "STATE_DIVERGED"},
           {grpc::StatusCode::RESOURCE_EXHAUSTED, "SESSION_TOKEN_LIMIT"},
           {grpc::StatusCode::INVALID_ARGUMENT, "CHECKSUM"}}) {
    sessions_.appends.clear();
    sessions_.on_append = [&, code = code, reason = reason](const auto&, int) {
      return AppendFault{.apply = false,
                         .status = MakeStatus(code, "no", reason, {})};
    };
    StringSource source("text");
    EXPECT_EQ(Reason(Append(&source).status()), reason);
    EXPECT_EQ(sessions_.appends.size(), 1);
  }
  EXPECT_TRUE(retries_.empty());
}

TEST_F(SessionAppenderTest, SourcesThatDoNotFitAreRefused) {
  Start();
  sessions_.Write(id_, MakeText(2000));
  StringSource source("far too short");
  AppendOptions options;
  options.source_offset = 0;
  EXPECT_EQ(Reason(Append(&source, options).status()), "SOURCE_TOO_SHORT");
  options.source_offset = 2001;
  EXPECT_EQ(Reason(Append(&source, options).status()), "SOURCE_OFFSET");
  EXPECT_TRUE(sessions_.appends.empty());
}

TEST_F(SessionAppenderTest, AnIdleStreamThatTheServerEndedIsOpenedAgain) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count == 2) {
      fault = {
          .apply = false,
          .status = MakeStatus(grpc::StatusCode::ABORTED,
                               "the client was silent", "CLIENT_STALLED", {})};
    }
    return fault;
  };
  Start();
  ScriptedSource source({"one ", "two ", "three"});
  ASSERT_TRUE(Append(&source).ok());
  EXPECT_EQ(sessions_.Content(id_), "one two three");
}

TEST_F(SessionAppenderTest, CallbacksAndTheSourceCanEndTheRun) {
  Start();
  AppendCallbacks callbacks;
  callbacks.on_chunk = [](Chunk) { return absl::InternalError("disk full"); };
  const std::string text = MakeText(3000);
  StringSource source(text);
  AppendOptions options;
  options.session_id = id_;
  options.piece_bytes = 1000;
  const auto appender = client_->NewAppender(options);
  EXPECT_EQ(appender->Run(&source, callbacks).status().message(), "disk full");
  EXPECT_EQ(appender->progress().committed_offset, 1000);

  CallbackSource broken([](absl::Span<char>) -> absl::StatusOr<size_t> {
    return absl::DataLossError("cable");
  });
  EXPECT_EQ(Append(&broken).status().message(), "cable");
  EXPECT_TRUE(retries_.empty());
}

TEST_F(SessionAppenderTest, CancellationEndsTheWaitForTheNextAttempt) {
  Cancellation cancellation;
  sessions_.on_append = [&](const auto&, int) {
    cancellation.Cancel();
    return AppendFault{.apply = false, .status = Lost(), .pushback = "60000"};
  };
  Start();
  StringSource source("text");
  AppendOptions options;
  options.session_id = id_;
  const auto appender = client_->NewAppender(options);
  CallOptions call;
  call.cancellation = &cancellation;
  EXPECT_TRUE(absl::IsCancelled(appender->Run(&source, {}, call).status()));
  EXPECT_EQ(sessions_.Content(id_), "");
}

}  // namespace
}  // namespace longhand::client
