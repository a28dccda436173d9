#include "client/client_error.h"

#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "client/rpc_status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace longhand::client {
namespace {

constexpr absl::string_view kTypePrefix = "type.googleapis.com/";

template <typename Message>
std::string TypeUrl() {
  return absl::StrCat(kTypePrefix, Message::descriptor()->full_name());
}

template <typename Message>
std::optional<Message> GetPayload(const absl::Status& status) {
  const auto payload = status.GetPayload(TypeUrl<Message>());
  Message message;
  if (!payload || !message.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return message;
}

// Servers may send numbers that are not a code; absl maps them to kUnknown.
absl::StatusCode ToCode(int code) {
  const auto known = absl::Status(static_cast<absl::StatusCode>(code), "");
  return known.code();
}

}  // namespace

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  auto info = GetPayload<google::rpc::ErrorInfo>(status);
  if (!info) return std::nullopt;
  ErrorDetail detail;
  detail.reason = info->reason();
  detail.domain = info->domain();
  detail.metadata = {info->metadata().begin(), info->metadata().end()};
  return detail;
}

std::optional<absl::Duration> GetRetryDelay(const absl::Status& status) {
  auto info = GetPayload<google::rpc::RetryInfo>(status);
  if (!info || !info->has_retry_delay()) return std::nullopt;
  return absl::Seconds(info->retry_delay().seconds()) +
         absl::Nanoseconds(info->retry_delay().nanos());
}

absl::Status MakeClientError(absl::StatusCode code, absl::string_view reason,
                             absl::string_view message,
                             std::map<std::string, std::string> metadata) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kClientDomain));
  for (auto& [key, value] : metadata) {
    (*info.mutable_metadata())[key] = std::move(value);
  }
  absl::Status status(code, message);
  status.SetPayload(TypeUrl<google::rpc::ErrorInfo>(),
                    absl::Cord(info.SerializeAsString()));
  return status;
}

absl::Status MakeErrnoError(int error_number, absl::string_view reason,
                            absl::string_view what) {
  return MakeClientError(
      absl::ErrnoToStatusCode(error_number), reason,
      absl::StrCat(what, ": ", std::generic_category().message(error_number)));
}

absl::Status FromRpcStatus(const google::rpc::Status& rpc) {
  absl::Status status(ToCode(rpc.code()), rpc.message());
  for (const google::protobuf::Any& detail : rpc.details()) {
    status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return status;
}

absl::Status FromGrpcStatus(const grpc::Status& grpc_status) {
  if (grpc_status.ok()) return absl::OkStatus();
  google::rpc::Status rpc;
  // What cannot be parsed carries no details; the code and the message count.
  if (!rpc.ParseFromString(grpc_status.error_details())) rpc.Clear();
  rpc.set_code(grpc_status.error_code());
  rpc.set_message(grpc_status.error_message());
  return FromRpcStatus(rpc);
}

}  // namespace longhand::client
