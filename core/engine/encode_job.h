// EncodeJob: the worker side of one open document: from text to tokens to
// chunks to layers to results. It knows nothing of threads or queues: its owner
// (DocumentImpl) calls one method at a time, except Run, which may run for
// different items in parallel. Owned by one document.
#ifndef LONGHAND_CORE_ENGINE_ENCODE_JOB_H_
#define LONGHAND_CORE_ENGINE_ENCODE_JOB_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/attention/attention.h"
#include "core/chunking/chunker.h"
#include "core/engine/context_pooling.h"
#include "core/engine/encode_types.h"
#include "core/engine/span_pooler.h"
#include "core/engine/working_memory.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "core/pooling/pooler.h"
#include "core/state/chunk_state.h"
#include "core/state/state_codec.h"
#include "core/text/text_stream.h"

namespace longhand {

// What a job takes from the encoder.
struct EncodeJobOptions {
  EncodeOptions encode;  // resolved: nothing left open
  uint64_t max_document_bytes = 0;
  int max_batch_chunks = 0;
  int workers = 1;
};

class EncodeJob {
 public:
  // REQUIRES: options.encode comes from Encoder::ResolveOptions.
  static absl::StatusOr<std::unique_ptr<EncodeJob>> Create(
      std::shared_ptr<const Model> model, const EncodeJobOptions& options,
      WorkingMemory* memory);

  // Takes the next piece. Errors: INVALID_UTF8, TOKEN_ID_OUT_OF_RANGE,
  // MIXED_CONTENT, TEXT_NEEDED, TOKENIZER_MISSING (INVALID_ARGUMENT or
  // FAILED_PRECONDITION), DOCUMENT_TOO_LONG (RESOURCE_EXHAUSTED).
  absl::Status AddText(std::string_view text);
  // Whether `bytes` more of text may come, before any of them are taken.
  absl::Status CheckText(uint64_t bytes);
  absl::Status AddIds(absl::Span<const int32_t> ids);
  // Ends the content. INVALID_UTF8, EMPTY_DOCUMENT.
  absl::Status EndContent();

  // Whether chunks wait whose batch can be computed now, and how many chunks
  // they are.
  bool has_batch() const;
  int waiting_chunks() const;
  int max_batch_chunks() const { return options_.max_batch_chunks; }
  bool content_ended() const { return content_ended_; }

  // Starts the next batch. DOCUMENT_TOO_LONG (RESOURCE_EXHAUSTED) if it needs
  // more memory than the budget has in all, OVERLOADED (UNAVAILABLE) if other
  // documents hold what is missing. REQUIRES: has_batch(), !pass().
  absl::Status StartBatch();
  // The batch in work, or null.
  ForwardPass* pass() { return pass_.get(); }
  // Whether a computed batch has chunks that are not handed over yet, or chunks
  // that waited for the document's end can be now.
  bool has_results() const {
    return (pass_ != nullptr && pass_->done()) ||
           (!held_.empty() && all_computed());
  }
  // Hands the next chunk's results to the sink and keeps its state; with the
  // last one the batch is over. INTERNAL (NUMERIC) if a vector is not finite;
  // INVALID_ARGUMENT (SPAN_EMPTY, SPAN_INVALID). REQUIRES: has_results().
  absl::Status EmitChunk(EncodeSink& sink);

  EncodeProgress progress() const;
  // The summary but for its timings. REQUIRES: content_ended(), no chunks wait.
  EncodeSummary Summarize() const;

 private:
  EncodeJob(std::shared_ptr<const Model> model, const EncodeJobOptions& options,
            WorkingMemory* memory);

  // What of one chunk may have to wait for the document's end; vectors are as
  // they were pooled.
  struct Results {
    ChunkResult chunk;
    std::vector<SpanResult> spans;
  };

  absl::Status CheckKind(bool is_text);
  absl::Status CheckLength(uint64_t more_bytes) const;
  // Sets the reservation to what the document holds plus a batch.
  absl::Status Reserve(uint64_t batch_bytes, int64_t batch_chunks);
  absl::Status ReserveForContent();
  uint64_t ActivationBytes(const Chunk& chunk) const;
  // What comes to the activations of the batch if it is cut into tiles.
  uint64_t TileBytesOfBatch() const;
  uint64_t StateBytes(const Chunk& chunk) const;
  // Of the first `count` chunks that wait.
  uint64_t BytesOfWaiting(size_t count) const;
  void TakeTokens(std::string_view text, const TokenSequence& tokens);
  void TakeChunks();

  bool is_retrieving() const { return retrieve_next_ > 0; }
  bool all_computed() const;
  std::unique_ptr<ForwardPass> MakePass(PassKind kind) const;
  ChunkInput MakeInput(const Chunk& chunk) const;
  void KeepState(int index);
  void DropStatesOutOfReach(int64_t next_token);
  void EndBatch();

  const float* OwnHidden(int index) const;
  absl::Status PoolSpans(int index, const ChunkResult& chunk,
                         std::vector<SpanResult>* spans);
  ChunkResult MakeChunkResult(int index, std::vector<float> pooled);
  TokenResult MakeTokenResult(int index) const;
  std::vector<HeadWeightsResult> MakeHeadWeights(int index) const;
  int64_t visible_chunks() const;
  static uint64_t BytesOf(const Results& results);
  void EmitChunkResult(ChunkResult chunk, EncodeSink& sink) const;
  void EmitDetails(int index, EncodeSink& sink) const;
  void EmitSpans(std::vector<SpanResult> spans, EncodeSink& sink) const;
  void EmitHeld(EncodeSink& sink);
  absl::Status EmitComputed(EncodeSink& sink);
  uint64_t EndByte(const Chunk& chunk) const;
  void DropTokensBefore(int64_t token);

  const std::shared_ptr<const Model> model_;
  const EncodeJobOptions options_;
  std::unique_ptr<const Attention> attention_;
  std::shared_ptr<const StateCodec> codec_;
  std::unique_ptr<Chunker> chunker_;
  std::unique_ptr<const Pooler> pooler_;
  std::optional<TextStream> text_;  // unless loaded without a tokenizer
  StateFingerprint fingerprint_{};
  MemoryReservation memory_;

  enum class Kind { kUnknown, kText, kIds };
  Kind kind_ = Kind::kUnknown;
  bool content_ended_ = false;
  uint64_t received_ids_ = 0;

  // The tokens of the chunks that are not finished; tokens_.ids[0] is token
  // `first_token_` of the document.
  TokenSequence tokens_;
  int64_t first_token_ = 0;
  int64_t received_tokens_ = 0;

  std::vector<Chunk> cut_;  // from the chunker, on their way to waiting_
  std::deque<Chunk> waiting_;
  uint64_t waiting_bytes_ = 0;  // activations and states of all of them
  std::vector<Chunk> batch_;    // in work
  std::unique_ptr<ForwardPass> pass_;
  int emitted_ = 0;  // chunks of the batch that are handed over
  // Two passes: the chunks whose states are made, and how many of them have
  // gone into a second-pass batch.
  std::vector<Chunk> first_pass_;
  size_t retrieve_next_ = 0;

  // Null below first_state_: out of the mechanism's reach.
  std::vector<std::shared_ptr<const ChunkState>> states_;
  size_t first_state_ = 0;
  std::deque<int64_t> state_ends_;  // of the states from first_state_ on
  ContextPooling context_;
  std::optional<SpanPooler> spans_;
  std::deque<Results> held_;  // until the document's end
  uint64_t held_bytes_ = 0;
  PoolState pooled_document_;
  uint64_t state_bytes_ = 0;
  uint64_t peak_working_bytes_ = 0;
  int64_t num_chunks_ = 0;       // finished
  uint64_t encoded_rows_ = 0;    // computed, in either pass
  uint64_t encoded_tokens_ = 0;  // finished, special tokens not counted
  uint64_t next_begin_byte_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_ENCODE_JOB_H_
