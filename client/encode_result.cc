#include "client/encode_result.h"

#include <bit>
#include <cmath>
#include <utility>

#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

absl::Status BadVector(absl::string_view message) {
  return MakeClientError(absl::StatusCode::kDataLoss, "BAD_VECTOR", message);
}

float DecodeFloat(const char* bytes) {
  uint32_t bits = 0;
  for (int i = 3; i >= 0; --i) {
    bits = bits << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return std::bit_cast<float>(bits);
}

absl::Status CheckNorm(float norm) {
  if (std::isfinite(norm)) return absl::OkStatus();
  return BadVector("the server sent a norm that is NaN or infinite");
}

absl::StatusOr<ContextMix> ToContextMix(const v1::ContextMix& message) {
  if (!std::isfinite(message.anchor_weight()) ||
      !std::isfinite(message.document_weight())) {
    return BadVector("the server sent a weight that is NaN or infinite");
  }
  return ContextMix{message.anchor_weight(), message.anchor_chunk(),
                    message.document_weight(), message.document_chunks()};
}

}  // namespace

absl::StatusOr<std::vector<float>> DecodeFloats(absl::string_view bytes) {
  if (bytes.size() % sizeof(float) != 0) {
    return BadVector("the server sent a vector that is not whole float32s");
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = DecodeFloat(bytes.data() + i * sizeof(float));
    if (!std::isfinite(values[i])) {
      return BadVector("the server sent a vector with NaN or infinity");
    }
  }
  return values;
}

absl::StatusOr<Chunk> ToChunk(const v1::Chunk& message) {
  LH_CLIENT_RETURN_IF_ERROR(CheckNorm(message.norm()));
  Chunk chunk;
  chunk.index = message.index();
  chunk.begin_byte = message.begin_byte();
  chunk.end_byte = message.end_byte();
  chunk.begin_token = message.begin_token();
  chunk.end_token = message.end_token();
  chunk.norm = message.norm();
  LH_CLIENT_ASSIGN_OR_RETURN(chunk.vector, DecodeFloats(message.vector()));
  LH_CLIENT_ASSIGN_OR_RETURN(chunk.retrieval_weights,
                             DecodeFloats(message.retrieval_weights()));
  if (message.has_context_mix()) {
    LH_CLIENT_ASSIGN_OR_RETURN(chunk.context_mix,
                               ToContextMix(message.context_mix()));
  }
  return chunk;
}

absl::StatusOr<SpanVector> ToSpanVector(const v1::SpanVector& message) {
  LH_CLIENT_RETURN_IF_ERROR(CheckNorm(message.norm()));
  SpanVector span;
  span.index = message.index();
  span.begin_byte = message.begin_byte();
  span.end_byte = message.end_byte();
  span.begin_token = message.begin_token();
  span.end_token = message.end_token();
  span.norm = message.norm();
  LH_CLIENT_ASSIGN_OR_RETURN(span.vector, DecodeFloats(message.vector()));
  if (message.has_context_mix()) {
    LH_CLIENT_ASSIGN_OR_RETURN(span.context_mix,
                               ToContextMix(message.context_mix()));
  }
  return span;
}

absl::StatusOr<HeadWeights> ToHeadWeights(
    const v1::HeadRetrievalWeights& message) {
  HeadWeights weights;
  weights.chunk_index = message.chunk_index();
  weights.layer = message.layer();
  LH_CLIENT_ASSIGN_OR_RETURN(weights.weights, DecodeFloats(message.weights()));
  return weights;
}

absl::StatusOr<TokenVectors> ToTokenVectors(const v1::TokenVectors& message) {
  TokenVectors tokens;
  tokens.chunk_index = message.chunk_index();
  tokens.begin_token = message.begin_token();
  tokens.ids.assign(message.ids().begin(), message.ids().end());
  tokens.begin_bytes.assign(message.begin_bytes().begin(),
                            message.begin_bytes().end());
  tokens.end_bytes.assign(message.end_bytes().begin(),
                          message.end_bytes().end());
  LH_CLIENT_ASSIGN_OR_RETURN(tokens.vectors, DecodeFloats(message.vectors()));
  const size_t count = tokens.ids.size();
  const bool spans_fit =
      tokens.begin_bytes.size() == tokens.end_bytes.size() &&
      (tokens.begin_bytes.empty() || tokens.begin_bytes.size() == count);
  if (!spans_fit || (count == 0 ? !tokens.vectors.empty()
                                : tokens.vectors.size() % count != 0)) {
    return BadVector("the server sent token vectors that do not fit their ids");
  }
  return tokens;
}

absl::StatusOr<EncodeResult> ToEncodeResult(const v1::EncodeResponse& message) {
  EncodeResult result;
  LH_CLIENT_ASSIGN_OR_RETURN(result.document_vector,
                             DecodeFloats(message.document_vector()));
  for (const v1::Chunk& part : message.chunks()) {
    LH_CLIENT_ASSIGN_OR_RETURN(Chunk chunk, ToChunk(part));
    result.chunks.push_back(std::move(chunk));
  }
  for (const v1::TokenVectors& part : message.token_vectors()) {
    LH_CLIENT_ASSIGN_OR_RETURN(TokenVectors tokens, ToTokenVectors(part));
    result.token_vectors.push_back(std::move(tokens));
  }
  for (const v1::SpanVector& part : message.span_vectors()) {
    LH_CLIENT_ASSIGN_OR_RETURN(SpanVector span, ToSpanVector(part));
    result.span_vectors.push_back(std::move(span));
  }
  for (const v1::HeadRetrievalWeights& part :
       message.head_retrieval_weights()) {
    LH_CLIENT_ASSIGN_OR_RETURN(HeadWeights weights, ToHeadWeights(part));
    result.head_weights.push_back(std::move(weights));
  }
  result.summary = message.summary();
  return result;
}

}  // namespace longhand::client
