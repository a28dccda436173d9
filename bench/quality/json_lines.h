// Reading files of one JSON object per line. Pure functions apart from the file
// system; safe from any thread.
#ifndef LONGHAND_BENCH_QUALITY_JSON_LINES_H_
#define LONGHAND_BENCH_QUALITY_JSON_LINES_H_

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longhand::quality {

// Calls `take` for each line and returns the SHA-256 of the file. Errors,
// `take`'s included, name the file and the line; their reason is `reason`.
absl::StatusOr<std::string> ReadJsonLines(
    const std::string& path, std::string_view reason,
    const std::function<absl::Status(const nlohmann::json&)>& take);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_JSON_LINES_H_
