// Encoding many documents at once through the public Encoder, with the time
// that all of them take. Called from one thread at a time; the encoder's
// workers do the work.
#ifndef LONGHAND_BENCH_PEERS_DOCUMENT_BATCH_H_
#define LONGHAND_BENCH_PEERS_DOCUMENT_BATCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/documents/document_run.h"
#include "bench/peers/token_documents.h"
#include "core/engine/encoder.h"

namespace longhand::peers {

struct BatchResult {
  // From the first Open to the last OnDone.
  documents::ElapsedTime time;
  uint64_t encoded_tokens = 0;  // rows computed, special tokens included
  uint64_t content_tokens = 0;
  int64_t chunks = 0;
  std::string mechanism;  // as applied
  uint64_t state_bytes = 0;
  uint64_t peak_working_bytes = 0;  // the largest of one document
  // [documents or chunks, size], in order of the documents: of the documents
  // if options.document_vector, else of their chunks.
  std::vector<float> vectors;
};

// Opens, feeds and finishes every document, then waits for all of them. Open's
// errors and those of the first document that failed.
absl::StatusOr<BatchResult> EncodeBatch(Encoder& encoder,
                                        const EncodeOptions& options,
                                        const TokenDocuments& batch);

}  // namespace longhand::peers

#endif  // LONGHAND_BENCH_PEERS_DOCUMENT_BATCH_H_
