// Reading files that an operator names. Only regular files are opened: a FIFO
// or a device would block or never end. Pure functions apart from the file
// system; safe from any thread.
#ifndef LONGHAND_CORE_BASE_FILE_H_
#define LONGHAND_CORE_BASE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace longhand {

// Owns a file descriptor; move-only.
class UniqueFd {
 public:
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd();
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  UniqueFd& operator=(UniqueFd&&) = delete;

  int get() const { return fd_; }

 private:
  int fd_;
};

struct RegularFile {
  UniqueFd fd;
  // As fstat reports it; 0 for the files of /proc.
  uint64_t size_bytes = 0;
};

// Opens `path` for reading. NOT_FOUND (FILE_MISSING) if there is no such file,
// INVALID_ARGUMENT (FILE_INVALID) if it is not a regular file or may not be
// read. The message names the path.
absl::StatusOr<RegularFile> OpenRegularFile(const std::string& path);

// All of `path`. As OpenRegularFile, and INVALID_ARGUMENT (FILE_INVALID) if it
// is longer than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t max_bytes);

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_FILE_H_
