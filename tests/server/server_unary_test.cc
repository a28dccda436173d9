// Encode, EncodeBatch and ModelService through a real gRPC connection.
#include <array>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/test_server.h"

namespace longhand::testing {
namespace {

using ::testing::ElementsAre;
using BatchStream =
    grpc::ClientReaderWriter<v1::EncodeBatchRequest, v1::EncodeBatchResponse>;

// Chunks of 64 KiB, so that a few hundred make a large response.
FakeEncoderOptions LargeVectors() { return {.hidden_size = 16384}; }

grpc::Status Encode(TestServer& test, const v1::EncodeRequest& request,
                    v1::EncodeResponse* response) {
  grpc::ClientContext context;
  return test.encode->Encode(&context, request, response);
}

v1::EncodeRequest TextRequest(const std::string& text) {
  v1::EncodeRequest request;
  request.set_text(text);
  return request;
}

// False if `condition` does not come true within ten seconds.
template <typename Condition>
bool Soon(Condition condition) {
  for (int i = 0; i < 1000 && !condition(); ++i) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  return condition();
}

bool WaitForQueued(const TestServer& test, size_t count) {
  return Soon([&] {
    return test.server->admission_stats().classes[0].queued == count;
  });
}

v1::EncodeBatchRequest BatchItem(uint64_t id, const std::string& text) {
  v1::EncodeBatchRequest item;
  item.set_correlation_id(id);
  item.mutable_request()->set_text(text);
  return item;
}

TEST(EncodeTest, ReturnsTheWholeResult) {
  TestServer test;
  v1::EncodeResponse response;
  const grpc::Status status =
      Encode(test, TextRequest("abcdefghij"), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.chunks_size(), 3);
  EXPECT_EQ(response.chunks(2).begin_byte(), 8U);
  EXPECT_EQ(response.chunks(2).end_byte(), 10U);
  EXPECT_EQ(response.chunks(2).vector().size(), 16U);
  EXPECT_EQ(response.document_vector().size(), 16U);
  EXPECT_EQ(response.summary().received_bytes(), 10U);
  EXPECT_EQ(response.summary().model_fingerprint(), "00ff");
  EXPECT_EQ(test.server->metrics().encode.started.Value(), 1);
}

TEST(EncodeTest, TokenIdsAndTokenVectors) {
  TestServer test;
  v1::EncodeRequest request;
  for (uint32_t i = 0; i < 6; ++i) request.mutable_token_ids()->add_ids(i);
  request.mutable_options()->add_outputs(v1::OUTPUT_TOKEN_VECTORS);
  v1::EncodeResponse response;
  const grpc::Status status = Encode(test, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.token_vectors_size(), 2);
  EXPECT_EQ(response.token_vectors(1).begin_token(), 4U);
}

TEST(EncodeTest, ErrorsCarryTheirReason) {
  TestServer test;
  v1::EncodeResponse response;
  grpc::Status status = Encode(test, v1::EncodeRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "CONTENT_MISSING");

  status = Encode(test, TextRequest(""), &response);
  EXPECT_EQ(ReasonOf(status), "EMPTY_DOCUMENT");

  v1::EncodeRequest request = TextRequest("text");
  request.mutable_options()->set_model("other");
  status = Encode(test, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("known"), "fake");

  request = TextRequest("text");
  request.mutable_options()->set_mechanism("missing");
  EXPECT_EQ(ReasonOf(Encode(test, request, &response)), "MECHANISM_UNKNOWN");
}

TEST(EncodeTest, RequestOverTheLimitLeavesTheConnectionUsable) {
  TestServer test;
  v1::EncodeResponse response;
  const std::string large((4 << 20) + 1, 'x');
  grpc::Status status = Encode(test, TextRequest(large), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Encode(test, TextRequest("small"), &response).ok());
  EXPECT_EQ(test.encoder->stats().opened, 1);
}

TEST(EncodeTest, ResponseOverTheLimitPointsToEncodeStream) {
  TestServer test(LoopbackConfig(), LargeVectors());
  v1::EncodeResponse response;
  const grpc::Status status =
      Encode(test, TextRequest(std::string(400, 'x')), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "RESPONSE_TOO_LARGE");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("limit_bytes"), "4194304");
  EXPECT_GT(std::stoul(ErrorInfoOf(status).metadata().at("size_bytes")),
            4194304U);
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("EncodeStream"));
  EXPECT_TRUE(Encode(test, TextRequest("xxxx"), &response).ok());
}

TEST(EncodeTest, CompressedRequestsAreRefused) {
  TestServer test;
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::EncodeResponse response;
  const grpc::Status status = test.encode->Encode(
      &context, TextRequest(std::string(10000, 'x')), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(test.encoder->stats().opened, 0);
}

TEST(EncodeTest, CancellingStopsTheDocument) {
  TestServer test;
  grpc::ClientContext context;
  grpc::Status status;
  v1::EncodeResponse response;
  std::thread call([&] {
    status = test.encode->Encode(&context, TextRequest("hold on"), &response);
  });
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 1; }));
  context.TryCancel();
  call.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.done == 1; }));
  EXPECT_EQ(test.encoder->stats().endings[0].code(),
            absl::StatusCode::kCancelled);
}

TEST(EncodeTest, DeadlineStopsTheDocument) {
  TestServer test;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(300));
  v1::EncodeResponse response;
  const grpc::Status status =
      test.encode->Encode(&context, TextRequest("hold on"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.done == s.opened; }));
}

TEST(EncodeTest, OverloadSaysWhenToRetry) {
  FakeEncoderOptions options;
  options.encoder.max_concurrent_documents = 4;  // one of them short
  ServerConfig config = LoopbackConfig();
  config.admission.max_queued = 1;
  TestServer test(config, options);
  std::array<grpc::ClientContext, 2> contexts;
  std::array<v1::EncodeResponse, 2> responses;
  std::array<std::thread, 2> threads;
  for (size_t i = 0; i < 2; ++i) {
    threads[i] = std::thread([&, i] {
      test.encode->Encode(&contexts[i], TextRequest("hold on"), &responses[i])
          .ok();
    });
  }
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 1; }));
  EXPECT_TRUE(WaitForQueued(test, 1));
  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status status =
      test.encode->Encode(&context, TextRequest("text"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "OVERLOADED");
  EXPECT_EQ(context.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"),
            1U);
  test.encoder->ReleaseHeld();
  for (size_t i = 0; i < 2; ++i) {
    threads[i].join();
    EXPECT_EQ(responses[i].chunks_size(), 2);
  }
}

TEST(EncodeBatchTest, ResultsComeInOrderOfCompletion) {
  TestServer test;
  grpc::ClientContext context;
  std::unique_ptr<BatchStream> stream = test.encode->EncodeBatch(&context);
  ASSERT_TRUE(stream->Write(BatchItem(1, "hold on")));
  ASSERT_TRUE(stream->Write(BatchItem(2, "go")));
  v1::EncodeBatchResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.correlation_id(), 2U);
  EXPECT_EQ(response.response().chunks_size(), 1);
  test.encoder->ReleaseHeld();
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.correlation_id(), 1U);
  EXPECT_EQ(response.response().chunks_size(), 2);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(EncodeBatchTest, ErrorsAreOfOneDocument) {
  TestServer test(LoopbackConfig(), LargeVectors());
  grpc::ClientContext context;
  std::unique_ptr<BatchStream> stream = test.encode->EncodeBatch(&context);
  v1::EncodeBatchRequest bad_gate = BatchItem(1, "text");
  bad_gate.mutable_request()->mutable_options()->set_gate(7);
  ASSERT_TRUE(stream->Write(bad_gate));
  ASSERT_TRUE(stream->Write(BatchItem(2, "")));
  ASSERT_TRUE(stream->Write(BatchItem(3, std::string(400, 'x'))));
  ASSERT_TRUE(stream->Write(v1::EncodeBatchRequest()));
  ASSERT_TRUE(stream->Write(BatchItem(5, "text")));
  stream->WritesDone();
  std::map<uint64_t, std::string> reasons;
  v1::EncodeBatchResponse response;
  while (stream->Read(&response)) {
    reasons[response.correlation_id()] =
        response.has_error() ? ErrorInfoOf(response.error()).reason() : "OK";
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(reasons, (std::map<uint64_t, std::string>{{0, "CONTENT_MISSING"},
                                                      {1, "GATE_OUT_OF_RANGE"},
                                                      {2, "EMPTY_DOCUMENT"},
                                                      {3, "RESPONSE_TOO_LARGE"},
                                                      {5, "OK"}}));
}

TEST(EncodeBatchTest, DocumentsInWorkAreBounded) {
  constexpr int kDocuments = 40;
  FakeEncoderOptions options;
  options.encoder.max_concurrent_documents = 128;
  TestServer test(LoopbackConfig(), options);
  grpc::ClientContext context;
  std::unique_ptr<BatchStream> stream = test.encode->EncodeBatch(&context);
  for (int i = 0; i < kDocuments; ++i) {
    ASSERT_TRUE(stream->Write(BatchItem(i, "hold on")));
  }
  stream->WritesDone();
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 16; }));
  test.encoder->ReleaseHeld();
  int count = 0;
  v1::EncodeBatchResponse response;
  while (stream->Read(&response)) count += response.has_response() ? 1 : 0;
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(count, kDocuments);
  EXPECT_EQ(test.encoder->stats().max_open, 16);
}

TEST(EncodeBatchTest, CancellingStopsAllDocuments) {
  TestServer test;
  grpc::ClientContext context;
  std::unique_ptr<BatchStream> stream = test.encode->EncodeBatch(&context);
  for (int i = 0; i < 5; ++i) stream->Write(BatchItem(i, "hold on"));
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 5; }));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.done == 5; }));
}

// An answer that just fits into a message, where vectors are large.
constexpr double kAnswerBytes = 60 * 65536;
v1::EncodeBatchRequest BigItem(uint64_t id) {
  return BatchItem(id, "hold" + std::string(236, 'x'));
}

// For what clients have not read to come between the two.
bool WaitForUnread(const TestServer& test, double least, double most) {
  return Soon([&] {
    const double bytes = test.server->metrics().unread_response_bytes.Value();
    return least <= bytes && bytes <= most;
  });
}

// Whose connection takes 64 KiB of what is not read, and no more.
std::unique_ptr<v1::EncoderService::Stub> UnbufferedStub(TestServer& test) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return v1::EncoderService::NewStub(grpc::CreateCustomChannel(
      test.address, grpc::InsecureChannelCredentials(), arguments));
}

TEST(EncodeBatchTest, AnswersThatNobodyReadsAreBounded) {
  FakeEncoderOptions options = LargeVectors();
  options.encoder.max_concurrent_documents = 128;
  ServerConfig config = LoopbackConfig();
  config.max_unread_bytes = 4 << 20;
  TestServer test(config, options);
  const auto stub = UnbufferedStub(test);
  grpc::ClientContext context;
  std::unique_ptr<BatchStream> stream = stub->EncodeBatch(&context);
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(stream->Write(BigItem(i)));
  }
  ASSERT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 16; }));
  test.encoder->ReleaseHeld();
  ASSERT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.done == 16; }));
  // What is on its way to the client cannot be taken back.
  EXPECT_TRUE(WaitForUnread(test, kAnswerBytes, 1.1 * kAnswerBytes));
  v1::EncodeBatchResponse response;
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "UNREAD_RESPONSES");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("limit_bytes"), "8388608");
  EXPECT_TRUE(WaitForUnread(test, 0, 0));
}

TEST(EncodeBatchTest, UnreadAnswersOfOthersHoldUpOnlyWhoDoesNotRead) {
  ServerConfig config = LoopbackConfig();
  config.max_unread_bytes = 5 << 20;
  TestServer test(config, LargeVectors());
  test.encoder->ReleaseHeld();
  const auto stub = UnbufferedStub(test);
  std::array<grpc::ClientContext, 3> contexts;
  std::array<std::unique_ptr<BatchStream>, 3> streams;
  for (size_t i = 0; i < 2; ++i) {
    streams[i] = stub->EncodeBatch(&contexts[i]);
    ASSERT_TRUE(streams[i]->Write(BigItem(i)));
    ASSERT_TRUE(WaitForUnread(test, (i + 1) * kAnswerBytes, 10 << 20));
  }
  // Together more than the limit. The second may have asked for a message
  // before that.
  for (int i = 2; i < 5; ++i) {
    ASSERT_TRUE(streams[1]->Write(BatchItem(i, "go")));
  }
  streams[2] = stub->EncodeBatch(&contexts[2]);
  v1::EncodeBatchResponse response;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(streams[2]->Write(BatchItem(5, "go")));
    ASSERT_TRUE(streams[2]->Read(&response));
    EXPECT_EQ(response.response().chunks_size(), 1);
  }
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_LE(test.encoder->stats().opened, 13);
  for (uint64_t i = 1; i < 5; ++i) {
    ASSERT_TRUE(streams[1]->Read(&response));
    EXPECT_EQ(response.correlation_id(), i);
  }
  // One reads, one goes away.
  EXPECT_TRUE(WaitForUnread(test, kAnswerBytes, 1.1 * kAnswerBytes));
  contexts[0].TryCancel();
  EXPECT_TRUE(WaitForUnread(test, 0, 0));
  streams[0]->Finish();
  streams[1]->WritesDone();
  EXPECT_TRUE(streams[1]->Finish().ok());
}

TEST(ModelServiceTest, DescribesTheModel) {
  TestServer test;
  grpc::ClientContext context;
  v1::GetModelResponse response;
  ASSERT_TRUE(
      test.models->GetModel(&context, v1::GetModelRequest(), &response).ok());
  EXPECT_EQ(response.model().name(), "fake");
  EXPECT_EQ(response.model().limits().max_message_bytes(), 4U << 20);
  EXPECT_THAT(response.model().mechanisms(),
              ElementsAre("bsbr", "independent"));
  grpc::ClientContext other_context;
  v1::GetModelRequest other;
  other.set_name("other");
  EXPECT_EQ(ReasonOf(test.models->GetModel(&other_context, other, &response)),
            "MODEL_NOT_FOUND");
}

class TokenizeTest : public ::testing::Test {
 protected:
  TokenizeTest()
      : tokenizer_(*Tokenizer::FromJson(R"({
          "version": "1.0",
          "normalizer": {"type": "Lowercase"},
          "pre_tokenizer": {"type": "BertPreTokenizer"},
          "model": {"type": "WordPiece", "unk_token": "[UNK]",
                    "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                    "vocab": {"[UNK]": 0, "long": 1, "##hand": 2, "text": 3}}
        })")) {}

  ServedModel WithTokenizer() const {
    ServedModel model = FakeServedModel();
    model.tokenizer = tokenizer_.get();
    return model;
  }

  static grpc::Status Tokenize(TestServer& test, const std::string& text) {
    grpc::ClientContext context;
    v1::TokenizeRequest request;
    request.set_text(text);
    v1::TokenizeResponse response;
    return test.models->Tokenize(&context, request, &response);
  }

  const std::unique_ptr<const Tokenizer> tokenizer_;
};

TEST_F(TokenizeTest, GivesIdsSpansAndEntries) {
  TestServer test(LoopbackConfig(), {}, WithTokenizer());
  v1::TokenizeRequest request;
  request.set_text("Longhand  text!");
  request.set_include_tokens(true);
  grpc::ClientContext context;
  v1::TokenizeResponse response;
  const grpc::Status status =
      test.models->Tokenize(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response.ids(), ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(response.begin_bytes(), ElementsAre(0, 4, 10, 14));
  EXPECT_THAT(response.end_bytes(), ElementsAre(4, 8, 14, 15));
  EXPECT_THAT(response.tokens(),
              ElementsAre("long", "##hand", "text", "[UNK]"));
}

TEST_F(TokenizeTest, ErrorsSayWhy) {
  TestServer test(LoopbackConfig(), {}, WithTokenizer());
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "EMPTY_DOCUMENT"}, {"caf\xc3", "INVALID_UTF8"}};
  for (const auto& [text, reason] : cases) {
    EXPECT_EQ(ReasonOf(Tokenize(test, text)), reason);
  }
  TestServer without;
  EXPECT_EQ(ReasonOf(Tokenize(without, "text")), "TOKENIZER_MISSING");
}

TEST_F(TokenizeTest, WaitsForItsTurn) {
  FakeEncoderOptions options;
  options.encoder.max_concurrent_documents = 4;  // one of them short
  ServerConfig config = LoopbackConfig();
  config.admission.max_queued = 1;
  TestServer test(config, options, WithTokenizer());
  std::thread held([&] {
    v1::EncodeResponse response;
    EXPECT_TRUE(Encode(test, TextRequest("hold on"), &response).ok());
  });
  EXPECT_TRUE(test.encoder->WaitFor(
      [](const FakeEncoderStats& s) { return s.opened == 1; }));
  grpc::ClientContext context;
  grpc::Status waited;
  std::thread waiting([&] {
    v1::TokenizeRequest request;
    request.set_text("text");
    v1::TokenizeResponse response;
    waited = test.models->Tokenize(&context, request, &response);
  });
  EXPECT_TRUE(WaitForQueued(test, 1));
  const grpc::Status refused = Tokenize(test, "text");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(refused), "OVERLOADED");
  context.TryCancel();
  waiting.join();
  EXPECT_EQ(waited.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(WaitForQueued(test, 0));
  test.encoder->ReleaseHeld();
  held.join();
  EXPECT_TRUE(Tokenize(test, "text").ok());
}

TEST_F(TokenizeTest, TakesAFiftiethOfTheQuota) {
  ServerConfig config = LoopbackConfig();
  config.access.defaults.tokens_per_second = 1e-6;
  config.access.defaults.burst_tokens = 9;
  TestServer test(config, {}, WithTokenizer());
  std::string text;
  // Two and a half tokens as estimated; two are found.
  for (int i = 0; i < 100; ++i) text += "text ";
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Tokenize(test, text).ok()) << i;
  const grpc::Status refused = Tokenize(test, text);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(refused), "TENANT_QUOTA");
}

}  // namespace
}  // namespace longhand::testing
