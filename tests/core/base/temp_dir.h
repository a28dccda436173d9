// TempDir: a directory of one test, removed with all that is in it. Files are
// written with the directories they need.
#ifndef LONGHAND_TESTS_CORE_BASE_TEMP_DIR_H_
#define LONGHAND_TESTS_CORE_BASE_TEMP_DIR_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "core/base/check.h"
#include "gtest/gtest.h"

namespace longhand {

class TempDir {
 public:
  TempDir() : path_(::testing::TempDir() + "/longhand_XXXXXX") {
    LH_CHECK(mkdtemp(path_.data()) != nullptr);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

  // Writes `content` to `name` below the directory and returns its full path.
  std::string Write(std::string_view name, std::string_view content) const {
    const std::filesystem::path file =
        std::filesystem::path(path_) / std::string(name);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream stream(file, std::ios::binary | std::ios::trunc);
    stream.write(content.data(), static_cast<std::streamsize>(content.size()));
    stream.close();
    LH_CHECK(stream.good());
    return file.string();
  }

 private:
  std::string path_;
};

}  // namespace longhand

#endif  // LONGHAND_TESTS_CORE_BASE_TEMP_DIR_H_
