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
  if (!std::isfinite(message.norm())) {
    return BadVector("the server sent a norm that is NaN or infinite");
  }
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
  return chunk;
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
  result.summary = message.summary();
  return result;
}

}  // namespace longhand::client
