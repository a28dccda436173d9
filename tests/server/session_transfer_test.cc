// RewindSession, EditSession, ExportSession and ImportSession through a real
// gRPC connection.
#include <atomic>
#include <memory>
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

// A session that holds `text`.
std::string CreateWith(SessionServer& test, const std::string& text) {
  const std::string id = test.Create();
  EXPECT_TRUE(AppendCall(test).Run({AppendRequest(id, 0, text)}).ok());
  return id;
}

v1::RewindSessionRequest Rewind(const std::string& id, uint64_t offset) {
  v1::RewindSessionRequest request;
  request.set_session_id(id);
  request.set_offset(offset);
  return request;
}

v1::ExportSessionRequest ExportOf(const std::string& id) {
  v1::ExportSessionRequest request;
  request.set_session_id(id);
  return request;
}

v1::ImportSessionRequest Data(const std::string& data) {
  v1::ImportSessionRequest request;
  request.set_data(data);
  return request;
}

// One ImportSession call.
struct ImportCall {
  explicit ImportCall(TestServer& test)
      : stream(test.sessions->ImportSession(&context, &response)) {}

  grpc::Status Run(const std::vector<v1::ImportSessionRequest>& requests) {
    for (const auto& request : requests) {
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
    return stream->Finish();
  }

  grpc::ClientContext context;
  v1::ImportSessionResponse response;
  std::unique_ptr<grpc::ClientWriter<v1::ImportSessionRequest>> stream;
};

TEST(ChangeSessionTest, ARewindSendsChangedChunksThenTheResult) {
  SessionServer test;
  const std::string id = CreateWith(test, "0123456789");
  grpc::ClientContext context;
  const auto [status, responses] =
      ReadStream(test.sessions->RewindSession(&context, Rewind(id, 5)));
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(responses.size(), 1U);
  const v1::ChangeResult& result = responses[0].result();
  EXPECT_EQ(result.session().committed_offset(), 5U);
  EXPECT_EQ(result.session().generation(), 2U);
  EXPECT_EQ(result.old_chunk_count(), 2U);
  const MethodMetrics& metrics = test.server->metrics().rewind_session;
  EXPECT_EQ(metrics.received.Value(), 1);
  EXPECT_EQ(metrics.sent.Value(), 1);
}

TEST(ChangeSessionTest, AnEditSendsChangedChunksThenTheResult) {
  SessionServer test;
  const std::string id = CreateWith(test, "0123456789ab");
  grpc::ClientContext context;
  v1::EditSessionRequest request;
  request.set_session_id(id);
  request.set_begin(4);
  request.set_end(5);
  request.set_text("---");
  const auto [status, responses] =
      ReadStream(test.sessions->EditSession(&context, request));
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(responses.size(), 3U);
  EXPECT_EQ(responses[0].chunk().index(), 1U);
  EXPECT_EQ(responses[1].chunk().index(), 2U);
  EXPECT_EQ(responses[2].result().session().committed_offset(), 14U);
  EXPECT_EQ(responses[2].result().old_chunk_count(), 3U);
}

TEST(ChangeSessionTest, BadChangesAreRefused) {
  SessionServer test;
  const std::string id = CreateWith(test, "0123");
  v1::RewindSessionRequest no_offset;
  no_offset.set_session_id(id);
  struct Case {
    v1::RewindSessionRequest request;
    grpc::StatusCode code;
    std::string reason;
  };
  for (const Case& c : std::vector<Case>{
           {no_offset, grpc::INVALID_ARGUMENT, "OFFSET_MISSING"},
           {Rewind(id, 5), grpc::OUT_OF_RANGE, "OFFSET_BEYOND_END"},
           {Rewind(id, UINT64_MAX), grpc::OUT_OF_RANGE, "OFFSET_BEYOND_END"},
           {Rewind(kUnknownId, 0), grpc::NOT_FOUND, "SESSION_NOT_FOUND"}}) {
    grpc::ClientContext context;
    const auto [status, responses] =
        ReadStream(test.sessions->RewindSession(&context, c.request));
    EXPECT_EQ(status.error_code(), c.code);
    EXPECT_EQ(ReasonOf(status), c.reason);
    EXPECT_TRUE(responses.empty());
  }
}

TEST(ChangeSessionTest, ManyChunksWaitForTheReader) {
  FakeSessionScript script;
  script.edit = [](const SessionCall&,
                   const EditArgs&) -> absl::StatusOr<EditResult> {
    EditResult result;
    for (size_t i = 0; i < 2000; ++i) {
      result.changed.push_back(FakeChunk(i, 8000));
      result.changed.back().vector.resize(4096);
    }
    return result;
  };
  SessionServer test(std::move(script));
  grpc::ClientContext context;
  auto stream = test.sessions->RewindSession(&context, Rewind(kUnknownId, 0));
  const MethodMetrics& metrics = test.server->metrics().rewind_session;
  while (metrics.sent.Value() == 0) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_LT(metrics.sent.Value(), 1000);
  const auto [status, responses] = ReadStream(std::move(stream));
  EXPECT_TRUE(status.ok());
  ASSERT_EQ(responses.size(), 2001U);
  for (size_t i = 0; i < 2000; ++i) {
    ASSERT_EQ(responses[i].chunk().index(), i);
  }
}

TEST(TransferTest, WhatIsExportedCanBeImported) {
  SessionServer test;
  const std::string text(1'000'000, 'x');
  const std::string id = CreateWith(test, text);
  grpc::ClientContext context;
  const auto [status, frames] =
      ReadStream(test.sessions->ExportSession(&context, ExportOf(id)));
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(frames.size(), 4U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(frames[i].data().size(), 256U << 10);
  }
  std::vector<v1::ImportSessionRequest> requests;
  for (const auto& frame : frames) {
    requests.push_back(Data(frame.data()));
    requests.push_back(Data(""));  // is no end
  }
  requests[0].mutable_ttl()->set_seconds(77);
  ImportCall call(test);
  const grpc::Status imported = call.Run(requests);
  ASSERT_TRUE(imported.ok()) << imported.error_message();
  EXPECT_EQ(call.response.session().committed_offset(), text.size());
  EXPECT_NE(call.response.session().session_id(), id);
  EXPECT_EQ(test.manager->counts().ttls.back(), absl::Seconds(77));
  const MethodMetrics& metrics = test.server->metrics().import_session;
  EXPECT_EQ(metrics.received.Value(), 8);
  EXPECT_EQ(metrics.sent.Value(), 1);
}

TEST(TransferTest, BadImportsAreRefused) {
  SessionServer test;
  v1::ImportSessionRequest bad_ttl = Data("fake:");
  bad_ttl.mutable_ttl();
  v1::ImportSessionRequest late_ttl = Data("x");
  late_ttl.mutable_ttl()->set_seconds(1);
  struct Case {
    std::vector<v1::ImportSessionRequest> requests;
    std::string reason;
  };
  for (const Case& c :
       std::vector<Case>{{{}, "SNAPSHOT_INVALID"},
                         {{Data("")}, "SNAPSHOT_INVALID"},
                         {{Data("nonsense")}, "SNAPSHOT_INVALID"},
                         {{bad_ttl}, "TTL_OUT_OF_RANGE"},
                         {{Data("fake:"), late_ttl}, "TTL_REPEATED"}}) {
    ImportCall call(test);
    const grpc::Status status = call.Run(c.requests);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(ReasonOf(status), c.reason);
  }
}

// Writes frames until it is told to stop, and says why.
FakeSessionScript EndlessExport(std::atomic<int>* frames, absl::Status* why,
                                absl::Notification* stopped) {
  FakeSessionScript script;
  script.write = [=](const SessionCall&,
                     absl::FunctionRef<absl::Status(std::string_view)> output) {
    const std::string frame(256 << 10, 'x');
    absl::Status status;
    while ((status = output(frame)).ok()) ++*frames;
    *why = status;
    stopped->Notify();
    return status;
  };
  return script;
}

TEST(TransferTest, AnExportWaitsForTheReaderAndEndsWithIt) {
  std::atomic<int> frames{0};
  absl::Status why;
  absl::Notification stopped;
  SessionServer test(EndlessExport(&frames, &why, &stopped));
  grpc::ClientContext context;
  auto stream = test.sessions->ExportSession(&context, ExportOf(kUnknownId));
  v1::ExportSessionResponse frame;
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(stream->Read(&frame));
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_LT(frames, 400);  // 50 MiB were read; the rest must wait
  context.TryCancel();
  ASSERT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_EQ(why.code(), absl::StatusCode::kCancelled);
  while (stream->Read(&frame)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
}

TEST(TransferTest, AnExportToAClientThatNeverReadsGivesItsThreadBack) {
  std::atomic<int> frames{0};
  absl::Status why;
  absl::Notification stopped;
  ServerConfig config = LoopbackConfig();
  config.stall_timeout = absl::Milliseconds(200);
  SessionServer test(EndlessExport(&frames, &why, &stopped), config);
  grpc::ClientContext context;
  auto stream = test.sessions->ExportSession(&context, ExportOf(kUnknownId));
  ASSERT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_EQ(GetErrorDetail(why)->reason, "CLIENT_STALLED");
  EXPECT_FALSE(ReadStream(std::move(stream)).first.ok());
}

// Reads to the end and says how that went.
FakeSessionScript ReadingImport(absl::Status* why,
                                absl::Notification* stopped) {
  FakeSessionScript script;
  script.read = [=](const SessionCall&,
                    absl::FunctionRef<absl::StatusOr<std::string>()> input)
      -> absl::StatusOr<SessionInfo> {
    for (;;) {
      absl::StatusOr<std::string> data = input();
      if (data.ok() && !data->empty()) continue;
      *why = data.status();
      stopped->Notify();
      return *why;
    }
  };
  return script;
}

TEST(TransferTest, AnImportThatStallsGivesItsThreadBack) {
  absl::Status why;
  absl::Notification stopped;
  ServerConfig config = LoopbackConfig();
  config.stall_timeout = absl::Milliseconds(200);
  SessionServer test(ReadingImport(&why, &stopped), config);
  ImportCall call(test);
  ASSERT_TRUE(call.stream->Write(Data("some")));
  ASSERT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_EQ(GetErrorDetail(why)->reason, "CLIENT_STALLED");
  EXPECT_EQ(ReasonOf(call.stream->Finish()), "CLIENT_STALLED");
}

TEST(TransferTest, AnImportThatIsCancelledIsNoShortSnapshot) {
  absl::Status why;
  absl::Notification stopped;
  SessionServer test(ReadingImport(&why, &stopped));
  ImportCall call(test);
  ASSERT_TRUE(call.stream->Write(Data("some")));
  ASSERT_TRUE(test.manager->WaitFor(
      [](const FakeSessionCounts& counts) { return counts.calls == 1; }));
  call.context.TryCancel();
  ASSERT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_EQ(why.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(call.stream->Finish().error_code(), grpc::CANCELLED);
}

TEST(TransferTest, TransfersLeaveThreadsToOthers) {
  std::atomic<int> frames{0};
  absl::Status why;
  absl::Notification stopped;
  ServerConfig config = LoopbackConfig();
  config.sessions.threads = 2;  // of which one transfer
  SessionServer test(EndlessExport(&frames, &why, &stopped), config);
  grpc::ClientContext first_context;
  auto first =
      test.sessions->ExportSession(&first_context, ExportOf(kUnknownId));
  v1::ExportSessionResponse frame;
  ASSERT_TRUE(first->Read(&frame));
  grpc::ClientContext second_context;
  const grpc::Status second =
      ReadStream(
          test.sessions->ExportSession(&second_context, ExportOf(kUnknownId)))
          .first;
  EXPECT_EQ(second.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(second), "OVERLOADED");
  EXPECT_EQ(test.Create().size(), 22U);
  first_context.TryCancel();
  ASSERT_TRUE(stopped.WaitForNotificationWithTimeout(absl::Minutes(1)));
  while (first->Read(&frame)) {
  }
  first->Finish();
}

}  // namespace
}  // namespace longhand::testing
