#include "client/retry.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/random/random.h"
#include "absl/strings/numbers.h"

namespace longhand::client {

std::optional<absl::Duration> RetryDelay(
    const RetryOptions& options, int failed_attempts,
    const absl::Status& status, const std::optional<std::string>& pushback,
    double chance) {
  if (!absl::IsUnavailable(status) || failed_attempts >= options.max_attempts) {
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
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("grpc-retry-pushback-ms");
  if (found != trailers.end()) {
    pushback->emplace(found->second.data(), found->second.size());
  }
  return result;
}

absl::Status RetryLoop::Run(
    absl::FunctionRef<Attempt(grpc::ClientContext&)> attempt) {
  absl::BitGen random;
  for (int failed = 1;; ++failed) {
    std::optional<std::string> pushback;
    Attempt last = RunOnce(attempt, &pushback);
    if (last.status.ok() || !last.repeatable) return last.status;
    const auto delay = RetryDelay(retry_, failed, last.status, pushback,
                                  absl::Uniform(random, 0.0, 1.0));
    if (!delay || absl::Now() + *delay >= deadline_) return last.status;
    if (retry_.on_retry) retry_.on_retry({failed, *delay, last.status});
    if (!cancellation_->Sleep(*delay)) {
      return absl::CancelledError("cancelled while waiting for a retry");
    }
  }
}

}  // namespace longhand::client
