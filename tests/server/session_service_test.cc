// The unary methods of SessionService through a real gRPC connection.
#include "server/session_service.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/convert.h"
#include "tests/testing/session_server.h"

namespace longhand::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Stub = v1::SessionService::Stub;

// Calls every method with the session `id`; the statuses by method.
std::vector<std::pair<std::string, grpc::Status>> CallAll(
    SessionServer& test, const std::string& id) {
  std::vector<std::pair<std::string, grpc::Status>> statuses;
  auto unary = [&](const char* name, auto method, auto request, auto response) {
    request.set_session_id(id);
    statuses.emplace_back(name, test.Call(method, request, &response));
  };
  unary("GetSession", &Stub::GetSession, v1::GetSessionRequest(),
        v1::GetSessionResponse());
  unary("DeleteSession", &Stub::DeleteSession, v1::DeleteSessionRequest(),
        v1::DeleteSessionResponse());
  unary("ForkSession", &Stub::ForkSession, v1::ForkSessionRequest(),
        v1::ForkSessionResponse());
  v1::QuerySessionRequest query;
  query.add_questions()->set_text("why");
  unary("QuerySession", &Stub::QuerySession, query, v1::QuerySessionResponse());
  grpc::ClientContext rewind_context;
  v1::RewindSessionRequest rewind;
  rewind.set_session_id(id);
  rewind.set_offset(0);
  statuses.emplace_back(
      "RewindSession",
      ReadStream(test.sessions->RewindSession(&rewind_context, rewind)).first);
  grpc::ClientContext edit_context;
  v1::EditSessionRequest edit;
  edit.set_session_id(id);
  edit.set_begin(0);
  statuses.emplace_back(
      "EditSession",
      ReadStream(test.sessions->EditSession(&edit_context, edit)).first);
  grpc::ClientContext export_context;
  v1::ExportSessionRequest exported;
  exported.set_session_id(id);
  statuses.emplace_back(
      "ExportSession",
      ReadStream(test.sessions->ExportSession(&export_context, exported))
          .first);
  if (!id.empty()) {
    AppendCall append(test);
    statuses.emplace_back("AppendSession",
                          append.Run({AppendRequest(id, 0, "text")}));
  }
  return statuses;
}

TEST(SessionServiceTest, ASessionIsMadeFoundForkedAndRemoved) {
  SessionServer test;
  v1::CreateSessionRequest create;
  create.mutable_options()->set_chunk_tokens(64);
  create.mutable_ttl()->set_seconds(90);
  v1::CreateSessionResponse created;
  ASSERT_TRUE(test.Call(&Stub::CreateSession, create, &created).ok());
  const v1::Session& session = created.session();
  EXPECT_EQ(session.session_id().size(), 22U);
  EXPECT_EQ(session.state(), v1::SESSION_STATE_OPEN);
  EXPECT_EQ(session.options().chunk_tokens(), 64U);
  EXPECT_EQ(session.options().model(), "fake");
  EXPECT_EQ(session.durability(), v1::DURABILITY_LOCAL);
  EXPECT_EQ(session.create_time().seconds(), 1000);
  EXPECT_EQ(session.expire_time().nanos(), 7);
  EXPECT_THAT(test.manager->counts().ttls, ElementsAre(absl::Seconds(90)));

  v1::GetSessionRequest get;
  get.set_session_id(session.session_id());
  v1::GetSessionResponse found;
  ASSERT_TRUE(test.Call(&Stub::GetSession, get, &found).ok());
  EXPECT_EQ(found.session().SerializeAsString(), session.SerializeAsString());

  v1::ForkSessionRequest fork;
  fork.set_session_id(session.session_id());
  v1::ForkSessionResponse forked;
  ASSERT_TRUE(test.Call(&Stub::ForkSession, fork, &forked).ok());
  EXPECT_EQ(forked.session().parent_session_id(), session.session_id());
  EXPECT_NE(forked.session().session_id(), session.session_id());

  v1::DeleteSessionRequest remove;
  remove.set_session_id(session.session_id());
  v1::DeleteSessionResponse removed;
  ASSERT_TRUE(test.Call(&Stub::DeleteSession, remove, &removed).ok());
  EXPECT_EQ(ReasonOf(test.Call(&Stub::GetSession, get, &found)),
            "SESSION_NOT_FOUND");
  const Metrics& metrics = test.server->metrics();
  EXPECT_EQ(metrics.create_session.started.Value(), 1);
  EXPECT_EQ(metrics.get_session.started.Value(), 2);
  EXPECT_EQ(metrics.delete_session.sent.Value(), 1);
}

TEST(SessionServiceTest, ListsGoPageByPage) {
  SessionServer test;
  for (int i = 0; i < 5; ++i) test.Create();
  std::vector<std::string> ids;
  v1::ListSessionsRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    v1::ListSessionsResponse response;
    ASSERT_TRUE(test.Call(&Stub::ListSessions, request, &response).ok());
    for (const auto& session : response.sessions()) {
      ids.push_back(session.session_id());
    }
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(ids.size(), 5U);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST(SessionServiceTest, QueriesAnswerInOrder) {
  SessionServer test;
  v1::QuerySessionRequest request;
  request.set_session_id(test.Create());
  request.add_questions()->set_text("why");
  request.add_questions()->mutable_token_ids()->add_ids(5);
  request.set_max_attended(0);
  request.set_max_similar(1000);
  request.set_texts(true);
  v1::QuerySessionResponse response;
  ASSERT_TRUE(test.Call(&Stub::QuerySession, request, &response).ok());
  ASSERT_EQ(response.answers_size(), 2);
  const std::vector<float> vector = {1, 0, 0, 1};
  EXPECT_EQ(response.answers(1).vector(), FloatBytes(vector.data(), 4));
  EXPECT_EQ(response.answers(0).own_vector().size(), 16U);
  EXPECT_EQ(response.answers(0).attended(0).index(), 3U);
  EXPECT_EQ(response.answers(0).attended(0).end_byte(), 16U);
  EXPECT_EQ(response.answers(0).similar(0).text(), "text");
  EXPECT_EQ(response.answers(0).similar(0).score(), 0.25F);
  const QueryArgs args = test.manager->counts().queries.at(0);
  EXPECT_EQ(args.questions.size(), 2U);
  EXPECT_EQ(args.max_attended, 0);
  EXPECT_EQ(args.max_similar, 1000);
}

TEST(SessionServiceTest, BadRequestsDoNotReachTheManager) {
  SessionServer test;
  const std::string id = test.Create();
  const int calls = test.manager->counts().calls;
  auto refused = [&](auto method, const auto& request, auto response) {
    const grpc::Status status = test.Call(method, request, &response);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    return ReasonOf(status);
  };
  v1::CreateSessionRequest create;
  create.mutable_ttl();
  EXPECT_EQ(refused(&Stub::CreateSession, create, v1::CreateSessionResponse()),
            "TTL_OUT_OF_RANGE");
  create.Clear();
  create.mutable_options()->set_gate(2);
  EXPECT_EQ(refused(&Stub::CreateSession, create, v1::CreateSessionResponse()),
            "GATE_OUT_OF_RANGE");
  v1::ForkSessionRequest fork;
  fork.set_session_id(id);
  fork.mutable_ttl()->set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(refused(&Stub::ForkSession, fork, v1::ForkSessionResponse()),
            "TTL_OUT_OF_RANGE");
  v1::ListSessionsRequest list;
  list.set_page_size(1001);
  EXPECT_EQ(refused(&Stub::ListSessions, list, v1::ListSessionsResponse()),
            "PAGE_SIZE_OUT_OF_RANGE");
  v1::QuerySessionRequest query;
  query.set_session_id(id);
  EXPECT_EQ(refused(&Stub::QuerySession, query, v1::QuerySessionResponse()),
            "QUESTIONS_OUT_OF_RANGE");
  EXPECT_EQ(test.manager->counts().calls, calls);
}

TEST(SessionServiceTest, MalformedIdsAreAnsweredAsUnknownOnes) {
  SessionServer test;
  const auto unknown = CallAll(test, kUnknownId);
  for (const std::string& id :
       {std::string("A"), std::string(21, 'A') + "B", std::string(23, 'A'),
        std::string("../../etc/passwd------"), std::string(4000, 'x')}) {
    const auto malformed = CallAll(test, id);
    ASSERT_EQ(malformed.size(), unknown.size());
    for (size_t i = 0; i < unknown.size(); ++i) {
      const auto& [name, status] = malformed[i];
      EXPECT_EQ(status.error_code(), grpc::NOT_FOUND) << name;
      EXPECT_EQ(status.error_message(), unknown[i].second.error_message());
      EXPECT_EQ(status.error_details(), unknown[i].second.error_details());
    }
  }
}

TEST(SessionServiceTest, WithoutAStoreEveryMethodSaysSo) {
  TestServer plain;
  grpc::ClientContext context;
  v1::CreateSessionResponse response;
  const grpc::Status status =
      plain.sessions->CreateSession(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(ReasonOf(status), "SESSIONS_DISABLED");
  EXPECT_THAT(status.error_message(), HasSubstr("--session-store"));
  AppendCall append(plain);
  EXPECT_EQ(ReasonOf(append.ReadAll()), "SESSIONS_DISABLED");
  grpc::ClientContext export_context;
  EXPECT_EQ(
      ReasonOf(
          ReadStream(plain.sessions->ExportSession(&export_context, {})).first),
      "SESSIONS_DISABLED");
  grpc::ClientContext rewind_context;
  EXPECT_EQ(
      ReasonOf(
          ReadStream(plain.sessions->RewindSession(&rewind_context, {})).first),
      "SESSIONS_DISABLED");
  grpc::ClientContext import_context;
  v1::ImportSessionResponse imported;
  auto writer = plain.sessions->ImportSession(&import_context, &imported);
  writer->WritesDone();
  EXPECT_EQ(ReasonOf(writer->Finish()), "SESSIONS_DISABLED");
  EXPECT_EQ(HealthOf(plain.channel, "longhand.v1.SessionService"),
            std::to_string(grpc::NOT_FOUND));
  grpc::ClientContext model_context;
  v1::GetModelResponse model;
  ASSERT_TRUE(plain.models->GetModel(&model_context, {}, &model).ok());
  EXPECT_FALSE(model.model().has_session_limits());
}

TEST(SessionServiceTest, TheModelStatesTheLimits) {
  SessionServer test;
  grpc::ClientContext context;
  v1::GetModelResponse response;
  ASSERT_TRUE(test.models->GetModel(&context, {}, &response).ok());
  const v1::SessionLimits& limits = response.model().session_limits();
  EXPECT_EQ(limits.store(), "fake");
  EXPECT_EQ(limits.durability(), v1::DURABILITY_LOCAL);
  EXPECT_EQ(limits.max_append_bytes(), 1U << 20);
  EXPECT_EQ(limits.default_ttl().seconds(), 3600);
  EXPECT_EQ(limits.max_ttl().seconds(), 30 * 24 * 3600);
  EXPECT_EQ(limits.max_memory_bytes(), 1000U);
  EXPECT_EQ(limits.max_sessions(), 10000U);
  EXPECT_EQ(HealthOf(test.channel, "longhand.v1.SessionService"), "SERVING");
}

TEST(SessionServiceTest, ErrorsOfTheManagerComeWithTheirMetadata) {
  FakeSessionScript script;
  script.query = [](const SessionCall&, const QueryArgs&) {
    return MakeError(absl::StatusCode::kAborted, "WRONG_REPLICA", "there",
                     {{"owner", "other:1"},
                      {"current_offset", "18446744073709551615"},
                      {"state_digest", std::string(64, 'a')},
                      {"generation", "3"}});
  };
  SessionServer test(std::move(script));
  v1::QuerySessionRequest request;
  request.set_session_id(kUnknownId);
  request.add_questions()->set_text("why");
  v1::QuerySessionResponse response;
  const grpc::Status status =
      test.Call(&Stub::QuerySession, request, &response);
  EXPECT_EQ(status.error_code(), grpc::ABORTED);
  const auto metadata = ErrorInfoOf(status).metadata();
  EXPECT_EQ(metadata.at("owner"), "other:1");
  EXPECT_EQ(metadata.at("current_offset"), "18446744073709551615");
  EXPECT_EQ(metadata.at("state_digest"), std::string(64, 'a'));
  EXPECT_EQ(metadata.at("generation"), "3");
}

TEST(SessionServiceTest, ACallThatIsCancelledStopsTheWork) {
  absl::Notification started;
  absl::Notification stopped;
  FakeSessionScript script;
  script.query = [&](const SessionCall& call,
                     const QueryArgs&) -> absl::StatusOr<QueryResult> {
    started.Notify();
    while (!*call.stop.cancelled) absl::SleepFor(absl::Milliseconds(1));
    stopped.Notify();
    return absl::CancelledError();
  };
  SessionServer test(std::move(script));
  grpc::ClientContext context;
  v1::QuerySessionRequest request;
  request.set_session_id(kUnknownId);
  request.add_questions()->set_text("why");
  v1::QuerySessionResponse response;
  std::thread canceller([&] {
    started.WaitForNotification();
    context.TryCancel();
  });
  EXPECT_EQ(
      test.sessions->QuerySession(&context, request, &response).error_code(),
      grpc::CANCELLED);
  canceller.join();
  EXPECT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Minutes(1)));
}

TEST(SessionServiceTest, TheDeadlineReachesTheManager) {
  absl::Time seen;
  FakeSessionScript script;
  script.query = [&](const SessionCall& call,
                     const QueryArgs&) -> absl::StatusOr<QueryResult> {
    seen = call.stop.deadline;
    return QueryResult();
  };
  ServerConfig config = LoopbackConfig();
  config.max_request = absl::Hours(1);
  SessionServer test(std::move(script), config);
  v1::QuerySessionRequest request;
  request.add_questions()->set_text("why");
  v1::QuerySessionResponse response;
  for (const absl::Duration limit : {absl::Hours(2), absl::Minutes(30)}) {
    grpc::ClientContext context;
    const absl::Time start = absl::Now();
    context.set_deadline(absl::ToChronoTime(start + limit));
    ASSERT_TRUE(test.sessions->QuerySession(&context, request, &response).ok());
    // gRPC rounds what it sends.
    const absl::Duration expected = std::min(limit, config.max_request);
    EXPECT_LE(seen, absl::Now() + expected + absl::Minutes(1));
    EXPECT_GE(seen, start + expected - absl::Minutes(1));
  }
}

TEST(SessionServiceTest, WhatFindsNoThreadIsToldToComeBack) {
  absl::Notification release;
  std::atomic<int> running{0};
  FakeSessionScript script;
  script.query = [&](const SessionCall&,
                     const QueryArgs&) -> absl::StatusOr<QueryResult> {
    ++running;
    release.WaitForNotification();
    return QueryResult();
  };
  ServerConfig config = LoopbackConfig();
  config.sessions.threads = 1;  // one runs, four wait
  SessionServer test(std::move(script), config);
  v1::QuerySessionRequest request;
  request.add_questions()->set_text("why");
  constexpr int kCalls = 6;
  std::vector<grpc::Status> statuses(kCalls);
  std::vector<std::thread> threads;
  std::atomic<int> ended{0};
  for (int i = 0; i < kCalls; ++i) {
    threads.emplace_back([&, i] {
      grpc::ClientContext context;
      v1::QuerySessionResponse response;
      statuses[i] = test.sessions->QuerySession(&context, request, &response);
      ++ended;
    });
  }
  while (ended == 0) absl::SleepFor(absl::Milliseconds(1));
  release.Notify();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(running, 5);
  int refused = 0;
  for (const grpc::Status& status : statuses) {
    if (status.ok()) continue;
    ++refused;
    EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
    EXPECT_EQ(ReasonOf(status), "OVERLOADED");
    google::rpc::Status details;
    ASSERT_TRUE(details.ParseFromString(status.error_details()));
    EXPECT_EQ(details.details_size(), 2);  // RetryInfo too
  }
  EXPECT_EQ(refused, 1);
}

TEST(SessionServiceTest, AnAnswerOverTheMessageLimitIsRefused) {
  FakeSessionScript script;
  script.query = [](const SessionCall&,
                    const QueryArgs&) -> absl::StatusOr<QueryResult> {
    QueryResult result;
    result.answers.resize(1);
    result.answers[0].similar.push_back({.text = std::string(70'000, 'x')});
    return result;
  };
  ServerConfig config = LoopbackConfig();
  config.max_message_bytes = 65536;
  SessionServer test(std::move(script), config);
  v1::QuerySessionRequest request;
  request.add_questions()->set_text("why");
  v1::QuerySessionResponse response;
  EXPECT_EQ(ReasonOf(test.Call(&Stub::QuerySession, request, &response)),
            "RESPONSE_TOO_LARGE");
}

}  // namespace
}  // namespace longhand::testing
