#include "core/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/base/temp_dir.h"

namespace longhand {
namespace {

using ::testing::HasSubstr;

void ExpectInvalid(const absl::Status& status, const std::string& path,
                   const std::string& fragment) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  ASSERT_TRUE(GetErrorDetail(status).has_value());
  EXPECT_EQ(GetErrorDetail(status)->reason, "FILE_INVALID");
  EXPECT_EQ(GetErrorDetail(status)->metadata.at("path"), path);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  EXPECT_THAT(std::string(status.message()), HasSubstr(fragment));
}

TEST(ReadFile, ReadsEveryByte) {
  TempDir dir;
  // Longer than one read, with all byte values.
  std::string content(300'000, '\0');
  for (size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>(i * 7);
  }
  const std::string path = dir.Write("data", content);
  absl::StatusOr<std::string> read = ReadFile(path, content.size());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, content);
}

TEST(ReadFile, EmptyFile) {
  TempDir dir;
  absl::StatusOr<std::string> read = ReadFile(dir.Write("empty", ""), 0);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, "");
}

TEST(ReadFile, FileWithoutAKnownSize) {
  absl::StatusOr<std::string> read = ReadFile("/proc/self/stat", 1 << 20);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(*read, HasSubstr(std::to_string(getpid())));
}

TEST(ReadFile, LongerThanAllowed) {
  TempDir dir;
  const std::string path = dir.Write("data", "123456");
  EXPECT_TRUE(ReadFile(path, 6).ok());
  ExpectInvalid(ReadFile(path, 5).status(), path, "longer than the 5 bytes");
  // Here the size is only known after reading.
  ExpectInvalid(ReadFile("/proc/self/stat", 3).status(), "/proc/self/stat",
                "longer than the 3 bytes");
}

TEST(OpenRegularFile, Missing) {
  TempDir dir;
  const std::string file = dir.Write("file", "x");
  for (const std::string& path : {dir.path() + "/none", file + "/below"}) {
    const absl::Status status = OpenRegularFile(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    ASSERT_TRUE(GetErrorDetail(status).has_value());
    EXPECT_EQ(GetErrorDetail(status)->reason, "FILE_MISSING");
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }
}

TEST(OpenRegularFile, OnlyRegularFiles) {
  TempDir dir;
  ExpectInvalid(OpenRegularFile(dir.path()).status(), dir.path(),
                "is a directory");
  ExpectInvalid(OpenRegularFile("/dev/zero").status(), "/dev/zero",
                "not a regular file");
  // Nobody writes to this FIFO: a blocking open would hang here.
  const std::string fifo = dir.path() + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ExpectInvalid(OpenRegularFile(fifo).status(), fifo, "not a regular file");
}

TEST(OpenRegularFile, NoPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read every file";
  TempDir dir;
  const std::string path = dir.Write("secret", "x");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  ExpectInvalid(OpenRegularFile(path).status(), path, "permissions");
}

TEST(OpenRegularFile, ClosesItsDescriptor) {
  TempDir dir;
  const std::string path = dir.Write("data", "123");
  int fd;
  {
    absl::StatusOr<RegularFile> file = OpenRegularFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->size_bytes, 3u);
    fd = file->fd.get();
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

}  // namespace
}  // namespace longhand
