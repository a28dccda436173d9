// The pooling files of a model directory: refused, or a pooling that exists.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/model/sentence_config.h"
#include "core/pooling/registry.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

// Made once; goes with the process.
class ModelDirectory {
 public:
  ModelDirectory() {
    path_ = std::filesystem::temp_directory_path() / "lh-fuzz-XXXXXX";
    LH_CHECK(mkdtemp(path_.data()) != nullptr);
    std::filesystem::create_directory(path_ + "/1_Pooling");
  }
  ~ModelDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  const std::string& path() const { return path_; }
  void Write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }

 private:
  std::string path_;
};

}  // namespace

// modules.json, a zero byte, then 1_Pooling/config.json.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand;           // NOLINT
  using namespace longhand::testing;  // NOLINT
  static const ModelDirectory directory;
  const std::string_view bytes = FuzzInput(data, size).Rest();
  const size_t zero = std::min(bytes.find('\0'), bytes.size());
  directory.Write("modules.json", bytes.substr(0, zero));
  directory.Write("1_Pooling/config.json",
                  bytes.substr(std::min(zero + 1, bytes.size())));
  const auto config = ReadSentenceConfig(directory.path());
  if (config.ok()) {
    LH_CHECK(PoolerRegistry().Find(config->pooling).ok());
  } else {
    CheckRefusal(config.status(), {absl::StatusCode::kInvalidArgument,
                                   absl::StatusCode::kNotFound,
                                   absl::StatusCode::kUnimplemented});
  }
  return 0;
}
