// What one very long document costs: speed along the document, memory against
// the bytes of its chunk states, and speed against independent chunks. One
// thread at a time.
#ifndef LONGHAND_BENCH_DOCUMENTS_LONG_DOCUMENT_H_
#define LONGHAND_BENCH_DOCUMENTS_LONG_DOCUMENT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "bench/documents/document_feed.h"
#include "bench/documents/document_run.h"
#include "core/engine/encoder.h"

namespace longhand::documents {

struct LongDocumentOptions {
  EncodeOptions encode;
  ContentKind kind = ContentKind::kText;
  int64_t tokens = 1'000'000;
};

// Tokens per second between two tokens of the document.
struct StretchSpeed {
  uint64_t end_token = 0;
  double per_second = 0;
  double per_cpu_second = 0;  // of all threads
};

// In bytes. `loaded` is the resident memory with a model and an idle encoder.
struct MemoryUse {
  uint64_t loaded = 0;
  uint64_t warm = 0;  // after a short document
  uint64_t peak = 0;  // while the long document was encoded
  uint64_t states = 0;

  // What a short document leaves.
  int64_t workspace() const { return int64_t(warm) - int64_t(loaded); }
  int64_t growth() const { return int64_t(peak) - int64_t(warm); }
  // Whether everything since `loaded` is at most 1.1 times the states and
  // `workspace_limit` more.
  bool IsWithin(uint64_t workspace_limit) const;
};

struct LongDocumentResult {
  DocumentRun run;
  MemoryUse memory;
};

// Encodes a short document, then the long one. `on_stretch` is called, mostly
// on a worker thread, as each tenth of the document has been computed; batches
// of chunks are not divided. Needs an encoder that was just made.
absl::StatusOr<LongDocumentResult> MeasureLongDocument(
    Encoder& encoder, const SourceText& source,
    const LongDocumentOptions& options,
    std::function<void(const StretchSpeed&)> on_stretch);

// Speed of two ways to encode the same document, in alternate runs.
struct SpeedRatio {
  double wall = 0;  // median over the rounds
  double cpu = 0;
};

// The speed with options.encode over that with the mechanism "independent".
// REQUIRES: rounds >= 1.
absl::StatusOr<SpeedRatio> CompareWithIndependent(
    Encoder& encoder, const SourceText& source,
    const LongDocumentOptions& options, int rounds);

}  // namespace longhand::documents

#endif  // LONGHAND_BENCH_DOCUMENTS_LONG_DOCUMENT_H_
