#include "core/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

absl::Status FileInvalid(const std::string& path, std::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, "FILE_INVALID",
                   absl::StrCat(path, ": ", ToAbsl(problem)), {{"path", path}});
}

std::string ErrnoText(int error) {
  return std::generic_category().message(error);
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<RegularFile> OpenRegularFile(const std::string& path) {
  // O_NONBLOCK: opening a FIFO returns instead of waiting for a writer.
  int fd;
  do {
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
      return MakeError(
          absl::StatusCode::kNotFound, "FILE_MISSING",
          absl::StrCat(path, ": there is no such file; check the path"),
          {{"path", path}});
    }
    return FileInvalid(
        path, absl::StrCat("cannot be opened for reading (", ErrnoText(error),
                           "); check its permissions"));
  }
  UniqueFd owned(fd);
  struct stat info;
  if (fstat(fd, &info) != 0) {
    return FileInvalid(path,
                       absl::StrCat("fstat failed (", ErrnoText(errno), ")"));
  }
  if (!S_ISREG(info.st_mode)) {
    return FileInvalid(path,
                       S_ISDIR(info.st_mode)
                           ? "is a directory; name a file in it"
                           : "is not a regular file (a FIFO, socket or device);"
                             " name a regular file");
  }
  return RegularFile{std::move(owned), static_cast<uint64_t>(info.st_size)};
}

absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t max_bytes) {
  LH_ASSIGN_OR_RETURN(RegularFile file, OpenRegularFile(path));
  const std::string too_long =
      absl::StrCat("is longer than the ", max_bytes,
                   " bytes that are read; check that it is the right file");
  if (file.size_bytes > max_bytes) return FileInvalid(path, too_long);
  // Read to the end whatever the size: in /proc it is 0, and a file may grow.
  constexpr size_t kStep = 64 << 10;
  std::string content;
  content.reserve(file.size_bytes);
  while (true) {
    const size_t filled = content.size();
    content.resize(std::max<size_t>(file.size_bytes + 1, filled + kStep));
    ssize_t got;
    do {
      got =
          read(file.fd.get(), content.data() + filled, content.size() - filled);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
      return FileInvalid(path,
                         absl::StrCat("cannot be read (", ErrnoText(errno),
                                      "); check the disk it is on"));
    }
    content.resize(filled + static_cast<size_t>(got));
    if (content.size() > max_bytes) return FileInvalid(path, too_long);
    if (got == 0) return content;
  }
}

}  // namespace longhand
