// What goes into the encoder and what comes out: plain values, no locks, owned
// by whoever holds them.
#ifndef LONGHAND_CORE_ENGINE_ENCODE_TYPES_H_
#define LONGHAND_CORE_ENGINE_ENCODE_TYPES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/attention/visibility.h"

namespace longhand {

// How a document is encoded. Empty or unset fields take the encoder's default;
// Encoder::ResolveOptions fills them in and validates the rest.
struct EncodeOptions {
  std::string mechanism;  // a name from attentions.def
  std::optional<Visibility> visibility;
  std::optional<float> gate;        // 0 to 1; share of the retrieved part
  std::string chunker;              // a name from chunkers.def
  std::optional<int> chunk_tokens;  // rows per chunk, special tokens included
  std::string pooling;              // a name from poolers.def

  bool document_vector = true;
  bool chunk_vectors = true;
  bool token_vectors = false;
  bool retrieval_weights = false;
};

// One chunk whose result is final. See the message Chunk in the proto for the
// contract of the spans.
struct ChunkResult {
  int64_t index = 0;
  uint64_t begin_byte = 0, end_byte = 0;    // [begin, end) in the text
  uint64_t begin_token = 0, end_token = 0;  // special tokens not counted
  float norm = 0;                           // L2, before normalisation
  std::vector<float> vector;                // [hidden], or empty
  std::vector<float> retrieval_weights;     // [visible chunks], or empty
};

// The hidden states of one chunk's tokens, special tokens left out.
struct TokenResult {
  int64_t chunk_index = 0;
  uint64_t begin_token = 0;
  std::vector<int32_t> ids;          // [tokens]
  std::vector<uint64_t> begin, end;  // [tokens] bytes; empty for token input
  std::vector<float> vectors;        // [tokens, hidden]
};

struct EncodeProgress {
  uint64_t received_bytes = 0;
  uint64_t received_tokens = 0;
  uint64_t encoded_tokens = 0;
};

struct EncodeTimings {
  absl::Duration total;     // from Open to the result
  absl::Duration queue;     // work was ready, no worker had started it
  absl::Duration tokenize;  // worker time
  absl::Duration compute;   // worker time
  absl::Duration pool;      // worker time
};

// The end of a document.
struct EncodeSummary {
  std::vector<float> document_vector;  // [hidden], or empty
  uint64_t received_bytes = 0;
  uint64_t received_tokens = 0;  // special tokens not counted
  uint64_t encoded_tokens = 0;   // rows computed
  uint64_t reused_tokens = 0;
  int64_t chunk_count = 0;
  uint64_t state_bytes = 0;
  EncodeOptions options;  // as applied
  EncodeTimings timings;
};

// Receives one document's results. Calls come from worker threads, one at a
// time and in document order; they must not block and must not call into the
// Document except Cancel and ResumeOutput.
class EncodeSink {
 public:
  virtual ~EncodeSink() = default;
  virtual void OnChunk(ChunkResult chunk) = 0;
  virtual void OnTokens(TokenResult tokens) = 0;
  virtual void OnProgress(const EncodeProgress& progress) = 0;
  // Exactly once, the last call.
  virtual void OnDone(absl::StatusOr<EncodeSummary> summary) = 0;
  // Asked before each chunk's results are handed over. While it says false the
  // document rests; Document::ResumeOutput wakes it.
  virtual bool CanAccept() { return true; }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_ENCODE_TYPES_H_
