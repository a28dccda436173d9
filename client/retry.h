// The retry loop around one call. Internal to the client library. RetryDelay is
// pure; a RetryLoop belongs to one call and one thread.
#ifndef LONGHAND_CLIENT_RETRY_H_
#define LONGHAND_CLIENT_RETRY_H_

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/encoder_client.h"
#include "grpcpp/client_context.h"

namespace longhand::client {

// How one attempt ended.
struct Attempt {
  absl::Status status;
  // False once something was handed out or taken that cannot be repeated.
  bool repeatable = true;
};

// The wait before the next attempt; nullopt: give up. `failed_attempts` counts
// from 1, `pushback` is the value of grpc-retry-pushback-ms if there was one,
// `chance` is in [0, 1).
std::optional<absl::Duration> RetryDelay(
    const RetryOptions& options, int failed_attempts,
    const absl::Status& status, const std::optional<std::string>& pushback,
    double chance);

class RetryLoop {
 public:
  // `options` and what `call` names must outlive the loop.
  RetryLoop(const ClientOptions& options, const CallOptions& call);

  // Runs `attempt` with a fresh context until it succeeds or must not be
  // repeated. The context must be finished when `attempt` returns.
  absl::Status Run(absl::FunctionRef<Attempt(grpc::ClientContext&)> attempt);

 private:
  Attempt RunOnce(absl::FunctionRef<Attempt(grpc::ClientContext&)> attempt,
                  std::optional<std::string>* pushback);

  const RetryOptions& retry_;
  const absl::Time deadline_;
  Cancellation never_;  // stands in when the caller gives none
  Cancellation* const cancellation_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_RETRY_H_
