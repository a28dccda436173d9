#include "client/cli/file_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/client_error.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

absl::Status OpenFailed(const std::string& path) {
  return MakeErrnoError(errno, "OUTPUT_OPEN_FAILED",
                        absl::StrCat("cannot write ", path));
}

// mkostemp makes files that only their owner can read.
void ApplyUmask(int fd) {
  const mode_t mask = umask(0);
  umask(mask);
  // Best effort: stricter permissions than usual lose nothing.
  static_cast<void>(!fchmod(fd, 0666 & ~mask));
}

}  // namespace

FileOutput::FileOutput(int fd, std::string name, std::string temporary)
    : fd_(fd), name_(std::move(name)), temporary_(std::move(temporary)) {}

FileOutput::~FileOutput() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  if (fd_ > STDERR_FILENO) close(fd_);
}

absl::StatusOr<std::unique_ptr<FileOutput>> FileOutput::Open(
    const std::string& path) {
  if (path.empty() || path == "-") {
    return std::unique_ptr<FileOutput>(
        new FileOutput(STDOUT_FILENO, "standard output", ""));
  }
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return OpenFailed(path);
    return std::unique_ptr<FileOutput>(new FileOutput(fd, path, ""));
  }
  std::string temporary = absl::StrCat(path, ".XXXXXX");
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return OpenFailed(path);
  ApplyUmask(fd);
  return std::unique_ptr<FileOutput>(new FileOutput(fd, path, temporary));
}

absl::Status FileOutput::Failed() const {
  if (errno == EPIPE) {
    return MakeClientError(absl::StatusCode::kCancelled, kOutputClosedReason,
                           absl::StrCat("nobody reads ", name_));
  }
  return MakeErrnoError(errno, "OUTPUT_WRITE_FAILED",
                        absl::StrCat("cannot write ", name_));
}

absl::Status FileOutput::WriteOut(absl::string_view data) {
  while (!data.empty()) {
    const ssize_t count = write(fd_, data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed();
    data.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::Status FileOutput::Write(absl::string_view data) {
  buffer_.append(data.data(), data.size());
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
}

absl::Status FileOutput::Flush() {
  const std::string data = std::exchange(buffer_, {});
  return WriteOut(data);
}

absl::Status FileOutput::PatchFront(absl::string_view data) {
  LH_CLIENT_RETURN_IF_ERROR(Flush());
  const ssize_t count = pwrite(fd_, data.data(), data.size(), 0);
  return count == static_cast<ssize_t>(data.size()) ? absl::OkStatus()
                                                    : Failed();
}

absl::Status FileOutput::Commit() {
  LH_CLIENT_RETURN_IF_ERROR(Flush());
  if (fd_ > STDERR_FILENO) {
    // Some file systems report a full disk only here.
    if (close(std::exchange(fd_, -1)) != 0) return Failed();
  }
  if (temporary_.empty()) return absl::OkStatus();
  if (std::rename(temporary_.c_str(), name_.c_str()) != 0) return Failed();
  temporary_.clear();
  return absl::OkStatus();
}

}  // namespace longhand::client
