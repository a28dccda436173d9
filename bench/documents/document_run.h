// Encoding one document through the public Encoder, with its time. Called from
// one thread at a time; the encoder's workers do the work.
#ifndef LONGHAND_BENCH_DOCUMENTS_DOCUMENT_RUN_H_
#define LONGHAND_BENCH_DOCUMENTS_DOCUMENT_RUN_H_

#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bench/documents/document_feed.h"
#include "core/engine/encoder.h"

namespace longhand::documents {

// Both since some moment. On a machine that others use too, processor time
// compares better than wall time.
struct ElapsedTime {
  absl::Duration wall;
  absl::Duration cpu;  // of all threads of this process
};

class Stopwatch {
 public:
  Stopwatch() : start_(Now()) {}
  ElapsedTime Elapsed() const;

 private:
  static ElapsedTime Now();

  ElapsedTime start_;
};

struct DocumentRun {
  EncodeSummary summary;
  ElapsedTime time;  // from Open to the result
};

// Called on worker threads, one call at a time; must not block. Any may be
// null.
struct RunCallbacks {
  std::function<void(ChunkResult)> on_chunk;  // in document order
  std::function<void(SpanResult)> on_span;
  // While work is done.
  std::function<void(const EncodeProgress&)> on_progress;
};

// Feeds a document as fast as the encoder takes it. Open's errors and the
// document's.
absl::StatusOr<DocumentRun> EncodeDocument(Encoder& encoder,
                                           const EncodeOptions& options,
                                           DocumentFeed feed,
                                           RunCallbacks callbacks = {});

}  // namespace longhand::documents

#endif  // LONGHAND_BENCH_DOCUMENTS_DOCUMENT_RUN_H_
