#include "client/cli/file_input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/client_error.h"
#include "client/status_macros.h"
#include "nlohmann/json.hpp"

namespace longhand::client {
namespace {

constexpr size_t kReadBytes = 64 << 10;

absl::Status ReadFailed(const std::string& name) {
  return MakeErrnoError(errno, "INPUT_READ_FAILED",
                        absl::StrCat("cannot read ", name));
}

absl::Status InvalidIds(absl::string_view message) {
  return MakeClientError(
      absl::StatusCode::kInvalidArgument, "INPUT_INVALID",
      absl::StrCat(message,
                   "; give token ids as a JSON array such as "
                   "[7592, 2088] or separated by white space"));
}

absl::StatusOr<std::vector<uint32_t>> ParseJsonIds(absl::string_view text) {
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr,
                                          /*allow_exceptions=*/false);
  if (!json.is_array()) return InvalidIds("this is not a JSON array");
  std::vector<uint32_t> ids;
  for (const auto& value : json) {
    if (!value.is_number_unsigned() ||
        value.get<uint64_t>() > std::numeric_limits<uint32_t>::max()) {
      return InvalidIds(
          absl::StrCat("element ", ids.size(), " is not a token id"));
    }
    ids.push_back(value.get<uint32_t>());
  }
  return ids;
}

}  // namespace

FileInput::FileInput(int fd, std::string name)
    : fd_(fd),
      name_(std::move(name)),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

FileInput::~FileInput() {
  if (fd_ != STDIN_FILENO) close(fd_);
  if (spool_fd_ >= 0) close(spool_fd_);
  close(stop_fd_);
}

absl::StatusOr<std::unique_ptr<FileInput>> FileInput::Open(
    const std::string& path) {
  const bool is_stdin = path == "-";
  const int fd =
      is_stdin ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return MakeErrnoError(errno, "INPUT_OPEN_FAILED",
                          absl::StrCat("cannot open ", path));
  }
  std::unique_ptr<FileInput> input(
      new FileInput(fd, is_stdin ? "standard input" : path));
  LH_CLIENT_RETURN_IF_ERROR(input->Inspect());
  return input;
}

absl::Status FileInput::Inspect() {
  struct stat info = {};
  if (fstat(fd_, &info) != 0) return ReadFailed(name_);
  if (S_ISDIR(info.st_mode)) {
    return MakeClientError(
        absl::StatusCode::kInvalidArgument, "INPUT_IS_DIRECTORY",
        absl::StrCat(name_, " is a directory; name one file"));
  }
  regular_ = S_ISREG(info.st_mode);
  // Files of /proc say that they are empty and are not.
  if (regular_ && info.st_size == 0) regular_ = false;
  if (!regular_) return OpenSpool();
  const off_t start = lseek(fd_, 0, SEEK_CUR);
  base_ = start > 0 ? static_cast<uint64_t>(start) : 0;
  const uint64_t end = static_cast<uint64_t>(info.st_size);
  size_ = end > base_ ? end - base_ : 0;
  return absl::OkStatus();
}

absl::Status FileInput::OpenSpool() {
  const char* folder = std::getenv("TMPDIR");
  std::string path =
      absl::StrCat(folder != nullptr && *folder != '\0' ? folder : P_tmpdir,
                   "/longhand-XXXXXX");
  spool_fd_ = mkostemp(path.data(), O_CLOEXEC);
  if (spool_fd_ < 0) {
    return MakeErrnoError(errno, "INPUT_SPOOL_FAILED",
                          absl::StrCat("cannot make a temporary file as ", path,
                                       " (set TMPDIR)"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

absl::Status FileInput::Spool(absl::string_view data) {
  while (!data.empty()) {
    const ssize_t count = pwrite(spool_fd_, data.data(), data.size(),
                                 static_cast<off_t>(spooled_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return MakeErrnoError(errno, "INPUT_SPOOL_FAILED",
                            "cannot write to the temporary file that keeps the "
                            "input (set TMPDIR)");
    }
    spooled_ += static_cast<uint64_t>(count);
    data.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> FileInput::ReadNew(absl::Span<char> buffer) {
  for (;;) {
    pollfd fds[] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return ReadFailed(name_);
    }
    if (fds[1].revents != 0) {
      return MakeClientError(absl::StatusCode::kCancelled, "INPUT_STOPPED",
                             absl::StrCat("stopped reading ", name_));
    }
    const ssize_t count = read(fd_, buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return ReadFailed(name_);
    LH_CLIENT_RETURN_IF_ERROR(
        Spool({buffer.data(), static_cast<size_t>(count)}));
    return static_cast<size_t>(count);
  }
}

absl::StatusOr<size_t> FileInput::Read(absl::Span<char> buffer) {
  size_t count = 0;
  if (regular_ || position_ < spooled_) {
    LH_CLIENT_ASSIGN_OR_RETURN(const std::string data,
                               ReadAt(position_, buffer.size()));
    count = data.copy(buffer.data(), buffer.size());
  } else {
    LH_CLIENT_ASSIGN_OR_RETURN(count, ReadNew(buffer));
  }
  position_ += count;
  return count;
}

absl::StatusOr<std::string> FileInput::ReadAt(uint64_t offset,
                                              size_t count) const {
  std::string data(count, '\0');
  const int fd = regular_ ? fd_ : spool_fd_;
  for (;;) {
    const ssize_t got =
        pread(fd, data.data(), count, static_cast<off_t>(base_ + offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ReadFailed(name_);
    data.resize(static_cast<size_t>(got));
    return data;
  }
}

absl::Status FileInput::CheckNotTruncated() const {
  struct stat info = {};
  if (fstat(fd_, &info) != 0) return ReadFailed(name_);
  if (!S_ISREG(info.st_mode) ||
      base_ + position_ <= static_cast<uint64_t>(info.st_size) || !regular_) {
    return absl::OkStatus();
  }
  return MakeClientError(
      absl::StatusCode::kOutOfRange, "INPUT_TRUNCATED",
      absl::StrCat(name_,
                   " has become shorter than what was read of it; was it "
                   "rotated? Follow the new file with --file-offset end"));
}

bool FileInput::Rewind() {
  position_ = 0;
  eventfd_t value = 0;
  eventfd_read(stop_fd_, &value);  // non-blocking; nothing to read is fine
  return true;
}

void FileInput::Stop() { eventfd_write(stop_fd_, 1); }

absl::StatusOr<std::string> FileInput::ReadAll(uint64_t limit_bytes,
                                               absl::string_view advice) {
  std::string text;
  for (;;) {
    const size_t old_size = text.size();
    text.resize(old_size + kReadBytes);
    LH_CLIENT_ASSIGN_OR_RETURN(
        const size_t count,
        Read(absl::MakeSpan(text.data() + old_size, kReadBytes)));
    text.resize(old_size + count);
    if (count == 0) return text;
    if (text.size() > limit_bytes) {
      return MakeClientError(
          absl::StatusCode::kOutOfRange, "INPUT_TOO_LONG",
          absl::StrCat(name_, " is longer than ", limit_bytes,
                       " bytes, the most that this command takes; ", advice),
          {{"limit_bytes", absl::StrCat(limit_bytes)}});
    }
  }
}

absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (!text.empty() && text.front() == '[') return ParseJsonIds(text);
  std::vector<uint32_t> ids;
  for (const absl::string_view word : absl::StrSplit(
           text, absl::ByAnyChar(" \t\r\n\v\f"), absl::SkipEmpty())) {
    uint32_t id = 0;
    if (!absl::SimpleAtoi(word, &id)) {
      return InvalidIds(
          absl::StrCat("word ", ids.size() + 1, " is not a token id"));
    }
    ids.push_back(id);
  }
  return ids;
}

}  // namespace longhand::client
