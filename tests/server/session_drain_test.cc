// What a server with sessions does from time to time and when it is stopped.
#include <atomic>
#include <functional>
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

TEST(SessionDrainTest, TheManagerTicks) {
  SessionServer test;
  EXPECT_TRUE(test.manager->WaitFor(
      [](const FakeSessionCounts& counts) { return counts.ticks >= 2; }));
}

TEST(SessionDrainTest, AnIdleStreamIsToldWhereToGoOn) {
  SessionServer test;
  const std::string id = test.Create();
  AppendCall call(test);
  ASSERT_TRUE(call.stream->Write(AppendRequest(id, 0, "abcdef")));
  ASSERT_TRUE(call.ReadResult());
  const std::string digest = call.responses.back().result().state_digest();
  call.responses.clear();
  std::thread drain([&] {
    EXPECT_TRUE(
        test.server->Drain(absl::ZeroDuration(), absl::Minutes(5)).ok());
  });
  EXPECT_TRUE(call.ReadAll().ok());
  drain.join();
  ASSERT_EQ(call.responses.size(), 1U);
  const v1::DrainNotice& notice = call.responses[0].drain();
  EXPECT_EQ(notice.resume_offset(), 6U);
  EXPECT_EQ(notice.durable_offset(), 6U);
  EXPECT_EQ(notice.state_digest(), digest);
  EXPECT_EQ(test.manager->counts().drains, 1);
}

// The notice to a stream whose append left 1 of 6 bytes durable, in a server
// where GetSession is `get`.
v1::DrainNotice NoticeWith(
    std::function<absl::StatusOr<SessionInfo>(const SessionCall&)> get) {
  FakeSessionScript script;
  script.append = [](const SessionCall&,
                     const AppendArgs&) -> absl::StatusOr<AppendResult> {
    AppendResult result;
    result.committed_offset = 6;
    result.durable_offset = 1;
    return result;
  };
  script.get = std::move(get);
  SessionServer test(std::move(script));
  AppendCall call(test);
  EXPECT_TRUE(call.stream->Write(AppendRequest(kUnknownId, 0, "abcdef")));
  EXPECT_TRUE(call.ReadResult());
  std::thread drain([&] {
    EXPECT_TRUE(
        test.server->Drain(absl::ZeroDuration(), absl::Minutes(5)).ok());
  });
  EXPECT_TRUE(call.ReadAll().ok());
  drain.join();
  EXPECT_EQ(call.responses.size(), 2U);
  return call.responses.back().drain();
}

TEST(SessionDrainTest, TheNoticeKnowsWhatBecameDurableSince) {
  std::atomic<int> asked{0};
  auto get = [&](const SessionCall&) -> absl::StatusOr<SessionInfo> {
    ++asked;
    SessionInfo info;
    info.committed_offset = 6;
    info.durable_offset = 5;
    return info;
  };
  // A stream that has just sent its result, and is not idle yet, takes the
  // notice from it.
  while (asked == 0) {
    const v1::DrainNotice notice = NoticeWith(get);
    EXPECT_EQ(notice.resume_offset(), 6U);
    EXPECT_EQ(notice.durable_offset(), asked == 0 ? 1U : 5U);
  }
}

TEST(SessionDrainTest, TheNoticeNeedsNoAnswerOfTheStore) {
  const v1::DrainNotice notice =
      NoticeWith([](const SessionCall&) -> absl::StatusOr<SessionInfo> {
        return absl::UnavailableError("");
      });
  EXPECT_EQ(notice.resume_offset(), 6U);
  EXPECT_EQ(notice.durable_offset(), 1U);
}

TEST(SessionDrainTest, AnAppendInWorkIsFinishedFirst) {
  absl::Notification started;
  absl::Notification release;
  FakeSessionScript script;
  script.append = [&](const SessionCall&,
                      const AppendArgs&) -> absl::StatusOr<AppendResult> {
    started.Notify();
    release.WaitForNotification();
    AppendResult result;
    result.committed_offset = 3;
    return result;
  };
  script.drain = [&] {
    release.Notify();
    return absl::OkStatus();
  };
  SessionServer test(std::move(script));
  AppendCall call(test);
  ASSERT_TRUE(call.stream->Write(AppendRequest(kUnknownId, 0, "abc")));
  ASSERT_TRUE(call.stream->Write(AppendRequest(kUnknownId, 3, "not taken")));
  started.WaitForNotification();
  std::thread drain([&] {
    EXPECT_TRUE(
        test.server->Drain(absl::ZeroDuration(), absl::Minutes(5)).ok());
  });
  EXPECT_TRUE(call.ReadAll().ok());
  drain.join();
  ASSERT_EQ(call.responses.size(), 2U);
  EXPECT_EQ(call.responses[0].result().committed_offset(), 3U);
  EXPECT_EQ(call.responses[1].drain().resume_offset(), 3U);
  EXPECT_EQ(test.manager->counts().appends, 1);
}

TEST(SessionDrainTest, AStreamWithoutASessionIsSentElsewhere) {
  SessionServer test;
  AppendCall call(test);
  const MethodMetrics& metrics = test.server->metrics().append_session;
  while (metrics.started.Value() == 0) absl::SleepFor(absl::Milliseconds(1));
  std::thread drain([&] {
    EXPECT_TRUE(
        test.server->Drain(absl::ZeroDuration(), absl::Minutes(5)).ok());
  });
  const grpc::Status status = call.ReadAll();
  drain.join();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "DRAINING");
}

TEST(SessionDrainTest, StreamsThatComeDuringTheDrainAreSentElsewhere) {
  absl::Notification draining;
  absl::Notification release;
  FakeSessionScript script;
  script.drain = [&] {
    if (!draining.HasBeenNotified()) draining.Notify();
    release.WaitForNotification();
    return absl::OkStatus();
  };
  SessionServer test(std::move(script));
  std::thread drain([&] {
    EXPECT_TRUE(
        test.server->Drain(absl::ZeroDuration(), absl::Minutes(5)).ok());
  });
  draining.WaitForNotification();
  EXPECT_EQ(HealthOf(test.channel, ""), "NOT_SERVING");
  AppendCall call(test);
  const grpc::Status status = call.Run({AppendRequest(kUnknownId, 0, "x")});
  EXPECT_EQ(ReasonOf(status), "DRAINING");
  EXPECT_EQ(test.manager->counts().appends, 0);
  release.Notify();
  drain.join();
}

TEST(SessionDrainTest, SessionsAreServedDuringTheDelay) {
  SessionServer test;
  const std::string id = test.Create();
  std::thread drain([&] {
    EXPECT_TRUE(test.server->Drain(absl::Seconds(3), absl::Seconds(10)).ok());
  });
  while (HealthOf(test.channel, "") == "SERVING") {
  }
  AppendCall call(test);
  EXPECT_TRUE(call.Run({AppendRequest(id, 0, "abcd")}).ok());
  EXPECT_EQ(test.manager->counts().drains, 0);
  drain.join();
}

TEST(SessionDrainTest, AnIncompleteDrainIsTriedAgainAndReported) {
  std::atomic<int> left{1};
  FakeSessionScript script;
  script.drain = [&] {
    return left-- > 0 ? MakeError(absl::StatusCode::kDeadlineExceeded,
                                  "DRAIN_INCOMPLETE", "left")
                      : absl::OkStatus();
  };
  {
    SessionServer test(script);
    EXPECT_TRUE(
        test.server->Drain(absl::ZeroDuration(), absl::ZeroDuration()).ok());
    EXPECT_EQ(test.manager->counts().drains, 2);
  }
  left = 2;
  SessionServer test(script);
  EXPECT_EQ(
      test.server->Drain(absl::ZeroDuration(), absl::ZeroDuration()).code(),
      absl::StatusCode::kDeadlineExceeded);
}

TEST(SessionDrainTest, AReaderThatNeverReadsDoesNotHoldTheDrainUp) {
  FakeSessionScript script;
  script.append = [](const SessionCall&,
                     const AppendArgs&) -> absl::StatusOr<AppendResult> {
    AppendResult result;
    for (size_t i = 0; i < 2000; ++i) {
      result.chunks.push_back(FakeChunk(i, 8000));
      result.chunks.back().vector.resize(4096);
    }
    return result;
  };
  SessionServer test(std::move(script));
  AppendCall call(test);
  ASSERT_TRUE(call.stream->Write(AppendRequest(kUnknownId, 0, "abc")));
  ASSERT_TRUE(test.manager->WaitFor(
      [](const FakeSessionCounts& counts) { return counts.appends == 1; }));
  EXPECT_TRUE(
      test.server->Drain(absl::ZeroDuration(), absl::Milliseconds(200)).ok());
  EXPECT_FALSE(call.ReadAll().ok());
}

}  // namespace
}  // namespace longhand::testing
