#include "core/base/error.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "nlohmann/json.hpp"

namespace longhand {
namespace {

constexpr char kPayloadUrl[] = "longhand/error-detail";

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message,
                       std::map<std::string, std::string> metadata) {
  absl::Status status(code, ToAbsl(message));
  nlohmann::json detail{{"reason", reason}, {"metadata", std::move(metadata)}};
  status.SetPayload(
      kPayloadUrl,
      absl::Cord(detail.dump(-1, ' ', /*ensure_ascii=*/false,
                             nlohmann::json::error_handler_t::replace)));
  return status;
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return std::nullopt;
  nlohmann::json detail = nlohmann::json::parse(std::string(*payload), nullptr,
                                                /*allow_exceptions=*/false);
  if (detail.is_discarded()) return std::nullopt;
  return ErrorDetail{detail.at("reason"), detail.at("metadata")};
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
