// SafetensorsFile: a weight file mapped read-only into memory, its header fully
// checked before anything else looks at it. Constant after Open; safe from many
// threads. Views into it must not outlive it, and the file must not be cut
// while it is open: copy out what is needed, then drop it.
#ifndef LONGHAND_CORE_WEIGHTS_SAFETENSORS_H_
#define LONGHAND_CORE_WEIGHTS_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/tensor/dtype.h"
#include "core/tensor/tensor.h"

namespace longhand {

// Limits on what a header may say. The first is the format's own.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr size_t kMaxSafetensorsTensors = 65'536;
inline constexpr size_t kMaxSafetensorsNameBytes = 1'024;

// One tensor as the header describes it.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0;  // byte offsets from the start of the file
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of their data
  std::map<std::string, std::string> metadata;
};

// Checks the whole of `file` (only its header is looked at, its length counts)
// and returns what is in it. INVALID_ARGUMENT (WEIGHTS_INVALID) names the rule
// that is broken and what to do. Every entry of an OK result lies inside
// `file`, has end - begin == bytes of its type x elements of its shape, and
// shares no byte with another.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::Span<const uint8_t> file);

class SafetensorsFile {
 public:
  // Maps `path`, which must be a regular file. NOT_FOUND (WEIGHTS_MISSING) if
  // there is none, INVALID_ARGUMENT (WEIGHTS_INVALID) if it cannot be read or
  // breaks a rule of the format; both name the path.
  static absl::StatusOr<std::unique_ptr<const SafetensorsFile>> Open(
      const std::string& path);

  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  // The tensor called `name`, or null. Lives as long as the file.
  const TensorView* Find(std::string_view name) const;

  // Every tensor, in the order of the data in the file.
  const std::vector<std::string>& names() const { return names_; }

  // The "__metadata__" of the header.
  const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }

  // The mapped file, header included.
  absl::Span<const uint8_t> bytes() const {
    return {static_cast<const uint8_t*>(mapping_), size_};
  }
  uint64_t total_bytes() const { return size_; }
  const std::string& path() const { return path_; }

  // Tells the kernel that the pages read so far may go; they are read again
  // from the file when touched. Never fails.
  void DropPages() const;

 private:
  SafetensorsFile(std::string path, void* mapping, size_t size)
      : path_(std::move(path)), mapping_(mapping), size_(size) {}

  std::string path_;
  void* mapping_;  // owned, size_ bytes
  size_t size_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> metadata_;
  absl::flat_hash_map<std::string, TensorView> tensors_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_WEIGHTS_SAFETENSORS_H_
