// Encoder: the one class that servers, benches and tools call. It owns the
// worker threads and shares an immutable Model. Thread-safe; no call blocks on
// computation. A document is opened, fed and finished; a document given whole
// takes the same path.
#ifndef LONGHAND_CORE_ENGINE_ENCODER_H_
#define LONGHAND_CORE_ENGINE_ENCODER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encode_types.h"
#include "core/model/model.h"
#include "core/text/token_sequence.h"

namespace longhand {

class ForwardPass;

// What a call of Encoder::RunPass may take.
struct PassLimits {
  absl::Time deadline = absl::InfiniteFuture();
  // Set by another thread; may be null.
  const std::atomic<bool>* cancelled = nullptr;
  // Activations that the pass holds, of the encoder's working memory.
  uint64_t working_bytes = 0;
};

struct EncoderOptions {
  // Threads that compute. 0: as many as the CPU affinity and the cgroup allow.
  int workers = 0;
  // Documents that may be open at one time; Open refuses more.
  int max_concurrent_documents = 64;
  // Bytes of text in one document. Token input is limited by the same number at
  // four bytes a token.
  uint64_t max_document_bytes = uint64_t{64} << 20;
  // Bytes of chunk states and activations that all open documents together may
  // hold. 0: half of the memory that the machine or the cgroup allows.
  uint64_t max_working_bytes = 0;
  // Bytes of content that an open document may hold unprocessed before Append's
  // `consumed` callback is withheld.
  uint64_t max_pending_bytes = uint64_t{1} << 20;
  // Chunks of one document that are computed together in causal documents.
  // More: better use of the states that are read; fewer: finer cancellation.
  int max_batch_chunks = 32;
  // Applied where a request leaves a field open. Its own open fields take the
  // built-in default.
  EncodeOptions defaults;
};

// One open document: an anonymous session. Thread-safe. The last reference may
// be dropped at any time; an unfinished document is then cancelled.
class Document {
 public:
  virtual ~Document() = default;

  // Takes the next piece of UTF-8 text or of token ids. `consumed`, if given,
  // is called once the document has room for more, possibly before Append
  // returns, possibly from a worker thread, and also when the document has
  // failed. Feed one piece at a time; mixing text and ids is INVALID_ARGUMENT
  // (reported through OnDone).
  virtual void Append(std::string text,
                      absl::AnyInvocable<void()> consumed = nullptr) = 0;
  virtual void AppendIds(std::vector<int32_t> ids,
                         absl::AnyInvocable<void()> consumed = nullptr) = 0;

  // No more content comes. OnDone follows.
  virtual void Finish() = 0;

  // Ends the document early with `why` (not OK): work stops at the next chunk.
  // OnDone follows with `why` unless it was called already.
  virtual void Cancel(absl::Status why) = 0;

  // Tells a document whose sink refused (CanAccept) to ask again.
  virtual void ResumeOutput() = 0;
};

class Encoder {
 public:
  // Starts the workers. INVALID_ARGUMENT for options that contradict each
  // other or the model.
  static absl::StatusOr<std::unique_ptr<Encoder>> Create(
      std::shared_ptr<const Model> model, EncoderOptions options);

  // Cancels open documents (UNAVAILABLE, reason SHUTTING_DOWN), waits for the
  // workers.
  virtual ~Encoder() = default;

  // Opens a document. Work stops with DEADLINE_EXCEEDED at the first chunk
  // boundary past `deadline`; a document that only waits for content is the
  // caller's to cancel. UNAVAILABLE (reason OVERLOADED) if too many are
  // open; INVALID_ARGUMENT if the options are not for this model. After an
  // error `sink` is not called.
  virtual absl::StatusOr<std::shared_ptr<Document>> Open(
      const EncodeOptions& options, absl::Time deadline,
      std::shared_ptr<EncodeSink> sink) = 0;

  // Runs `work` on a worker thread, between the documents' steps: for what is
  // too long for the caller's thread, such as making tokens.
  virtual void Run(absl::AnyInvocable<void()> work) = 0;

  // Runs a whole pass on the workers, between the documents' steps, and blocks
  // until it is done: not to be called from a worker. DEADLINE_EXCEEDED,
  // CANCELLED: noticed between items, and the pass is then useless; UNAVAILABLE
  // (OVERLOADED) if the working memory has not that much left.
  virtual absl::Status RunPass(ForwardPass& pass, const PassLimits& limits) = 0;

  // Fills in defaults and validates. Open does this too.
  virtual absl::StatusOr<EncodeOptions> ResolveOptions(
      const EncodeOptions& options) const = 0;

  virtual const Model& model() const = 0;
  // As in effect: nothing in it is 0 for "choose".
  virtual const EncoderOptions& options() const = 0;
  // Documents that are open now.
  virtual int open_documents() const = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_ENCODER_H_
