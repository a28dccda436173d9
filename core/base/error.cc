#include "core/base/error.h"

#include <utility>

#include "absl/strings/cord.h"
#include "nlohmann/json.hpp"

namespace longhand {
namespace {

constexpr char kPayloadUrl[] = "longhand/error-detail";

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message,
                       std::map<std::string, std::string> metadata) {
  absl::Status status(code, message);
  nlohmann::json detail{{"reason", reason}, {"metadata", std::move(metadata)}};
  status.SetPayload(
      kPayloadUrl,
      absl::Cord(detail.dump(-1, ' ', /*ensure_ascii=*/false,
                             nlohmann::json::error_handler_t::replace)));
  return status;
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  std::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  if (!payload) return std::nullopt;
  nlohmann::json detail = nlohmann::json::parse(
      std::string(*payload), nullptr, /*allow_exceptions=*/false);
  if (detail.is_discarded()) return std::nullopt;
  return ErrorDetail{detail.at("reason"), detail.at("metadata")};
}

}  // namespace longhand
