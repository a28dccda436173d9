// VectorCache: the vectors of one variant in a file, so that figures can be
// computed again without encoding. The key names everything that they depend
// on but the code itself: callers compare one document anew. Not thread-safe.
#ifndef LONGHAND_BENCH_QUALITY_VECTOR_CACHE_H_
#define LONGHAND_BENCH_QUALITY_VECTOR_CACHE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "bench/quality/document_encoder.h"

namespace longhand::quality {

class VectorCache {
 public:
  // Files go into `directory`, which must exist.
  explicit VectorCache(std::string directory)
      : directory_(std::move(directory)) {}

  // What was stored under `key`, or nullopt if there is none or the file is
  // damaged.
  std::optional<std::vector<DocumentVectors>> Load(std::string_view key) const;

  // INTERNAL (FILE_UNWRITABLE).
  absl::Status Store(std::string_view key,
                     const std::vector<DocumentVectors>& documents) const;

 private:
  std::string PathOf(std::string_view key) const;

  std::string directory_;
};

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_VECTOR_CACHE_H_
