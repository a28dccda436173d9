#include "server/call.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "server/grpc_status.h"
#include "server/logging.h"

namespace longhand {
namespace {

// Of the tenant's hash: enough to tell tenants in a log.
constexpr size_t kTenantDigits = 8;

}  // namespace

absl::Time CallDeadline(const grpc::ServerContextBase& context,
                        absl::Duration max_duration) {
  absl::Time limit = absl::Now() + max_duration;
  std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return limit;
  return std::min(limit, absl::FromChrono(deadline));
}

absl::Status CancelReason(absl::Time deadline) {
  if (absl::Now() >= deadline) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                     "the deadline passed before the result was complete");
  }
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED",
                   "the client cancelled the call");
}

std::string_view PeerKind(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer != nullptr) {
    for (const grpc::string_ref& type :
         peer->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME)) {
      if (type == GRPC_SSL_TRANSPORT_SECURITY_TYPE ||
          type == GRPC_TLS_TRANSPORT_SECURITY_TYPE) {
        return "tls";
      }
    }
  }
  return context.peer().starts_with("unix:") ? "unix" : "plain";
}

ServerCall::ServerCall(const ServiceContext& service,
                       const MethodMetrics& method,
                       grpc::ServerContextBase* context,
                       absl::Duration max_duration)
    : service_(service),
      method_(method),
      context_(context),
      deadline_(CallDeadline(*context, max_duration)),
      recorder_(method),
      trace_(StartTrace(context->client_metadata())) {
  service_.calls.Begin();
}

absl::Status ServerCall::Authenticate() {
  absl::StatusOr<Caller> caller = service_.access.Authenticate(*context_);
  if (!caller.ok()) {
    service_.metrics.RecordAuthFailure(caller.status());
    return caller.status();
  }
  caller_ = *std::move(caller);
  return absl::OkStatus();
}

grpc::Status ServerCall::End(const absl::Status& status) {
  AddRetryTrailer(status, context_);
  recorder_.Finished(static_cast<grpc::StatusCode>(status.code()));
  LogEnd(status);
  return ToGrpcStatus(status);
}

void ServerCall::AddWork(const CallWork& work) {
  absl::MutexLock lock(&mu_);
  if (!work_.has_value()) work_.emplace();
  work_->queue += work.queue;
  work_->compute += work.compute;
  work_->tokens += work.tokens;
}

void ServerCall::LogEnd(const absl::Status& status) {
  std::optional<CallWork> work;
  {
    absl::MutexLock lock(&mu_);
    work = work_;
  }
  const absl::Duration elapsed = recorder_.elapsed();
  // A client's stream lasts as long as the client likes.
  absl::Duration felt = elapsed;
  if (method_.client_streams) {
    felt =
        work.has_value() ? work->queue + work->compute : absl::ZeroDuration();
  }
  const absl::Duration slow = service_.limits.slow_request;
  const bool is_slow = slow > absl::ZeroDuration() && felt > slow;
  const bool fault = absl::IsInternal(status) || absl::IsUnknown(status) ||
                     absl::IsDataLoss(status);
  LogLevel level = is_slow ? LogLevel::kWarning : LogLevel::kDebug;
  if (fault) level = LogLevel::kError;
  if (!ShouldLog(level)) return;
  LogFields fields = {
      {"method", method_.name},
      {"code", absl::StatusCodeToString(status.code())},
      {"reason", StatusReason(status)},
      {"milliseconds", absl::ToDoubleMilliseconds(elapsed)},
      {"deadline_left_ms", absl::ToInt64Milliseconds(deadline_ - absl::Now())},
      {"peer", PeerKind(*context_)},
      {"trace_id", trace_.trace_id},
      {"span_id", trace_.span_id}};
  if (!trace_.parent_id.empty()) {
    fields.emplace_back("parent_id", trace_.parent_id);
  }
  if (caller_.has_value()) {
    fields.emplace_back("tenant", caller_->tenant.substr(0, kTenantDigits));
  }
  if (work.has_value()) {
    fields.emplace_back("queue_ms", absl::ToDoubleMilliseconds(work->queue));
    fields.emplace_back("compute_ms",
                        absl::ToDoubleMilliseconds(work->compute));
    fields.emplace_back("tokens", work->tokens);
  }
  Log(level, is_slow && !fault ? "slow call" : "call", fields);
}

absl::Status ResponseTooLarge(std::string_view advice, uint64_t size_bytes,
                              uint64_t limit_bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted, "RESPONSE_TOO_LARGE",
                   absl::StrCat("the response takes ", size_bytes,
                                " bytes or more, the limit of a message is ",
                                limit_bytes, "; ", ToAbsl(advice)),
                   {{"limit_bytes", absl::StrCat(limit_bytes)},
                    {"size_bytes", absl::StrCat(size_bytes)}});
}

}  // namespace longhand
