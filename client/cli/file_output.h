// FileOutput: where a command's results go. Belongs to one thread. A regular
// file appears under its name only when Commit succeeds, so a failed run leaves
// the old one alone.
#ifndef LONGHAND_CLIENT_CLI_FILE_OUTPUT_H_
#define LONGHAND_CLIENT_CLI_FILE_OUTPUT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace longhand::client {

class FileOutput {
 public:
  // Empty or "-": standard output. What exists and is no regular file (a pipe,
  // /dev/null) is written directly. Errors have reasons that begin with
  // OUTPUT_; writing to a pipe that nobody reads is OUTPUT_CLOSED.
  static absl::StatusOr<std::unique_ptr<FileOutput>> Open(
      const std::string& path);
  // Without Commit: removes what was written.
  ~FileOutput();

  absl::Status Write(absl::string_view data);
  absl::Status Flush();
  // Replaces bytes that were written. REQUIRES: can_patch().
  absl::Status PatchFront(absl::string_view data);
  // The last call: everything is in its place.
  absl::Status Commit();

  // Whether PatchFront works: a regular file that Open made.
  bool can_patch() const { return !temporary_.empty(); }
  int fd() const { return fd_; }

 private:
  FileOutput(int fd, std::string name, std::string temporary);
  absl::Status Failed() const;
  absl::Status WriteOut(absl::string_view data);

  int fd_;
  const std::string name_;
  std::string temporary_;  // renamed to name_ by Commit; empty: none
  std::string buffer_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_FILE_OUTPUT_H_
