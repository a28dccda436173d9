// EncodeStream, and streams of the test's own, through real gRPC connections.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/stream_reactor.h"
#include "tests/testing/test_server.h"

namespace longhand::testing {
namespace {

using Stream =
    grpc::ClientReaderWriter<v1::EncodeStreamRequest, v1::EncodeStreamResponse>;

v1::EncodeStreamRequest Config() {
  v1::EncodeStreamRequest request;
  request.mutable_config();
  return request;
}

v1::EncodeStreamRequest Text(const std::string& text) {
  v1::EncodeStreamRequest request;
  request.set_text(text);
  return request;
}

// One stream to a server.
struct Call {
  explicit Call(TestServer& test)
      : stream(test.encode->EncodeStream(&context)) {}

  // Sends all, ends the document and returns the status.
  grpc::Status Run(const std::vector<v1::EncodeStreamRequest>& requests) {
    for (const auto& request : requests) {
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
    return ReadAll();
  }

  // Whether messages on progress come depends on the clock; they are skipped.
  grpc::Status ReadAll() {
    v1::EncodeStreamResponse response;
    while (stream->Read(&response)) {
      if (!response.has_progress()) responses.push_back(response);
    }
    return stream->Finish();
  }

  int CountChunks() const {
    int count = 0;
    for (const auto& response : responses) count += response.has_chunk();
    return count;
  }

  grpc::ClientContext context;
  std::unique_ptr<Stream> stream;
  std::vector<v1::EncodeStreamResponse> responses;
};

bool AllDone(const FakeEncoderStats& stats) {
  return stats.opened == 1 && stats.done == 1;
}

TEST(EncodeStreamTest, ChunksComeInOrderAndTheResultLast) {
  TestServer test;
  Call call(test);
  const grpc::Status status =
      call.Run({Config(), Text("ab"), Text("cdefg"), Text(""), Text("hij")});
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(call.responses.size(), 4U);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(call.responses[i].chunk().index(), i);
  }
  EXPECT_EQ(call.responses[2].chunk().end_byte(), 10U);
  const v1::EncodeStreamResult& result = call.responses[3].result();
  EXPECT_EQ(result.document_vector().size(), 16U);
  EXPECT_EQ(result.summary().chunk_count(), 3U);
  const MethodMetrics& metrics = test.server->metrics().encode_stream;
  EXPECT_EQ(metrics.received.Value(), 5);
  EXPECT_GE(metrics.sent.Value(), 4);
}

TEST(EncodeStreamTest, ResultsComeBeforeTheDocumentEnds) {
  TestServer test;
  Call call(test);
  ASSERT_TRUE(call.stream->Write(Config()));
  ASSERT_TRUE(call.stream->Write(Text("abcd")));
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(call.stream->Read(&response));
  EXPECT_EQ(response.chunk().end_byte(), 4U);
  EXPECT_TRUE(call.Run({Text("ef")}).ok());
}

TEST(EncodeStreamTest, AWrongConversationIsRefused) {
  struct Case {
    std::vector<v1::EncodeStreamRequest> requests;
    std::string reason;
  };
  v1::EncodeStreamRequest bad_gate = Config();
  bad_gate.mutable_config()->set_gate(-1);
  v1::EncodeStreamRequest missing = Config();
  missing.mutable_config()->set_mechanism("missing");
  const std::vector<Case> cases = {
      {{}, "CONFIG_EXPECTED"},
      {{Text("text")}, "CONFIG_EXPECTED"},
      {{v1::EncodeStreamRequest()}, "CONFIG_EXPECTED"},
      {{Config(), Config()}, "CONFIG_REPEATED"},
      {{Config(), v1::EncodeStreamRequest()}, "CONTENT_MISSING"},
      {{Config()}, "EMPTY_DOCUMENT"},
      {{bad_gate}, "GATE_OUT_OF_RANGE"},
      {{missing}, "MECHANISM_UNKNOWN"},
  };
  for (const Case& c : cases) {
    TestServer test;
    Call call(test);
    const grpc::Status status = call.Run(c.requests);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << c.reason << ": " << status.error_message();
    EXPECT_EQ(ReasonOf(status), c.reason);
    EXPECT_TRUE(test.encoder->WaitFor(
        [](const FakeEncoderStats& s) { return s.done == s.opened; }));
  }
}

TEST(EncodeStreamTest, LargeTokenResultsAreSplit) {
  // 40 tokens of 64 KiB in one chunk.
  TestServer test(LoopbackConfig(),
                  {.hidden_size = 16384, .bytes_per_chunk = 40});
  Call call(test);
  v1::EncodeStreamRequest config = Config();
  config.mutable_config()->add_outputs(v1::OUTPUT_TOKEN_VECTORS);
  ASSERT_TRUE(call.Run({config, Text(std::string(40, 'x'))}).ok());
  uint64_t next_token = 0;
  int messages = 0;
  for (const v1::EncodeStreamResponse& response : call.responses) {
    EXPECT_LT(response.ByteSizeLong(), 1U << 20);
    if (!response.has_token_vectors()) continue;
    ++messages;
    EXPECT_EQ(response.token_vectors().begin_token(), next_token);
    next_token += response.token_vectors().ids_size();
  }
  EXPECT_EQ(messages, 5);
  EXPECT_EQ(next_token, 40U);
}

TEST(EncodeStreamTest, ASlowReaderStopsTheWork) {
  constexpr int kChunks = 400;
  constexpr size_t kChunkBytes = size_t{64} << 10;
  TestServer test(LoopbackConfig(), {.hidden_size = 16384});
  Call call(test);
  ASSERT_TRUE(call.stream->Write(Config()));
  ASSERT_TRUE(call.stream->Write(Text(std::string(4 * kChunks, 'x'))));
  call.stream->WritesDone();
  ASSERT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.refusals > 0; }));
  // The queue of 4 MiB, and what the transport has taken.
  EXPECT_LT(test.encoder->stats().chunks * kChunkBytes, size_t{10} << 20);
  ASSERT_TRUE(call.ReadAll().ok());
  EXPECT_EQ(call.CountChunks(), kChunks);
  EXPECT_GT(test.encoder->stats().resumes, 0);
}

TEST(EncodeStreamTest, APieceIsReadOnceTheOneBeforeIsConsumed) {
  TestServer test;
  Call call(test);
  std::vector<v1::EncodeStreamRequest> requests(100, Text("abcdefgh"));
  requests.insert(requests.begin(), Config());
  ASSERT_TRUE(call.Run(requests).ok());
  EXPECT_EQ(call.CountChunks(), 200);
  EXPECT_EQ(test.encoder->stats().overlapping_appends, 0);
}

TEST(EncodeStreamTest, AClientThatCancelsStopsTheWork) {
  TestServer test;
  Call call(test);
  ASSERT_TRUE(call.stream->Write(Config()));
  ASSERT_TRUE(call.stream->Write(Text("hold on")));
  ASSERT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 1; }));
  call.context.TryCancel();
  EXPECT_EQ(call.ReadAll().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(test.encoder->WaitFor(AllDone));
  EXPECT_EQ(test.encoder->stats().endings[0].code(),
            absl::StatusCode::kCancelled);
}

TEST(EncodeStreamTest, AClientThatDisappearsStopsTheWork) {
  TestServer test;
  {
    std::shared_ptr<grpc::Channel> channel = test.NewChannel();
    auto stub = v1::EncoderService::NewStub(channel);
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream = stub->EncodeStream(&context);
    ASSERT_TRUE(stream->Write(Config()));
    ASSERT_TRUE(stream->Write(Text("hold on")));
    ASSERT_TRUE(test.encoder->WaitFor(
        [](const FakeEncoderStats& s) { return s.opened == 1; }));
    context.TryCancel();
    stream->Finish();
  }
  ASSERT_TRUE(test.encoder->WaitFor(AllDone));
  v1::EncodeResponse response;
  grpc::ClientContext context;
  v1::EncodeRequest request;
  request.set_text("still here");
  EXPECT_TRUE(test.encode->Encode(&context, request, &response).ok());
}

TEST(EncodeStreamTest, TheClientsDeadlineStopsTheWork) {
  TestServer test;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(500));
  std::unique_ptr<Stream> stream = test.encode->EncodeStream(&context);
  stream->Write(Config());
  stream->Write(Text("hold on"));
  v1::EncodeStreamResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.done == s.opened; }));
}

TEST(EncodeStreamTest, TheServersTimeLimitEndsTheStream) {
  ServerConfig config = LoopbackConfig();
  config.max_stream = absl::Milliseconds(500);
  TestServer test(config);
  Call call(test);
  call.stream->Write(Config());
  call.stream->Write(Text("hold on"));
  const grpc::Status status = call.ReadAll();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonOf(status), "DEADLINE_EXCEEDED");
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.done == s.opened; }));
}

TEST(EncodeStreamTest, AClientThatStopsSendingIsCutOff) {
  ServerConfig config = LoopbackConfig();
  config.stall_timeout = absl::Milliseconds(300);
  TestServer test(config);
  Call call(test);
  call.stream->Write(Config());
  const grpc::Status status = call.ReadAll();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(ReasonOf(status), "CLIENT_STALLED");
  EXPECT_TRUE(test.encoder->WaitFor(AllDone));
}

TEST(EncodeStreamTest, AClientThatStopsReadingIsCutOff) {
  ServerConfig config = LoopbackConfig();
  config.stall_timeout = absl::Milliseconds(300);
  TestServer test(config, {.hidden_size = 16384});
  Call call(test);
  call.stream->Write(Config());
  call.stream->Write(Text(std::string(1600, 'x')));
  call.stream->WritesDone();
  ASSERT_TRUE(test.encoder->WaitFor(AllDone));
  EXPECT_EQ(test.encoder->stats().endings[0].code(),
            absl::StatusCode::kAborted);
  EXPECT_FALSE(call.ReadAll().ok());
}

TEST(EncodeStreamTest, AMessageOverTheLimitEndsTheStream) {
  TestServer test;
  Call call(test);
  const grpc::Status status =
      call.Run({Config(), Text(std::string((4 << 20) + 100, 'x'))});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(test.encoder->WaitFor(AllDone));
  EXPECT_FALSE(test.encoder->stats().endings[0].ok());
}

// A stream that does what the test says.
class ProbeReactor
    : public StreamReactor<v1::EncodeStreamRequest, v1::EncodeStreamResponse> {
 public:
  // Both run once, in OnAbort and in OnFinished.
  struct Hooks {
    std::function<void(const absl::Status&)> aborted = [](auto&) {};
    std::function<void()> finished = [] {};
  };

  static std::shared_ptr<ProbeReactor> Start(const ServiceContext& service,
                                             grpc::CallbackServerContext* call,
                                             Hooks hooks) {
    std::shared_ptr<ProbeReactor> reactor(
        new ProbeReactor(service, call, std::move(hooks)));
    Launch(reactor, [](ProbeReactor&) { return absl::OkStatus(); });
    return reactor;
  }

  using StreamReactor::Close;
  using StreamReactor::HasRoom;
  using StreamReactor::Send;

 private:
  ProbeReactor(const ServiceContext& service, grpc::CallbackServerContext* call,
               Hooks hooks)
      : StreamReactor(service, service.metrics.encode_stream, call),
        hooks_(std::move(hooks)) {}

  void OnMessage(v1::EncodeStreamRequest&) override {}
  void OnEnd() override {}
  void OnAbort(const absl::Status& why) override {
    if (!aborted_.exchange(true)) hooks_.aborted(why);
  }
  void OnRoom() override {}
  void OnFinished() override { hooks_.finished(); }

  const Hooks hooks_;
  std::atomic<bool> aborted_{false};
};

// Serves one ProbeReactor.
class ProbeServer : public v1::EncoderService::CallbackService {
 public:
  explicit ProbeServer(ProbeReactor::Hooks hooks, absl::Duration stall_timeout)
      : hooks_(std::move(hooks)),
        access_(*AccessControl::Create({})),
        admission_(AdmissionOptions()),
        model_(FakeServedModel()),
        metrics_(BuildLabels()),
        unread_(uint64_t{64} << 20, metrics_.unread_response_bytes),
        context_{.access = *access_,
                 .admission = admission_,
                 .encoder = encoder_,
                 .model = model_,
                 .metrics = metrics_,
                 .unread = unread_,
                 .calls = calls_,
                 .limits = {.stall_timeout = stall_timeout}} {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    // The connection takes 64 KiB of what is not read, and no more.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    stub_ = v1::EncoderService::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials(),
        arguments));
  }

  ~ProbeServer() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    // However the call ended, a drain does not wait for it.
    EXPECT_TRUE(calls_.none());
  }

  grpc::ServerBidiReactor<v1::EncodeStreamRequest, v1::EncodeStreamResponse>*
  EncodeStream(grpc::CallbackServerContext* call) override {
    reactor_ = ProbeReactor::Start(context_, call, hooks_);
    started_.Notify();
    return reactor_.get();
  }

  std::unique_ptr<Stream> Open(grpc::ClientContext* context) {
    return stub_->EncodeStream(context);
  }
  // Of the stream that was opened.
  std::shared_ptr<ProbeReactor> reactor() {
    started_.WaitForNotification();
    return reactor_;
  }

 private:
  const ProbeReactor::Hooks hooks_;
  const std::unique_ptr<AccessControl> access_;
  Admission admission_;
  FakeEncoder encoder_;
  const ServedModel model_;
  Metrics metrics_;
  UnreadResponses unread_;
  OpenCalls calls_;
  const ServiceContext context_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::EncoderService::Stub> stub_;
  absl::Notification started_;
  std::shared_ptr<ProbeReactor> reactor_;
};

v1::EncodeStreamResponse ResponseOf(size_t bytes) {
  v1::EncodeStreamResponse response;
  response.mutable_chunk()->set_vector(std::string(bytes, 'x'));
  return response;
}

TEST(StreamReactorTest, WhatIsSentMeanwhileIsNoExcuseForNotReading) {
  absl::Status why;
  absl::Notification aborted;
  ProbeServer server({.aborted =
                          [&](const absl::Status& status) {
                            why = status;
                            aborted.Notify();
                          }},
                     absl::Milliseconds(300));
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream = server.Open(&context);
  server.reactor()->Send(ResponseOf(size_t{8} << 20));
  for (int i = 0; i < 600 && !aborted.HasBeenNotified(); ++i) {
    server.reactor()->Send(ResponseOf(1));
    absl::SleepFor(absl::Milliseconds(50));
  }
  ASSERT_TRUE(aborted.HasBeenNotified());
  EXPECT_EQ(GetErrorDetail(why)->reason, "CLIENT_STALLED");
  context.TryCancel();
  stream->Finish();
}

// What the timer does may need what the server owns, which lives as long as a
// call is open.
TEST(StreamReactorTest, ACallLastsAsLongAsItsTimerActs) {
  absl::Notification aborting, released, finished;
  ProbeServer server({.aborted =
                          [&](const absl::Status&) {
                            aborting.Notify();
                            released.WaitForNotification();
                          },
                      .finished = [&] { finished.Notify(); }},
                     absl::Milliseconds(100));
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream = server.Open(&context);
  ASSERT_TRUE(aborting.WaitForNotificationWithTimeout(absl::Minutes(1)));
  EXPECT_FALSE(
      finished.WaitForNotificationWithTimeout(absl::Milliseconds(300)));
  released.Notify();
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(ReasonOf(status), "CLIENT_STALLED");
  EXPECT_TRUE(finished.WaitForNotificationWithTimeout(absl::Minutes(1)));
}

TEST(StreamReactorTest, AReactorMayOutliveItsServer) {
  std::shared_ptr<ProbeReactor> reactor;
  {
    ProbeServer server({}, absl::Milliseconds(40));
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream = server.Open(&context);
    reactor = server.reactor();
    reactor->Close(absl::OkStatus());
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_TRUE(reactor->HasRoom());
  reactor->Send(ResponseOf(1));
  reactor->Close(absl::CancelledError());
}

}  // namespace
}  // namespace longhand::testing
