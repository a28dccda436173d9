// Encoding many documents through the public Encoder, as a program that links
// the library does it. One thread at a time; owned by the caller.
#ifndef LONGHAND_BENCH_QUALITY_DOCUMENT_ENCODER_H_
#define LONGHAND_BENCH_QUALITY_DOCUMENT_ENCODER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "bench/quality/text_units.h"
#include "core/engine/encoder.h"

namespace longhand::quality {

// The chunks of one document.
struct DocumentVectors {
  std::vector<ByteRange> spans;  // [chunks], those that the encoder reports
  std::vector<float> vectors;    // [chunks, hidden], L2 norm 1
  uint64_t encoded_tokens = 0;   // rows computed
};

class DocumentEncoder {
 public:
  // Encoder::Create's errors.
  static absl::StatusOr<std::unique_ptr<DocumentEncoder>> Create(
      std::shared_ptr<const Model> model, int workers);

  // [texts]. Several documents are open at a time, so that all workers have
  // work. The first error ends it, with the number of the text.
  absl::StatusOr<std::vector<DocumentVectors>> Encode(
      absl::Span<const std::string> texts, const EncodeOptions& options);

  // Each text as one chunk of its own: queries, and chunks with something in
  // front. INVALID_ARGUMENT (TEXT_TOO_LONG) if one makes two chunks.
  absl::StatusOr<std::vector<DocumentVectors>> EncodeWhole(
      absl::Span<const std::string> texts, const EncodeOptions& options);

  const Encoder& encoder() const { return *encoder_; }

 private:
  explicit DocumentEncoder(std::unique_ptr<Encoder> encoder)
      : encoder_(std::move(encoder)) {}

  std::unique_ptr<Encoder> encoder_;
};

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_DOCUMENT_ENCODER_H_
