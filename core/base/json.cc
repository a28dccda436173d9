#include "core/base/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxQuotedBytes = 120;

// `text` for an error message: printable ASCII and not too long.
std::string Quote(std::string_view text) {
  std::string quoted;
  for (const char c : text.substr(0, kMaxQuotedBytes)) {
    if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
      quoted.push_back(c);
    } else {
      absl::StrAppend(&quoted, "\\x", absl::Hex(c, absl::kZeroPad2));
    }
  }
  if (text.size() > kMaxQuotedBytes) quoted += "...";
  return quoted;
}

absl::Status JsonInvalid(std::string_view text, size_t position,
                         std::string_view problem) {
  const std::string_view before =
      text.substr(0, std::min(position, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  return MakeError(absl::StatusCode::kInvalidArgument, "JSON_INVALID",
                   absl::StrCat("not valid JSON at line ", line, ", byte ",
                                before.size() + 1, ": ", ToAbsl(problem)),
                   {{"line", absl::StrCat(line)},
                    {"byte", absl::StrCat(before.size() + 1)}});
}

// Builds the document from parser events and stops at the first thing that the
// limits or the strict rules refuse.
class DocumentBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit DocumentBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(number_integer_t value) override {
    return Add(value) != nullptr;
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Add(value) != nullptr;
  }
  bool number_float(number_float_t value, const string_t&) override {
    return Add(value) != nullptr;
  }
  bool string(string_t& value) override {
    return Add(std::move(value)) != nullptr;
  }
  bool binary(binary_t&) override { return Refuse("binary value"); }

  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    auto [member, inserted] = open_.back()->emplace(name, nullptr);
    if (!inserted) {
      return Refuse(absl::StrCat("the key \"", Quote(name),
                                 "\" is given twice in one object"));
    }
    member_ = &*member;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    std::string_view problem = error.what();
    if (const size_t id = problem.find("] "); id != problem.npos) {
      problem.remove_prefix(id + 2);
    }
    constexpr std::string_view kPlace = "parse error at line ";
    if (problem.substr(0, kPlace.size()) == kPlace) {
      if (const size_t colon = problem.find(": "); colon != problem.npos) {
        problem.remove_prefix(colon + 2);
      }
    }
    // The parser counts bytes from 1 and has read the one it objects to.
    error_position_ = position > 0 ? position - 1 : 0;
    return Refuse(Quote(problem));
  }

  const std::string& problem() const { return problem_; }
  std::optional<size_t> error_position() const { return error_position_; }
  Json& document() { return document_; }

 private:
  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  // Puts `value` where the next value belongs; null if there are too many.
  Json* Add(Json value) {
    if (++values_ > limits_.max_values) {
      Refuse(absl::StrCat("more than ", limits_.max_values, " values"));
      return nullptr;
    }
    if (open_.empty()) {
      document_ = std::move(value);
      return &document_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *member_ = std::move(value);
    return member_;
  }

  bool Open(Json container) {
    if (open_.size() >= static_cast<size_t>(limits_.max_depth)) {
      return Refuse(
          absl::StrCat("nested deeper than ", limits_.max_depth, " levels"));
    }
    Json* added = Add(std::move(container));
    if (added == nullptr) return false;
    open_.push_back(added);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  Json document_;
  // Containers that are not closed yet, outermost first. Only the innermost
  // grows, so the pointers stay good.
  std::vector<Json*> open_;
  Json* member_ = nullptr;  // where the value of the last key goes
  size_t values_ = 0;
  std::string problem_;
  std::optional<size_t> error_position_;
};

std::string Found(const Json& value) {
  if (value.is_structured()) {
    return value.is_array() ? "an array" : "an object";
  }
  return Quote(value.dump(-1, ' ', /*ensure_ascii=*/true,
                          Json::error_handler_t::replace));
}

absl::Status ConfigInvalid(std::string_view key, std::string_view expected,
                           std::string_view found) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   absl::StrCat("\"", ToAbsl(key), "\" must be ",
                                ToAbsl(expected), "; found ", ToAbsl(found)),
                   {{"key", std::string(key)}});
}

// The value of `key`; null if it is missing or null and that is allowed.
absl::StatusOr<const Json*> FindValue(const Json& object, std::string_view key,
                                      std::string_view expected,
                                      bool may_be_missing) {
  if (!object.is_object()) {
    return ConfigInvalid(key, absl::StrCat(ToAbsl(expected), " in an object"),
                         Found(object));
  }
  const auto member = object.find(key);
  const bool missing = member == object.end();
  if (!missing && !member->is_null()) return &*member;
  if (may_be_missing) return nullptr;
  return ConfigInvalid(key, expected, missing ? "no such key" : "null");
}

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text,
                               const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "JSON_INVALID",
        absl::StrCat("the JSON text has ", text.size(), " bytes; at most ",
                     limits.max_bytes, " are read"));
  }
  // The parser takes a zero byte for the end of the text and skips a byte order
  // mark; neither is JSON.
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    return JsonInvalid(text, zero, "zero byte");
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return JsonInvalid(text, 0, "byte order mark; remove the first 3 bytes");
  }
  DocumentBuilder builder(limits);
  try {
    if (Json::sax_parse(text.begin(), text.end(), &builder)) {
      return std::move(builder.document());
    }
  } catch (const Json::exception& error) {
    return JsonInvalid(text, 0, Quote(error.what()));
  }
  if (builder.error_position().has_value()) {
    return JsonInvalid(text, *builder.error_position(), builder.problem());
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "JSON_INVALID",
                   absl::StrCat("refused JSON: ", builder.problem()));
}

absl::StatusOr<int64_t> GetInt(const Json& object, std::string_view key,
                               int64_t min, int64_t max,
                               std::optional<int64_t> default_value) {
  const std::string expected =
      absl::StrCat("an integer from ", min, " to ", max);
  LH_ASSIGN_OR_RETURN(const Json* value, FindValue(object, key, expected,
                                                   default_value.has_value()));
  if (value == nullptr) return *default_value;
  const bool fits =
      value->is_number_integer() &&
      !(value->is_number_unsigned() &&
        value->get<uint64_t>() >
            static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    return ConfigInvalid(key, expected, Found(*value));
  }
  return value->get<int64_t>();
}

absl::StatusOr<double> GetDouble(const Json& object, std::string_view key,
                                 double min, double max,
                                 std::optional<double> default_value) {
  const std::string expected = absl::StrCat("a number from ", min, " to ", max);
  LH_ASSIGN_OR_RETURN(const Json* value, FindValue(object, key, expected,
                                                   default_value.has_value()));
  if (value == nullptr) return *default_value;
  // Written so that a NaN is refused.
  if (!value->is_number() || !(value->get<double>() >= min) ||
      !(value->get<double>() <= max) || !std::isfinite(value->get<double>())) {
    return ConfigInvalid(key, expected, Found(*value));
  }
  return value->get<double>();
}

absl::StatusOr<bool> GetBool(const Json& object, std::string_view key,
                             std::optional<bool> default_value) {
  LH_ASSIGN_OR_RETURN(const Json* value, FindValue(object, key, "true or false",
                                                   default_value.has_value()));
  if (value == nullptr) return *default_value;
  if (!value->is_boolean()) {
    return ConfigInvalid(key, "true or false", Found(*value));
  }
  return value->get<bool>();
}

absl::StatusOr<std::string> GetString(
    const Json& object, std::string_view key,
    std::optional<std::string> default_value) {
  LH_ASSIGN_OR_RETURN(const Json* value, FindValue(object, key, "a string",
                                                   default_value.has_value()));
  if (value == nullptr) return *std::move(default_value);
  if (!value->is_string()) return ConfigInvalid(key, "a string", Found(*value));
  return value->get<std::string>();
}

}  // namespace longhand
