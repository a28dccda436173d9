#include "bench/quality/json_lines.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 30;

absl::Status TakeLine(
    std::string_view line,
    const std::function<absl::Status(const nlohmann::json&)>& take) {
  LH_ASSIGN_OR_RETURN(const nlohmann::json object, ParseJson(line));
  return take(object);
}

}  // namespace

absl::StatusOr<std::string> ReadJsonLines(
    const std::string& path, std::string_view reason,
    const std::function<absl::Status(const nlohmann::json&)>& take) {
  LH_ASSIGN_OR_RETURN(const std::string content, ReadFile(path, kMaxBytes));
  Sha256 hash;
  hash.Update(content);
  std::string_view rest = content;
  for (int number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const absl::Status status = TakeLine(line, take);
    if (!status.ok()) {
      return WithContext(status, reason, absl::StrCat(path, ":", number));
    }
  }
  return hash.HexDigest();
}

}  // namespace longhand::quality
