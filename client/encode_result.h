// Results as plain values with the vectors decoded, and their conversion from
// the messages. Owned by whoever holds them; the functions are pure.
#ifndef LONGHAND_CLIENT_ENCODE_RESULT_H_
#define LONGHAND_CLIENT_ENCODE_RESULT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "longhand/v1/encoder_service.pb.h"

namespace longhand::client {

// One chunk; see the message Chunk for the contract of the spans.
struct Chunk {
  uint32_t index = 0;
  uint64_t begin_byte = 0, end_byte = 0;    // [begin, end) in the text
  uint64_t begin_token = 0, end_token = 0;  // special tokens not counted
  std::vector<float> vector;                // [hidden], or empty
  float norm = 0;                           // L2, before normalisation
  std::vector<float> retrieval_weights;     // [visible chunks], or empty
};

// The last hidden states of consecutive tokens of one chunk.
struct TokenVectors {
  uint32_t chunk_index = 0;
  uint64_t begin_token = 0;                      // in the document
  std::vector<uint32_t> ids;                     // [tokens]
  std::vector<uint64_t> begin_bytes, end_bytes;  // [tokens]; empty for ids
  std::vector<float> vectors;                    // [tokens, hidden]
};

// The whole result of one document.
struct EncodeResult {
  std::vector<float> document_vector;       // [hidden], or empty
  std::vector<Chunk> chunks;                // in document order
  std::vector<TokenVectors> token_vectors;  // one per chunk, or empty
  v1::EncodeSummary summary;
};

// Little-endian float32. DATA_LOSS (reason BAD_VECTOR) if the size is no
// multiple of four or a value is NaN or infinite.
absl::StatusOr<std::vector<float>> DecodeFloats(absl::string_view bytes);

// These decode every vector of a message, with the errors of DecodeFloats;
// ToTokenVectors also wants as many rows as ids.
absl::StatusOr<Chunk> ToChunk(const v1::Chunk& message);
absl::StatusOr<TokenVectors> ToTokenVectors(const v1::TokenVectors& message);
absl::StatusOr<EncodeResult> ToEncodeResult(const v1::EncodeResponse& message);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_ENCODE_RESULT_H_
