// Spans, retrieval weights and what was added to vectors: their way through
// Encode, EncodeStream, EncodeBatch and GetModel of a real gRPC connection.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/test_server.h"

namespace longhand::testing {
namespace {

using ::testing::ElementsAre;

// Three chunks of four bytes.
constexpr char kText[] = "abcdefghijkl";

v1::EncodeRequest Request() {
  v1::EncodeRequest request;
  request.set_text(kText);
  v1::EncodeOptions* options = request.mutable_options();
  options->add_outputs(v1::OUTPUT_RETRIEVAL_WEIGHTS);
  options->add_outputs(v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS);
  options->set_anchor_weight(0.5F);
  for (const auto& [begin, end] : {std::pair(5, 12), {0, 3}}) {
    options->add_spans()->set_begin(begin);
    options->mutable_spans()->rbegin()->set_end(end);
  }
  return request;
}

void ExpectSpan(const v1::SpanVector& span, uint32_t index, uint64_t begin,
                uint64_t end) {
  EXPECT_EQ(span.index(), index);
  EXPECT_EQ(span.begin_byte(), begin);
  EXPECT_EQ(span.end_byte(), end);
  EXPECT_EQ(span.begin_token(), begin);
  EXPECT_EQ(span.end_token(), end);
  EXPECT_EQ(span.norm(), 2);
  EXPECT_EQ(span.vector().size(), 4 * sizeof(float));
  EXPECT_FALSE(span.has_context_mix());
}

void ExpectResponse(const v1::EncodeResponse& response) {
  ASSERT_EQ(response.chunks_size(), 3);
  EXPECT_EQ(response.chunks(2).retrieval_weights().size(), 3 * sizeof(float));
  EXPECT_EQ(response.chunks(1).context_mix().anchor_weight(), 0.5F);
  ASSERT_EQ(response.head_retrieval_weights_size(), 3 * kFakeLayers);
  const v1::HeadRetrievalWeights& last = response.head_retrieval_weights(5);
  EXPECT_EQ(last.chunk_index(), 2U);
  EXPECT_EQ(last.layer(), kFakeLayers - 1U);
  EXPECT_EQ(last.weights().size(), kFakeHeads * 3 * sizeof(float));
  ASSERT_EQ(response.span_vectors_size(), 2);
  ExpectSpan(response.span_vectors(0), 1, 0, 3);
  ExpectSpan(response.span_vectors(1), 0, 5, 12);
  EXPECT_EQ(response.summary().options().anchor_weight(), 0.5F);
  EXPECT_EQ(response.summary().options().spans_size(), 0);
}

TEST(RetrievalResultsTest, ComeInOneAnswer) {
  TestServer test;
  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status status =
      test.encode->Encode(&context, Request(), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ExpectResponse(response);
}

TEST(RetrievalResultsTest, ComeInABatch) {
  TestServer test;
  grpc::ClientContext context;
  const auto stream = test.encode->EncodeBatch(&context);
  v1::EncodeBatchRequest request;
  *request.mutable_request() = Request();
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  v1::EncodeBatchResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ExpectResponse(response.response());
  EXPECT_TRUE(stream->Finish().ok());
}

// Sends `request` as a stream; the kinds of the answers in their order.
grpc::Status Stream(TestServer& test, const v1::EncodeRequest& request,
                    std::vector<v1::EncodeStreamResponse>* responses) {
  grpc::ClientContext context;
  const auto stream = test.encode->EncodeStream(&context);
  v1::EncodeStreamRequest message;
  *message.mutable_config() = request.options();
  stream->Write(message);
  message.set_text(request.text());
  stream->Write(message);
  stream->WritesDone();
  v1::EncodeStreamResponse response;
  while (stream->Read(&response)) {
    if (!response.has_progress()) responses->push_back(response);
  }
  return stream->Finish();
}

TEST(RetrievalResultsTest, FollowTheirChunkInAStream) {
  TestServer test;
  std::vector<v1::EncodeStreamResponse> responses;
  ASSERT_TRUE(Stream(test, Request(), &responses).ok());
  std::vector<int> kinds;
  v1::EncodeResponse gathered;
  for (const v1::EncodeStreamResponse& response : responses) {
    kinds.push_back(response.payload_case());
    if (response.has_chunk()) *gathered.add_chunks() = response.chunk();
    if (response.has_span_vector()) {
      *gathered.add_span_vectors() = response.span_vector();
    }
    if (response.has_head_retrieval_weights()) {
      *gathered.add_head_retrieval_weights() =
          response.head_retrieval_weights();
    }
    if (response.has_result()) {
      *gathered.mutable_summary() = response.result().summary();
    }
  }
  constexpr int kChunk = v1::EncodeStreamResponse::kChunk;
  constexpr int kHeads = v1::EncodeStreamResponse::kHeadRetrievalWeights;
  constexpr int kSpan = v1::EncodeStreamResponse::kSpanVector;
  constexpr int kResult = v1::EncodeStreamResponse::kResult;
  EXPECT_THAT(kinds,
              ElementsAre(kChunk, kHeads, kHeads, kSpan, kChunk, kHeads, kHeads,
                          kChunk, kHeads, kHeads, kSpan, kResult));
  ExpectResponse(gathered);
}

TEST(RetrievalResultsTest, AreLeftOutUnlessAskedFor) {
  TestServer test;
  std::vector<v1::EncodeStreamResponse> responses;
  v1::EncodeRequest request;
  request.set_text(kText);
  ASSERT_TRUE(Stream(test, request, &responses).ok());
  ASSERT_EQ(responses.size(), 4U);
  EXPECT_TRUE(responses[0].chunk().retrieval_weights().empty());
  EXPECT_FALSE(responses[0].chunk().has_context_mix());
}

TEST(RetrievalResultsTest, MessagesOfAStreamStayBelowAMebibyte) {
  TestServer test(LoopbackConfig(), {.hidden_size = 300'000});
  std::vector<v1::EncodeStreamResponse> responses;
  v1::EncodeRequest request;
  request.set_text(kText);
  const grpc::Status status = Stream(test, request, &responses);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "RESPONSE_TOO_LARGE");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("limit_bytes"), "1048576");
}

TEST(RetrievalResultsTest, CountInTheSizeOfAnAnswer) {
  ServerConfig config = LoopbackConfig();
  config.max_message_bytes = 64 << 10;
  TestServer test(config);
  // 100 chunks: 2 x 2 x 100 x 100 / 2 weights of heads.
  v1::EncodeRequest request = Request();
  request.set_text(std::string(400, 'x'));
  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status status = test.encode->Encode(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "RESPONSE_TOO_LARGE");
}

TEST(RetrievalResultsTest, UnknownNamesAreRefusedByEveryCall) {
  TestServer test;
  v1::EncodeRequest request = Request();
  request.mutable_options()->set_features("magic");
  grpc::ClientContext context;
  v1::EncodeResponse response;
  EXPECT_EQ(ReasonOf(test.encode->Encode(&context, request, &response)),
            "FEATURES_UNKNOWN");
  std::vector<v1::EncodeStreamResponse> responses;
  request.mutable_options()->clear_features();
  request.mutable_options()->set_merge("magic");
  const grpc::Status status = Stream(test, request, &responses);
  EXPECT_EQ(ReasonOf(status), "MERGE_UNKNOWN");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("known"),
            "gate, lse, balanced_lse");
}

TEST(RetrievalResultsTest, TheModelListsWhatItTakes) {
  TestServer test;
  grpc::ClientContext context;
  v1::GetModelResponse response;
  ASSERT_TRUE(test.models->GetModel(&context, {}, &response).ok());
  EXPECT_THAT(response.model().feature_maps(), ElementsAre("elu", "softmax"));
  EXPECT_THAT(response.model().merges(),
              ElementsAre("gate", "lse", "balanced_lse"));
  EXPECT_THAT(response.model().state_codecs(), ElementsAre("bf16", "f32"));
  EXPECT_EQ(response.model().adapter_fingerprint(), "aa55");
}

}  // namespace
}  // namespace longhand::testing
