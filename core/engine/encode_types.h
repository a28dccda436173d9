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
#include "core/attention/mechanism_options.h"
#include "core/attention/retrieval_options.h"

namespace longhand {

// Bytes [begin, end) of the text.
struct ByteSpan {
  uint64_t begin = 0;
  uint64_t end = 0;

  bool operator==(const ByteSpan&) const = default;
};

// How a document is encoded. Empty or unset fields take the encoder's default;
// Encoder::ResolveOptions fills them in and validates the rest. See the message
// EncodeOptions in the proto for what each one means.
struct EncodeOptions {
  std::string mechanism;  // a name from attentions.def
  std::optional<Visibility> visibility;
  std::optional<float> gate;
  std::vector<float> head_gates;      // [layers, heads], or empty
  std::vector<int> retrieval_layers;  // ascending; empty: all
  std::optional<FeatureMap> features;
  std::optional<Merge> merge;
  std::optional<int> top_k;
  std::optional<int> anchors;
  std::optional<float> anchor_share;
  std::optional<int> neighbors;
  std::string state_codec;  // a name from state_codecs.def
  std::optional<int> state_rank;
  MechanismOptions mechanism_options;
  std::vector<int64_t> global_tokens;  // ascending places in the document

  std::string chunker;              // a name from chunkers.def
  std::optional<int> chunk_tokens;  // rows per chunk, special tokens included
  std::optional<int> min_chunk_tokens;  // 0: the chunker's choice
  std::optional<int> overlap_tokens;    // 0: the chunker's choice
  std::vector<ByteSpan> spans;          // to be given a vector each

  std::string pooling;  // a name from poolers.def
  std::optional<float> anchor_weight;
  std::optional<float> document_weight;

  bool document_vector = true;
  bool chunk_vectors = true;
  bool token_vectors = false;
  bool retrieval_weights = false;
  bool head_weights = false;
};

// What a chunk's or span's vector was made of: the sum of three vectors of
// length 1 or less, each times its weight, see context_pooling.h.
struct ContextMix {
  float anchor_weight = 0;
  int64_t anchor_chunk = 0;
  float document_weight = 0;
  int64_t document_chunks = 0;  // of which the document's vector was the mean

  bool operator==(const ContextMix&) const = default;
};

// One chunk whose result is final. See the message Chunk in the proto for the
// contract of the spans.
struct ChunkResult {
  int64_t index = 0;
  uint64_t begin_byte = 0, end_byte = 0;    // [begin, end) in the text
  uint64_t begin_token = 0, end_token = 0;  // special tokens not counted
  float norm = 0;                           // L2, before normalisation
  std::vector<float> vector;                // [hidden], or empty
  ContextMix mix;                           // of `vector`
  std::vector<float> retrieval_weights;     // [visible chunks], or empty
};

// One layer's retrieval weights of one chunk.
struct HeadWeightsResult {
  int64_t chunk_index = 0;
  int layer = 0;
  std::vector<float> weights;  // [heads, visible chunks]
};

// The vector of a span that the caller gave.
struct SpanResult {
  int64_t index = 0;  // in EncodeOptions::spans
  ByteSpan span;
  uint64_t begin_token = 0, end_token = 0;  // those that reach into the span
  float norm = 0;                           // L2, before normalisation
  std::vector<float> vector;                // [hidden]
  ContextMix mix;                           // of `vector`
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
  // Chunk states and activations that it held at one time, at most.
  uint64_t peak_working_bytes = 0;
  EncodeOptions options;  // as applied
  EncodeTimings timings;
};

// Receives one document's results. Calls come from worker threads, one at a
// time and in document order: a chunk, then its tokens and its head weights,
// then the spans that end with it. With a document_weight chunks and spans come
// after everything else. Calls must not block and must not call into the
// Document except Cancel and ResumeOutput.
class EncodeSink {
 public:
  virtual ~EncodeSink() = default;
  virtual void OnChunk(ChunkResult chunk) = 0;
  virtual void OnTokens(TokenResult tokens) = 0;
  virtual void OnHeadWeights(HeadWeightsResult weights) = 0;
  virtual void OnSpan(SpanResult span) = 0;
  virtual void OnProgress(const EncodeProgress& progress) = 0;
  // Exactly once, the last call.
  virtual void OnDone(absl::StatusOr<EncodeSummary> summary) = 0;
  // Asked before each chunk's results are handed over. While it says false the
  // document rests; Document::ResumeOutput wakes it.
  virtual bool CanAccept() { return true; }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_ENCODE_TYPES_H_
