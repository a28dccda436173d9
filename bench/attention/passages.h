// Passages: the vectors of equal stretches of a document's bytes, by which
// encodings of one document are compared however they cut it into chunks.
// Plain values and functions; one thread at a time.
#ifndef LONGHAND_BENCH_ATTENTION_PASSAGES_H_
#define LONGHAND_BENCH_ATTENTION_PASSAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/encode_types.h"

namespace longhand::attention {

inline constexpr uint64_t kPassageBytes = 512;

// Tiles a document; the last one is what is left.
std::vector<ByteSpan> PassagesOf(uint64_t document_bytes);

struct Passages {
  int size = 0;                // of a vector
  std::vector<float> vectors;  // [passages, size], in document order

  int64_t count() const {
    return size == 0 ? 0 : int64_t(vectors.size()) / size;
  }
};

// A file of numbers, for another process of the same machine. INTERNAL
// (FILE_UNWRITABLE), NOT_FOUND, INVALID_ARGUMENT (PASSAGES_INVALID).
absl::Status WritePassages(const std::string& path, const Passages& passages);
absl::StatusOr<Passages> ReadPassages(const std::string& path);

// Cosines between the vectors of one passage in both.
struct Agreement {
  double mean_cosine = 0;
  double min_cosine = 0;
};
// INVALID_ARGUMENT (PASSAGES_INVALID) if they are not of one document.
absl::StatusOr<Agreement> Compare(const Passages& a, const Passages& b);

}  // namespace longhand::attention

#endif  // LONGHAND_BENCH_ATTENTION_PASSAGES_H_
