// DocumentEncoder: what a session needs of the model under one set of options:
// tokens, chunks, states, vectors. The seam between the protocol of sessions
// and the computation: tests put a chain of hashes here. Immutable; safe from
// many threads. Calls that compute block the caller until the encoder's workers
// are done, so they must not come from a worker.
#ifndef LONGHAND_CORE_SESSION_DOCUMENT_ENCODER_H_
#define LONGHAND_CORE_SESSION_DOCUMENT_ENCODER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/chunking/chunker.h"
#include "core/engine/encode_types.h"
#include "core/store/chunk_record.h"
#include "core/store/session_head.h"
#include "core/store/session_store.h"
#include "core/text/text_stream.h"

namespace longhand {

// When a call that computes must stop: checked between chunks.
struct StopCondition {
  absl::Time deadline = absl::InfiniteFuture();
  // Set by another thread; may be null.
  const std::atomic<bool>* cancelled = nullptr;

  // DEADLINE_EXCEEDED or CANCELLED.
  absl::Status Check() const;
};

// One chunk to be computed.
struct ChunkWork {
  Chunk place;
  std::vector<int32_t> window_ids;  // of [place.window_begin, window_end)
  ChunkKey key{};
};

// A question put to a document.
struct Question {
  std::vector<int32_t> ids;  // special tokens not counted
};
struct Answer {
  // Of length 1 for models that normalise; no chunk's vector is mixed in.
  std::vector<float> vector;         // [hidden], in the document's context
  std::vector<float> own_vector;     // [hidden], of the question alone
  std::vector<float> chunk_weights;  // [chunks]: its retrieval, sum 1 or all 0
};

// What an encoder keeps of one document's chunks so that the next ones cost
// less. The encoder checks it against the chunks whenever it uses it.
class PastIndex {
 public:
  virtual ~PastIndex() = default;
  virtual uint64_t bytes() const = 0;  // in memory
};

// Where the versions of a document keep their index. Thread-safe: who needs it
// takes it out, and who finds none does without.
class PastIndexSlot {
 public:
  std::unique_ptr<PastIndex> Take() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return std::move(index_);
  }
  // In place of the one that is there.
  void Put(std::unique_ptr<PastIndex> index) ABSL_LOCKS_EXCLUDED(mu_) {
    bytes_ = index == nullptr ? 0 : index->bytes();
    absl::MutexLock lock(&mu_);
    index_.swap(index);
  }
  // Of the one that was put here last.
  uint64_t bytes() const { return bytes_; }

 private:
  std::atomic<uint64_t> bytes_{0};
  absl::Mutex mu_;
  std::unique_ptr<PastIndex> index_ ABSL_GUARDED_BY(mu_);
};

// The chunks of a document before those that are to be computed, in order.
struct Past {
  absl::Span<const std::shared_ptr<const ChunkRecord>> chunks;
  PastIndexSlot* index = nullptr;  // null: none is kept
};

class DocumentEncoder : public StateDecoder {
 public:
  virtual const EncodeOptions& options() const = 0;
  // Everything that the states depend on, in a fixed order.
  virtual const std::vector<FingerprintField>& fingerprint() const = 0;
  virtual int hidden_size() const = 0;
  virtual bool normalize() const = 0;

  virtual std::unique_ptr<Chunker> MakeChunker() const = 0;
  // Makes tokens of the text from a restart point on. FAILED_PRECONDITION
  // (TOKENIZER_MISSING).
  virtual absl::StatusOr<TextStream> MakeTextStream(
      uint64_t restart_byte) const = 0;
  // INVALID_ARGUMENT (TOKEN_ID_OUT_OF_RANGE); `first` is ids[0]'s place in the
  // document.
  virtual absl::Status CheckIds(absl::Span<const int32_t> ids,
                                uint64_t first) const = 0;

  // Whether what is made of a chunk depends on the chunks before it (causal),
  // so that its key continues theirs.
  virtual bool is_chained() const = 0;
  // Whether vectors come from a second look at all states (two_pass).
  virtual bool needs_retrieval() const = 0;

  // The key of a chunk whose predecessor has `previous` (zeros for the first,
  // and ignored unless is_chained()). `salt` keeps tenants apart.
  virtual ChunkKey MakeKey(std::string_view salt, const ChunkKey& previous,
                           const Chunk& place,
                           absl::Span<const int32_t> window_ids) const = 0;

  // Bytes that Compute of one chunk with so many tokens adds to the session.
  virtual uint64_t EncodedBytes(int own_tokens) const = 0;
  // The most chunks that Compute takes at once.
  virtual int max_batch_chunks() const = 0;

  // Computes consecutive chunks. All or nothing. The results carry no `charge`.
  // UNAVAILABLE (OVERLOADED), INTERNAL (NUMERIC), DEADLINE_EXCEEDED, CANCELLED.
  virtual absl::StatusOr<std::vector<std::shared_ptr<EncodedChunk>>> Compute(
      const Past& past, absl::Span<const ChunkWork> chunks,
      const StopCondition& stop) const = 0;

  // The pooled vectors [chunks, hidden] of all `chunks` of a document, from
  // their states. A window that reaches beyond the last one ends with it.
  // REQUIRES: needs_retrieval().
  virtual absl::StatusOr<std::vector<float>> Retrieve(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
      const StopCondition& stop) const = 0;

  // Each on its own against all `chunks`; nothing of it stays.
  // INVALID_ARGUMENT (QUESTION_TOO_LONG) if one is longer than a chunk,
  // (QUESTION_EMPTY), and as CheckIds.
  virtual absl::StatusOr<std::vector<Answer>> Ask(
      absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
      absl::Span<const Question> questions,
      const StopCondition& stop) const = 0;
};

// Makes DocumentEncoders: one per model. Thread-safe.
class SessionModel {
 public:
  virtual ~SessionModel() = default;

  // Fills in defaults and validates. Sessions default to document_weight 0.
  // INVALID_ARGUMENT as Encoder::ResolveOptions, and
  // (DOCUMENT_WEIGHT_IN_SESSION) for another document_weight,
  // (OUTPUT_UNAVAILABLE) for spans, token vectors and weights;
  // FAILED_PRECONDITION (NOT_STREAMABLE) for visibilities and mechanisms whose
  // chunks depend on what follows, naming those that do not.
  virtual absl::StatusOr<EncodeOptions> ResolveOptions(
      const EncodeOptions& options) const = 0;
  // REQUIRES: resolved options. FAILED_PRECONDITION if this model does not take
  // them (they may come from a store).
  virtual absl::StatusOr<std::shared_ptr<const DocumentEncoder>> Open(
      const EncodeOptions& resolved) const = 0;
};

// OK, or FAILED_PRECONDITION (FINGERPRINT_MISMATCH, metadata "field") naming
// the first field that differs, without its values.
absl::Status CheckFingerprint(const std::vector<FingerprintField>& ours,
                              const std::vector<FingerprintField>& theirs);

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_DOCUMENT_ENCODER_H_
