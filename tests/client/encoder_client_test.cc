#include "client/encoder_client.h"

#include <algorithm>
#include <future>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EncoderClientTest : public ::testing::Test {
 protected:
  // Starts the server and connects; short waits between attempts.
  std::unique_ptr<EncoderClient> Connect(ClientOptions options = {}) {
    server_.Start();
    options.target = server_.target();
    options.retry.initial_backoff = absl::Milliseconds(1);
    options.retry.on_retry = [this](const RetryEvent& event) {
      retries_.push_back(event);
    };
    auto client = EncoderClient::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  FakeServer server_;
  std::vector<RetryEvent> retries_;
};

std::string MakeText(size_t bytes) {
  std::string text;
  for (size_t i = 0; text.size() < bytes; ++i) {
    text += "word" + std::to_string(i) + " ";
  }
  text.resize(bytes);
  return text;
}

// Text without end.
class EndlessSource : public ContentSource {
 public:
  absl::StatusOr<size_t> Read(absl::Span<char> buffer) override {
    std::fill(buffer.begin(), buffer.end(), 'x');
    return buffer.size();
  }
};

// A source whose Read waits until Stop, as a silent terminal does.
class SilentSource : public ContentSource {
 public:
  absl::StatusOr<size_t> Read(absl::Span<char>) override {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&stopped_));
    return absl::CancelledError("stopped");
  }
  void Stop() override {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }

 private:
  absl::Mutex mutex_;
  bool stopped_ = false;
};

TEST_F(EncoderClientTest, StreamCarriesEveryByteAndKeepsTheOrder) {
  const auto client = Connect();
  const std::string text = MakeText(1000 * 1000 + 17);
  std::istringstream stream(text);
  IstreamSource source(&stream);
  StreamRequest request;
  request.text = &source;
  request.options.set_mechanism("independent");
  const auto result = client->EncodeStream(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server_.text, text);
  EXPECT_EQ(server_.pieces, (1000 * 1000 + 17 + 65535) / 65536);
  EXPECT_EQ(server_.options.mechanism(), "independent");
  ASSERT_EQ(result->chunks.size(), 1001);
  for (uint32_t i = 0; i < result->chunks.size(); ++i) {
    EXPECT_EQ(result->chunks[i].index, i);
    EXPECT_EQ(result->chunks[i].begin_byte, i * FakeServer::kChunkBytes);
    EXPECT_EQ(result->chunks[i].vector,
              MakeVector(FakeServer::kHidden, static_cast<float>(i)));
  }
  EXPECT_EQ(result->document_vector, MakeVector(FakeServer::kHidden, -1));
  EXPECT_EQ(result->summary.received_bytes(), text.size());
}

TEST_F(EncoderClientTest, CallbacksTakeThePlaceOfCollecting) {
  const auto client = Connect();
  StringSource source("0123456789");
  std::vector<uint32_t> seen;
  uint64_t last_progress = 0;
  StreamCallbacks callbacks;
  callbacks.on_chunk = [&](Chunk chunk) {
    seen.push_back(chunk.index);
    return absl::OkStatus();
  };
  callbacks.on_progress = [&](const StreamProgress& progress) {
    last_progress = progress.server.received_bytes();
  };
  StreamRequest request;
  request.text = &source;
  request.piece_bytes = 3;
  const auto result = client->EncodeStream(request, callbacks);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(seen, ElementsAre(0));
  EXPECT_TRUE(result->chunks.empty());
  EXPECT_EQ(last_progress, 10);
  EXPECT_EQ(server_.pieces, 4);
}

TEST_F(EncoderClientTest, TokenIdsArriveAndTokenRowsAreMerged) {
  const auto client = Connect();
  std::vector<uint32_t> ids(25);
  for (uint32_t i = 0; i < ids.size(); ++i) ids[i] = 100 + i;
  StreamRequest request;
  request.token_ids = ids;
  request.piece_bytes = 40;
  request.options.add_outputs(v1::OUTPUT_TOKEN_VECTORS);
  const auto result = client->EncodeStream(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server_.ids, ids);
  EXPECT_EQ(server_.pieces, 3);
  ASSERT_EQ(result->token_vectors.size(), 3);
  EXPECT_EQ(result->token_vectors[0].ids.size(), 10);
  EXPECT_EQ(result->token_vectors[2].vectors.size(), 5 * FakeServer::kHidden);
}

TEST_F(EncoderClientTest, SpansAndWeightsAreCollectedOrHandedOut) {
  const auto client = Connect();
  const std::string text = MakeText(1500);
  StringSource source(text);
  StreamRequest request;
  request.text = &source;
  request.options.add_outputs(v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS);
  request.options.set_anchor_weight(0.5F);
  request.options.add_spans()->set_end(7);
  auto result = client->EncodeStream(request);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->span_vectors.size(), 1);
  EXPECT_EQ(result->span_vectors[0].end_byte, 7);
  EXPECT_EQ(result->span_vectors[0].vector,
            MakeVector(FakeServer::kHidden, 100));
  EXPECT_EQ(result->chunks[1].context_mix->anchor_weight, 0.5F);
  ASSERT_EQ(result->head_weights.size(), 2 * FakeServer::kLayers);
  EXPECT_EQ(result->head_weights[5].weights.size(), 2 * FakeServer::kHeads);

  int spans = 0, weights = 0;
  StreamCallbacks callbacks;
  callbacks.on_span = [&](SpanVector) { return ++spans, absl::OkStatus(); };
  callbacks.on_head_weights = [&](HeadWeights) {
    return ++weights, absl::OkStatus();
  };
  source.Rewind();
  result = client->EncodeStream(request, callbacks);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(spans, 1);
  EXPECT_EQ(weights, 6);
  EXPECT_TRUE(result->span_vectors.empty() && result->head_weights.empty());
}

TEST_F(EncoderClientTest, ErrorWhileSendingStopsTheSender) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int) {
    v1::EncodeStreamRequest request;
    stream->Read(&request);
    stream->Read(&request);
    return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT, "byte 3 is not UTF-8",
                      "NOT_UTF8", {{"offset", "3"}});
  };
  const auto client = Connect();
  EndlessSource source;
  StreamRequest request;
  request.text = &source;
  const auto result = client->EncodeStream(request);
  EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
  EXPECT_EQ(result.status().message(), "byte 3 is not UTF-8");
  const auto detail = GetErrorDetail(result.status());
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "NOT_UTF8");
  EXPECT_EQ(detail->domain, "longhand");
  EXPECT_EQ(detail->metadata.at("offset"), "3");
  EXPECT_TRUE(retries_.empty());
}

TEST_F(EncoderClientTest, ErrorReachesACallerWhoseSourceIsSilent) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream*, int) {
    return MakeStatus(grpc::StatusCode::FAILED_PRECONDITION, "no", "NO", {});
  };
  const auto client = Connect();
  SilentSource source;
  StreamRequest request;
  request.text = &source;
  const auto result = client->EncodeStream(request);
  EXPECT_EQ(GetErrorDetail(result.status())->reason, "NO");
}

TEST_F(EncoderClientTest, ResultsAreReadWhileContentIsSent) {
  // The server sends more than the flow-control windows hold before it reads
  // on; a client that first sends everything would wait for ever.
  constexpr int kMessages = 64;
  server_.on_stream = [this](grpc::ServerContext*, FakeServer::Stream* stream,
                             int) {
    v1::EncodeStreamResponse response;
    response.mutable_chunk()->set_vector(std::string(256 << 10, '\0'));
    for (uint32_t i = 0; i < kMessages; ++i) {
      response.mutable_chunk()->set_index(i);
      if (!stream->Write(response)) return grpc::Status::CANCELLED;
    }
    v1::EncodeStreamRequest request;
    uint64_t bytes = 0;
    while (stream->Read(&request)) bytes += request.text().size();
    v1::EncodeStreamResponse last;
    last.mutable_result()->mutable_summary()->set_received_bytes(bytes);
    last.mutable_result()->mutable_summary()->set_chunk_count(kMessages);
    stream->Write(last);
    return grpc::Status::OK;
  };
  const auto client = Connect();
  const std::string text = MakeText(8 << 20);
  StringSource source(text);
  StreamRequest request;
  request.text = &source;
  const auto result = client->EncodeStream(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chunks.size(), kMessages);
}

TEST_F(EncoderClientTest, StatusOfACallbackEndsTheCall) {
  const auto client = Connect();
  const std::string text = MakeText(5000);
  StringSource source(text);
  StreamRequest request;
  request.text = &source;
  int calls = 0;
  StreamCallbacks callbacks;
  callbacks.on_chunk = [&](const Chunk&) {
    ++calls;
    return absl::AbortedError("enough");
  };
  const auto result = client->EncodeStream(request, callbacks);
  EXPECT_EQ(result.status(), absl::AbortedError("enough"));
  EXPECT_EQ(calls, 1);
}

TEST_F(EncoderClientTest, FailingSourceIsReportedAndNotTakenForTheEnd) {
  std::promise<bool> cancelled;
  server_.on_stream = [&](grpc::ServerContext* context,
                          FakeServer::Stream* stream, int) {
    v1::EncodeStreamRequest request;
    while (stream->Read(&request)) {
    }
    cancelled.set_value(context->IsCancelled());
    return grpc::Status::OK;
  };
  const auto client = Connect();
  int reads = 0;
  CallbackSource source([&](absl::Span<char> buffer) -> absl::StatusOr<size_t> {
    if (++reads > 3) return absl::DataLossError("disk");
    return buffer.size();
  });
  StreamRequest request;
  request.text = &source;
  EXPECT_EQ(client->EncodeStream(request).status(),
            absl::DataLossError("disk"));
  EXPECT_TRUE(cancelled.get_future().get());
}

TEST_F(EncoderClientTest, AnswerForFewerBytesIsRefused) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int) {
    v1::EncodeStreamRequest request;
    while (stream->Read(&request)) {
    }
    v1::EncodeStreamResponse last;
    last.mutable_result()->mutable_summary()->set_received_bytes(4);
    stream->Write(last);
    return grpc::Status::OK;
  };
  const auto client = Connect();
  StringSource source("12345");
  StreamRequest request;
  request.text = &source;
  const auto result = client->EncodeStream(request);
  EXPECT_TRUE(absl::IsDataLoss(result.status())) << result.status();
  EXPECT_EQ(GetErrorDetail(result.status())->reason, "INCOMPLETE_RESULT");
}

TEST_F(EncoderClientTest, StreamIsRetriedFromTheFirstByteAfterPushback) {
  server_.on_stream = [this](grpc::ServerContext* context,
                             FakeServer::Stream* stream, int attempt) {
    if (attempt > 1) return server_.EncodeByRule(stream);
    v1::EncodeStreamRequest request;
    stream->Read(&request);
    stream->Read(&request);
    context->AddTrailingMetadata("grpc-retry-pushback-ms", "7");
    return MakeStatus(grpc::StatusCode::UNAVAILABLE, "busy", "OVERLOADED", {});
  };
  const auto client = Connect();
  const std::string text = MakeText(300 * 1000);
  StringSource source(text);
  StreamRequest request;
  request.text = &source;
  const auto result = client->EncodeStream(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server_.text, text);
  ASSERT_EQ(retries_.size(), 1);
  EXPECT_EQ(retries_[0].delay, absl::Milliseconds(7));
  EXPECT_EQ(GetErrorDetail(retries_[0].status)->reason, "OVERLOADED");
}

TEST_F(EncoderClientTest, StreamIsNotRetriedOnceAResultWasHandedOut) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int) {
    v1::EncodeStreamResponse response;
    response.mutable_chunk()->set_index(0);
    stream->Write(response);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going away");
  };
  const auto client = Connect();
  StringSource source("text");
  StreamRequest request;
  request.text = &source;
  EXPECT_TRUE(absl::IsUnavailable(client->EncodeStream(request).status()));
  EXPECT_EQ(server_.streams, 1);
}

TEST_F(EncoderClientTest, SourceThatCannotRewindIsNotReadTwice) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int) {
    v1::EncodeStreamRequest request;
    while (stream->Read(&request)) {
    }
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "busy");
  };
  const auto client = Connect();
  bool ended = false;
  CallbackSource source([&](absl::Span<char>) -> absl::StatusOr<size_t> {
    return std::exchange(ended, true) ? 0 : 1;
  });
  StreamRequest request;
  request.text = &source;
  EXPECT_TRUE(absl::IsUnavailable(client->EncodeStream(request).status()));
  EXPECT_EQ(server_.streams, 1);
}

TEST_F(EncoderClientTest, UnaryEncodeDecodesAndHonoursNegativePushback) {
  server_.on_encode = [](grpc::ServerContext* context,
                         const v1::EncodeRequest& request,
                         v1::EncodeResponse* response, int attempt) {
    if (request.text() == "never") {
      context->AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "go away");
    }
    if (attempt < 3) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "busy");
    response->set_document_vector(ToBytes(MakeVector(3, 2)));
    return grpc::Status::OK;
  };
  const auto client = Connect();
  const auto result = client->Encode({{}, std::string("text")});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->document_vector, MakeVector(3, 2));
  EXPECT_EQ(server_.encodes, 3);
  EXPECT_TRUE(
      absl::IsUnavailable(client->Encode({{}, std::string("never")}).status()));
  EXPECT_EQ(server_.encodes, 4);
}

TEST_F(EncoderClientTest, DeadlineEndsACallThatWouldNotEnd) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int) {
    v1::EncodeStreamRequest request;
    while (stream->Read(&request)) {
    }
    return grpc::Status::OK;
  };
  const auto client = Connect();
  EndlessSource source;
  StreamRequest request;
  request.text = &source;
  CallOptions call;
  call.deadline = absl::Milliseconds(100);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      client->EncodeStream(request, {}, call).status()));
}

TEST_F(EncoderClientTest, CancellationEndsACallAndLaterOnes) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int) {
    // Says that it is at work, then waits for the end of the stream.
    v1::EncodeStreamResponse response;
    response.mutable_progress()->set_received_bytes(1);
    stream->Write(response);
    v1::EncodeStreamRequest request;
    while (stream->Read(&request)) {
    }
    return grpc::Status::OK;
  };
  const auto client = Connect();
  SilentSource source;
  StreamRequest request;
  request.text = &source;
  Cancellation cancellation;
  StreamCallbacks callbacks;
  callbacks.on_progress = [&](const StreamProgress&) { cancellation.Cancel(); };
  const CallOptions call = {{}, &cancellation};
  EXPECT_TRUE(absl::IsCancelled(
      client->EncodeStream(request, callbacks, call).status()));
  EXPECT_TRUE(absl::IsCancelled(client->GetModel("", call).status()));
}

TEST_F(EncoderClientTest, BatchKeepsTheOrderAndRetriesOnlyWhatIsUnavailable) {
  std::vector<std::string> second_attempt;
  server_.on_batch = [&](grpc::ServerContext*, FakeServer::Batch* batch,
                         int attempt) {
    std::vector<v1::EncodeBatchRequest> requests;
    v1::EncodeBatchRequest request;
    while (batch->Read(&request)) requests.push_back(request);
    // The last one first: results come in any order.
    for (auto it = requests.rbegin(); it != requests.rend(); ++it) {
      v1::EncodeBatchResponse response;
      response.set_correlation_id(it->correlation_id());
      const std::string& text = it->request().text();
      if (attempt == 2) second_attempt.push_back(text);
      if (text.empty()) {
        response.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
        google::rpc::ErrorInfo info;
        info.set_reason("EMPTY_DOCUMENT");
        response.mutable_error()->add_details()->PackFrom(info);
      } else if (text == "busy" && attempt == 1) {
        response.mutable_error()->set_code(grpc::StatusCode::UNAVAILABLE);
      } else {
        response.mutable_response()->mutable_summary()->set_received_bytes(
            text.size());
      }
      batch->Write(response);
    }
    return grpc::Status::OK;
  };
  const auto client = Connect();
  const std::vector<Document> documents = {{{}, std::string("a")},
                                           {{}, std::string("")},
                                           {{}, std::string("busy")},
                                           {{}, std::string("four")}};
  const auto results = client->EncodeBatch(documents);
  ASSERT_EQ(results.size(), 4);
  ASSERT_TRUE(results[0].ok() && results[2].ok() && results[3].ok());
  EXPECT_EQ(results[0]->summary.received_bytes(), 1);
  EXPECT_EQ(results[3]->summary.received_bytes(), 4);
  EXPECT_EQ(GetErrorDetail(results[1].status())->reason, "EMPTY_DOCUMENT");
  EXPECT_THAT(second_attempt, ElementsAre("busy"));
}

TEST_F(EncoderClientTest, ModelAndTokens) {
  const auto client = Connect();
  const auto model = client->GetModel();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name(), "fake-model");
  v1::TokenizeRequest request;
  request.set_text("ab");
  const auto tokens = client->Tokenize(request);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(tokens->ids(), ElementsAre('a', 'b'));
}

TEST(ConnectTest, NamesTheTlsFileThatItCannotRead) {
  ClientOptions options;
  options.tls.emplace().ca_file = "no/such/ca.pem";
  const auto client = EncoderClient::Connect(options);
  EXPECT_TRUE(absl::IsNotFound(client.status())) << client.status();
  EXPECT_THAT(std::string(client.status().message()),
              HasSubstr("no/such/ca.pem"));
}

TEST(ConnectTest, UnreachableServerIsUnavailableWithoutDetail) {
  ClientOptions options;
  options.target = "127.0.0.1:1";
  options.retry.max_attempts = 2;
  options.retry.initial_backoff = absl::Milliseconds(1);
  const auto client = EncoderClient::Connect(options);
  const auto model = (*client)->GetModel();
  EXPECT_TRUE(absl::IsUnavailable(model.status())) << model.status();
  EXPECT_FALSE(GetErrorDetail(model.status()).has_value());
}

}  // namespace
}  // namespace longhand::client
