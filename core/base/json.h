// The one JSON reader: config.json, modules.json, safetensors headers. Strict:
// RFC 8259 and nothing more, no duplicate keys, no byte order mark, bounded in
// bytes, depth and number of values. The getters read one key of an object and
// say what was wrong with it. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_BASE_JSON_H_
#define LONGHAND_CORE_BASE_JSON_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace longhand {

struct JsonLimits {
  size_t max_bytes = size_t{16} << 20;
  // Nested arrays and objects; `{}` has depth 1.
  int max_depth = 64;
  // Values in the whole document, containers included.
  size_t max_values = size_t{1} << 22;
};

// Parses all of `text`. INVALID_ARGUMENT (JSON_INVALID) gives line and byte
// (both from 1) of what is wrong.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text,
                                         const JsonLimits& limits = {});

// Each reads `object[key]`. A missing key and null both mean the default; with
// no default, and for a wrong type or a value outside the range,
// INVALID_ARGUMENT (CONFIG_INVALID) names the key, what is allowed and what was
// found.

// An integer in [min, max]; 3.0 is not one.
absl::StatusOr<int64_t> GetInt(
    const nlohmann::json& object, std::string_view key, int64_t min,
    int64_t max, std::optional<int64_t> default_value = std::nullopt);

// A finite number in [min, max]; an integer counts.
absl::StatusOr<double> GetDouble(
    const nlohmann::json& object, std::string_view key, double min, double max,
    std::optional<double> default_value = std::nullopt);

absl::StatusOr<bool> GetBool(const nlohmann::json& object, std::string_view key,
                             std::optional<bool> default_value = std::nullopt);

absl::StatusOr<std::string> GetString(
    const nlohmann::json& object, std::string_view key,
    std::optional<std::string> default_value = std::nullopt);

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_JSON_H_
