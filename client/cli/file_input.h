// FileInput: the document of a command, from a file or from standard input. It
// keeps what it read within reach: a regular file stays open, anything else is
// copied to an unlinked temporary file as it is read. One thread reads at a
// time; Stop may come from another.
#ifndef LONGHAND_CLIENT_CLI_FILE_INPUT_H_
#define LONGHAND_CLIENT_CLI_FILE_INPUT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/content_source.h"

namespace longhand::client {

class FileInput : public ContentSource {
 public:
  // "-" is standard input. Errors have reasons that begin with INPUT_.
  static absl::StatusOr<std::unique_ptr<FileInput>> Open(
      const std::string& path);
  ~FileInput() override;

  absl::StatusOr<size_t> Read(absl::Span<char> buffer) override;
  bool Rewind() override;
  void Stop() override;

  // Bytes in all, where they are known before the end (regular files).
  std::optional<uint64_t> size() const { return size_; }

  // OUT_OF_RANGE (INPUT_TRUNCATED) if the file has become shorter than what was
  // read of it.
  absl::Status CheckNotTruncated() const;

  // The path, or "standard input".
  const std::string& name() const { return name_; }

  // Up to `count` bytes from `offset` on, of what was read already.
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t count) const;

  // The rest. INPUT_TOO_LONG if that is more than `limit_bytes`; `advice` then
  // ends the message.
  absl::StatusOr<std::string> ReadAll(uint64_t limit_bytes,
                                      absl::string_view advice);

 private:
  FileInput(int fd, std::string name);
  absl::Status Inspect();
  absl::StatusOr<size_t> ReadNew(absl::Span<char> buffer);
  absl::Status OpenSpool();
  absl::Status Spool(absl::string_view data);

  const int fd_;
  const std::string name_;
  std::optional<uint64_t> size_;
  bool regular_ = false;
  uint64_t base_ = 0;      // where the document begins in a regular file
  uint64_t position_ = 0;  // in the document
  int spool_fd_ = -1;      // of input that is not a regular file
  uint64_t spooled_ = 0;   // bytes in it
  int stop_fd_ = -1;
};

// Ids from a JSON array or separated by white space. INPUT_INVALID otherwise.
absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(absl::string_view text);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_FILE_INPUT_H_
