// Results as plain values with the vectors decoded, and their conversion from
// the messages. Owned by whoever holds them; the functions are pure.
#ifndef LONGHAND_CLIENT_ENCODE_RESULT_H_
#define LONGHAND_CLIENT_ENCODE_RESULT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "longhand/v1/encoder_service.pb.h"

namespace longhand::client {

// What was added to a vector; see the message ContextMix.
struct ContextMix {
  float anchor_weight = 0;
  uint32_t anchor_chunk = 0;
  float document_weight = 0;
  uint32_t document_chunks = 0;
};

// One chunk; see the message Chunk for the contract of the spans.
struct Chunk {
  uint32_t index = 0;
  uint64_t begin_byte = 0, end_byte = 0;    // [begin, end) in the text
  uint64_t begin_token = 0, end_token = 0;  // special tokens not counted
  std::vector<float> vector;                // [hidden], or empty
  float norm = 0;                           // L2, before normalisation
  std::vector<float> retrieval_weights;     // [visible chunks], or empty
  std::optional<ContextMix> context_mix;    // of `vector`
};

// How much each head of one layer retrieved for one chunk.
struct HeadWeights {
  uint32_t chunk_index = 0;
  uint32_t layer = 0;
  std::vector<float> weights;  // [heads, visible chunks]
};

// The vector of a part of the text that was asked for.
struct SpanVector {
  uint32_t index = 0;                       // in EncodeOptions.spans
  uint64_t begin_byte = 0, end_byte = 0;    // [begin, end) as it was given
  uint64_t begin_token = 0, end_token = 0;  // those that reach into it
  std::vector<float> vector;                // [hidden]
  float norm = 0;                           // L2, before normalisation
  std::optional<ContextMix> context_mix;    // of `vector`
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
  std::vector<SpanVector> span_vectors;     // in order of their ends
  std::vector<HeadWeights> head_weights;    // by chunk, then by layer
  v1::EncodeSummary summary;
};

// Little-endian float32. DATA_LOSS (reason BAD_VECTOR) if the size is no
// multiple of four or a value is NaN or infinite.
absl::StatusOr<std::vector<float>> DecodeFloats(absl::string_view bytes);

// These decode every vector of a message, with the errors of DecodeFloats;
// ToTokenVectors also wants as many rows as ids.
absl::StatusOr<Chunk> ToChunk(const v1::Chunk& message);
absl::StatusOr<TokenVectors> ToTokenVectors(const v1::TokenVectors& message);
absl::StatusOr<SpanVector> ToSpanVector(const v1::SpanVector& message);
absl::StatusOr<HeadWeights> ToHeadWeights(
    const v1::HeadRetrievalWeights& message);
absl::StatusOr<EncodeResult> ToEncodeResult(const v1::EncodeResponse& message);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_ENCODE_RESULT_H_
