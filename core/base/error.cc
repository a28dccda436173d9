#include "core/base/error.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

constexpr char kPayloadUrl[] = "longhand/error-detail";

// The payload: the reason, then keys and values, each as "LENGTH:BYTES,". Not
// JSON, whose library ends the process when it runs out of memory.
void AppendField(std::string_view field, std::string* out) {
  absl::StrAppend(out, field.size(), ":", ToAbsl(field), ",");
}

// Takes the next field off `text`; nullopt if there is none.
std::optional<std::string> TakeField(std::string_view* text) {
  const size_t colon = text->find(':');
  uint64_t length = 0;
  if (colon == std::string_view::npos ||
      !absl::SimpleAtoi(ToAbsl(text->substr(0, colon)), &length) ||
      length >= text->size() - colon - 1) {
    return std::nullopt;
  }
  std::string field(text->substr(colon + 1, length));
  text->remove_prefix(colon + 1 + length + 1);
  return field;
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message,
                       std::map<std::string, std::string> metadata) {
  absl::Status status(code, ToAbsl(message));
  std::string payload;
  AppendField(reason, &payload);
  for (const auto& [key, value] : metadata) {
    AppendField(key, &payload);
    AppendField(value, &payload);
  }
  status.SetPayload(kPayloadUrl, absl::Cord(payload));
  return status;
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return std::nullopt;
  const std::string text(*payload);
  std::string_view left = text;
  std::optional<std::string> reason = TakeField(&left);
  if (!reason) return std::nullopt;
  ErrorDetail detail{*std::move(reason), {}};
  while (!left.empty()) {
    std::optional<std::string> key = TakeField(&left);
    std::optional<std::string> value = TakeField(&left);
    if (!key || !value) return std::nullopt;
    detail.metadata[*std::move(key)] = *std::move(value);
  }
  return detail;
}

absl::Status WithContext(const absl::Status& status, std::string_view reason,
                         std::string_view context) {
  std::optional<ErrorDetail> detail = GetErrorDetail(status);
  return MakeError(status.code(), reason,
                   absl::StrCat(ToAbsl(context), ": ", status.message()),
                   detail ? std::move(detail->metadata)
                          : std::map<std::string, std::string>());
}

}  // namespace longhand
