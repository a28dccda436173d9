#include "server/grpc_status.h"

#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "google/rpc/error_details.pb.h"

namespace longhand {
namespace {

constexpr std::string_view kDomain = "longhand";
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxMetadataBytes = 256;
// Where nobody knows better.
constexpr absl::Duration kRetryDelay = absl::Seconds(1);
// Of whoever does: how long to wait, a whole number.
constexpr char kRetryAfter[] = "retry_after_ms";

// `text` with everything but printable ASCII escaped, cut to `max_bytes`. So it
// is UTF-8 and cannot forge log lines, whatever came in.
std::string Printable(std::string_view text, size_t max_bytes) {
  constexpr absl::string_view kEllipsis = "...";
  std::string result;
  for (unsigned char c : text) {
    if (c >= 0x20 && c < 0x7f) {
      result.push_back(static_cast<char>(c));
    } else {
      absl::StrAppend(&result, "\\x", absl::Hex(c, absl::kZeroPad2));
    }
    if (result.size() > max_bytes) {
      result.resize(max_bytes - kEllipsis.size());
      return absl::StrCat(result, kEllipsis);
    }
  }
  return result;
}

// When to try again; nullopt for errors that are the same then.
std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (detail.has_value()) {
    const auto found = detail->metadata.find(kRetryAfter);
    int64_t milliseconds = 0;
    if (found != detail->metadata.end() &&
        absl::SimpleAtoi(found->second, &milliseconds)) {
      return absl::Milliseconds(milliseconds);
    }
  }
  if (absl::IsUnavailable(status)) return kRetryDelay;
  return std::nullopt;
}

}  // namespace

std::string StatusReason(const absl::Status& status) {
  if (status.ok()) return "OK";
  if (auto detail = GetErrorDetail(status); detail.has_value()) {
    return detail->reason;
  }
  return absl::StatusCodeToString(status.code());
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status result;
  result.set_code(static_cast<int>(status.code()));
  if (status.ok()) return result;
  result.set_message(Printable(ToStd(status.message()), kMaxMessageBytes));
  google::rpc::ErrorInfo info;
  info.set_domain(std::string(kDomain));
  info.set_reason(StatusReason(status));
  if (auto detail = GetErrorDetail(status); detail.has_value()) {
    for (const auto& [key, value] : detail->metadata) {
      (*info.mutable_metadata())[key] = Printable(value, kMaxMetadataBytes);
    }
  }
  result.add_details()->PackFrom(info);
  if (const std::optional<absl::Duration> delay = RetryDelay(status)) {
    google::rpc::RetryInfo retry;
    const int64_t milliseconds = absl::ToInt64Milliseconds(*delay);
    retry.mutable_retry_delay()->set_seconds(milliseconds / 1000);
    retry.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(milliseconds % 1000 * 1000000));
    result.add_details()->PackFrom(retry);
  }
  return result;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status details = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      details.message(), details.SerializeAsString());
}

void AddRetryTrailer(const absl::Status& status,
                     grpc::ServerContextBase* context) {
  // By gRPC's rules clients retry that one code.
  if (!absl::IsUnavailable(status)) return;
  context->AddTrailingMetadata(
      "grpc-retry-pushback-ms",
      absl::StrCat(absl::ToInt64Milliseconds(*RetryDelay(status))));
}

}  // namespace longhand
