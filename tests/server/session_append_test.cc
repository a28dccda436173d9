// AppendSession through a real gRPC connection.
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/session_server.h"

namespace longhand::testing {
namespace {

using ::testing::ElementsAre;

// Of each message: c for a chunk, p for a provisional one, R for a result, D
// for a notice.
std::string Kinds(const std::vector<v1::AppendSessionResponse>& responses) {
  std::string kinds;
  for (const auto& response : responses) {
    kinds += response.has_chunk()               ? 'c'
             : response.has_provisional_chunk() ? 'p'
             : response.has_result()            ? 'R'
                                                : 'D';
  }
  return kinds;
}

TEST(AppendSessionTest, ChunksComeBeforeTheResultOfEachAppend) {
  SessionServer test;
  const std::string id = test.Create();
  v1::AppendSessionRequest second = AppendRequest("", 5, "fghijklm");
  second.set_provisional(true);
  AppendCall call(test);
  const grpc::Status status = call.Run(
      {AppendRequest(id, 0, "abcde"), second, AppendRequest(id, 13, "n")});
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Kinds(call.responses), "cRccpRR");
  EXPECT_EQ(call.responses[0].chunk().end_byte(), 4U);
  const v1::AppendResult& result = call.responses[5].result();
  EXPECT_EQ(result.append_id(), second.append_id());
  EXPECT_EQ(result.committed_offset(), 13U);
  EXPECT_EQ(result.encoded_offset(), 12U);
  EXPECT_EQ(result.state_digest().size(), 32U);
  EXPECT_EQ(result.generation(), 1U);
  EXPECT_EQ(call.responses[4].provisional_chunk().index(), 3U);
  const Metrics& metrics = test.server->metrics();
  EXPECT_EQ(metrics.session_appends("applied"), 3);
  EXPECT_EQ(metrics.append_session.received.Value(), 3);
}

TEST(AppendSessionTest, AResultComesBeforeTheStreamEnds) {
  SessionServer test;
  const std::string id = test.Create();
  AppendCall call(test);
  for (uint64_t offset = 0; offset < 12; offset += 4) {
    ASSERT_TRUE(call.stream->Write(AppendRequest(id, offset, "abcd")));
    ASSERT_TRUE(call.ReadResult());
  }
  EXPECT_TRUE(call.Run({}).ok());
  EXPECT_EQ(Kinds(call.responses), "cRcRcR");
}

TEST(AppendSessionTest, AnEmptyStreamIsFine) {
  SessionServer test;
  EXPECT_TRUE(AppendCall(test).Run({}).ok());
}

TEST(AppendSessionTest, AStreamIsForOneSession) {
  struct Case {
    std::vector<v1::AppendSessionRequest> requests;
    std::string reason;
    std::string kinds;
  };
  SessionServer test;
  const std::string id = test.Create();
  v1::AppendSessionRequest bad_digest = AppendRequest(id, 4, "x");
  bad_digest.set_if_state_digest("short");
  v1::AppendSessionRequest no_offset = AppendRequest(id, 4, "x");
  no_offset.clear_expected_offset();
  v1::AppendSessionRequest bad_id = AppendRequest(id, 4, "x");
  bad_id.set_append_id("x");
  const std::vector<Case> cases = {
      {{AppendRequest("", 0, "x")}, "SESSION_ID_MISSING", ""},
      {{AppendRequest(id, 0, "abcd"), AppendRequest(kUnknownId, 4, "x")},
       "SESSION_ID_CHANGED",
       "cR"},
      {{AppendRequest(id, 4, ""), bad_digest}, "DIGEST_INVALID", "R"},
      {{no_offset}, "BAD_APPEND", ""},
      {{bad_id}, "BAD_APPEND", ""},
  };
  for (const Case& c : cases) {
    AppendCall call(test);
    const grpc::Status status = call.Run(c.requests);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << c.reason;
    EXPECT_EQ(ReasonOf(status), c.reason);
    // What was done before is told before.
    EXPECT_EQ(Kinds(call.responses), c.kinds) << c.reason;
  }
  EXPECT_EQ(test.server->metrics().session_appends("invalid"), 5);
}

TEST(AppendSessionTest, AnErrorEndsTheStreamAndSaysWhereToGoOn) {
  SessionServer test;
  const std::string id = test.Create();
  AppendCall call(test);
  const grpc::Status status =
      call.Run({AppendRequest(id, 0, "abc"), AppendRequest(id, 7, "x"),
                AppendRequest(id, 3, "never taken")});
  EXPECT_EQ(status.error_code(), grpc::OUT_OF_RANGE);
  EXPECT_EQ(ReasonOf(status), "OFFSET_GAP");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("current_offset"), "3");
  EXPECT_EQ(Kinds(call.responses), "R");
  EXPECT_EQ(test.manager->counts().appends, 2);
  EXPECT_EQ(test.server->metrics().session_appends("gap"), 1);
}

TEST(AppendSessionTest, OneAppendIsInWorkAtATime) {
  FakeSessionScript script;
  script.append = [](const SessionCall&,
                     const AppendArgs& args) -> absl::StatusOr<AppendResult> {
    absl::SleepFor(absl::Milliseconds(1));
    AppendResult result;
    result.committed_offset = *args.expected_offset + 1;
    return result;
  };
  SessionServer test(std::move(script));
  AppendCall call(test);
  std::vector<v1::AppendSessionRequest> requests;
  for (uint64_t i = 0; i < 50; ++i) {
    requests.push_back(AppendRequest(kUnknownId, i, "x"));
  }
  ASSERT_TRUE(call.Run(requests).ok());
  ASSERT_EQ(call.responses.size(), 50U);
  for (uint64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(call.responses[i].result().committed_offset(), i + 1);
  }
  EXPECT_EQ(test.manager->counts().max_open_appends, 1);
}

// 2,000 chunks of 16 KiB from each append, far beyond what gRPC and the queue
// hold.
absl::StatusOr<AppendResult> LargeResult(const SessionCall&,
                                         const AppendArgs& args) {
  AppendResult result;
  result.committed_offset = *args.expected_offset + 1;
  for (size_t i = 0; i < 2000; ++i) {
    ChunkResult chunk = FakeChunk(i, 8000);
    chunk.vector.resize(4096);
    result.chunks.push_back(std::move(chunk));
  }
  return result;
}

TEST(AppendSessionTest, AClientThatDoesNotReadIsNotReadFrom) {
  FakeSessionScript script;
  script.append = LargeResult;
  SessionServer test(std::move(script));
  AppendCall call(test);
  std::thread writer([&] {
    for (uint64_t i = 0; i < 5; ++i) {
      call.stream->Write(AppendRequest(kUnknownId, i, "x"));
    }
    call.stream->WritesDone();
  });
  ASSERT_TRUE(test.manager->WaitFor(
      [](const FakeSessionCounts& counts) { return counts.appends == 1; }));
  // Time in which a server that does not wait would go on.
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_EQ(test.manager->counts().appends, 1);
  const MethodMetrics& metrics = test.server->metrics().append_session;
  EXPECT_EQ(metrics.received.Value(), 1);
  EXPECT_LT(metrics.sent.Value(), 2000);
  ASSERT_TRUE(call.ReadAll().ok());
  writer.join();
  EXPECT_EQ(test.manager->counts().appends, 5);
  EXPECT_EQ(call.responses.size(), 5 * 2001U);
  for (size_t i = 0; i < 2000; ++i) {
    ASSERT_EQ(call.responses[i].chunk().index(), i);
  }
}

TEST(AppendSessionTest, AClientThatNeverReadsIsCutOff) {
  FakeSessionScript script;
  script.append = LargeResult;
  ServerConfig config = LoopbackConfig();
  config.stall_timeout = absl::Milliseconds(200);
  SessionServer test(std::move(script), config);
  AppendCall call(test);
  ASSERT_TRUE(call.stream->Write(AppendRequest(kUnknownId, 0, "x")));
  const prometheus::Counter& ended =
      *test.server->metrics().append_session.handled[grpc::StatusCode::ABORTED];
  while (ended.Value() == 0) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_FALSE(call.ReadAll().ok());
}

TEST(AppendSessionTest, AClientThatNeitherSendsNorReadsIsCutOff) {
  ServerConfig config = LoopbackConfig();
  config.stall_timeout = absl::Milliseconds(200);
  SessionServer test({}, config);
  const std::string id = test.Create();
  AppendCall call(test);
  ASSERT_TRUE(call.stream->Write(AppendRequest(id, 0, "abcd")));
  const grpc::Status status = call.ReadAll();
  EXPECT_EQ(ReasonOf(status), "CLIENT_STALLED");
  EXPECT_EQ(Kinds(call.responses), "cR");
}

TEST(AppendSessionTest, CancellingTheStreamStopsTheAppend) {
  absl::Notification started;
  absl::Notification stopped;
  FakeSessionScript script;
  script.append = [&](const SessionCall& call,
                      const AppendArgs&) -> absl::StatusOr<AppendResult> {
    started.Notify();
    while (!*call.stop.cancelled) absl::SleepFor(absl::Milliseconds(1));
    stopped.Notify();
    return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "stopped");
  };
  SessionServer test(std::move(script));
  AppendCall call(test);
  ASSERT_TRUE(call.stream->Write(AppendRequest(kUnknownId, 0, "x")));
  started.WaitForNotification();
  call.context.TryCancel();
  EXPECT_EQ(call.ReadAll().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Minutes(1)));
}

TEST(AppendSessionTest, TheDeadlineReachesTheManager) {
  std::atomic<bool> soon{false};
  FakeSessionScript script;
  script.append = [&](const SessionCall& call,
                      const AppendArgs&) -> absl::StatusOr<AppendResult> {
    // gRPC sends a timeout in few digits, rounded up.
    soon = call.stop.deadline <= absl::Now() + absl::Minutes(11);
    return AppendResult();
  };
  SessionServer test(std::move(script));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Minutes(10)));
  auto stream = test.sessions->AppendSession(&context);
  ASSERT_TRUE(stream->Write(AppendRequest(kUnknownId, 0, "x")));
  stream->WritesDone();
  v1::AppendSessionResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(soon);
}

TEST(AppendSessionTest, AFullPoolEndsTheStream) {
  absl::Notification release;
  FakeSessionScript script;
  script.append = [&](const SessionCall&,
                      const AppendArgs&) -> absl::StatusOr<AppendResult> {
    release.WaitForNotification();
    return AppendResult();
  };
  ServerConfig config = LoopbackConfig();
  config.sessions.threads = 1;  // one runs, four wait
  SessionServer test(std::move(script), config);
  std::vector<std::unique_ptr<AppendCall>> calls;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(std::make_unique<AppendCall>(test));
    ASSERT_TRUE(calls.back()->stream->Write(AppendRequest(kUnknownId, 0, "x")));
  }
  while (test.server->metrics().session_appends("overloaded") == 0) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  release.Notify();
  std::vector<std::string> refused;
  for (auto& call : calls) {
    call->stream->WritesDone();
    const grpc::Status status = call->ReadAll();
    if (!status.ok()) refused.push_back(ReasonOf(status));
  }
  EXPECT_THAT(refused, ElementsAre("OVERLOADED"));
}

}  // namespace
}  // namespace longhand::testing
