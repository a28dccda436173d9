#include "client/retry.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "client/client_error.h"

namespace longhand::client {

bool HasReason(const absl::Status& status, absl::string_view reason) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  return detail.has_value() && detail->reason == reason;
}

bool IsTransient(const absl::Status& status) {
  if (absl::IsUnavailable(status)) return true;
  if (absl::IsDeadlineExceeded(status)) {
    return HasReason(status, "QUEUE_TIMEOUT");
  }
  if (!absl::IsAborted(status)) return false;
  for (const char* reason :
       {"WRONG_REPLICA", "STALE_GENERATION", "CONCURRENT_APPEND"}) {
    if (HasReason(status, reason)) return true;
  }
  return false;
}

std::optional<absl::Duration> RetryDelay(
    const RetryOptions& options, int failed_attempts,
    const absl::Status& status, const std::optional<std::string>& pushback,
    double chance) {
  if (!IsTransient(status) || failed_attempts >= options.max_attempts) {
    return std::nullopt;
  }
  if (pushback.has_value()) {
    // As gRFC A6 has it: negative or unreadable means "do not retry".
    int64_t milliseconds = 0;
    if (!absl::SimpleAtoi(*pushback, &milliseconds) || milliseconds < 0) {
      return std::nullopt;
    }
    return absl::Milliseconds(milliseconds);
  }
  if (const auto delay = GetRetryDelay(status)) {
    return std::max(*delay, absl::ZeroDuration());
  }
  const absl::Duration backoff =
      options.initial_backoff *
      std::pow(options.multiplier, failed_attempts - 1);
  return std::min(backoff, options.max_backoff) * (1 - chance / 2);
}

std::optional<std::string> FindPushback(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("grpc-retry-pushback-ms");
  if (found == trailers.end()) return std::nullopt;
  return std::string(found->second.data(), found->second.size());
}

absl::Status RetryWait::AfterFailure(
    const absl::Status& status, const std::optional<std::string>& pushback) {
  ++failed_;
  const auto delay = RetryDelay(retry_, failed_, status, pushback,
                                absl::Uniform(random_, 0.0, 1.0));
  if (!delay || absl::Now() + *delay >= deadline_) return status;
  if (retry_.on_retry) retry_.on_retry({failed_, *delay, status});
  if (!cancellation_->Sleep(*delay)) {
    return absl::CancelledError("cancelled while waiting for a retry");
  }
  return absl::OkStatus();
}

RetryLoop::RetryLoop(const ClientOptions& options, const CallOptions& call)
    : retry_(options.retry),
      deadline_(absl::Now() + call.deadline.value_or(options.deadline)),
      cancellation_(call.cancellation != nullptr ? call.cancellation
                                                 : &never_) {}

Attempt RetryLoop::RunOnce(
    absl::FunctionRef<Attempt(grpc::ClientContext&)> attempt,
    std::optional<std::string>* pushback) {
  grpc::ClientContext context;
  if (deadline_ != absl::InfiniteFuture()) {
    context.set_deadline(absl::ToChronoTime(deadline_));
  }
  cancellation_->Add(&context);
  Attempt result = attempt(context);
  cancellation_->Remove(&context);
  *pushback = FindPushback(context);
  return result;
}

absl::Status RetryLoop::Run(
    absl::FunctionRef<Attempt(grpc::ClientContext&)> attempt) {
  RetryWait wait(retry_, deadline_, cancellation_);
  for (;;) {
    std::optional<std::string> pushback;
    const Attempt last = RunOnce(attempt, &pushback);
    if (last.status.ok() || !last.repeatable) return last.status;
    absl::Status given_up = wait.AfterFailure(last.status, pushback);
    if (!given_up.ok()) return given_up;
  }
}

}  // namespace longhand::client
