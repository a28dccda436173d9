// The retry loop around one call, and its parts for calls that go on after a
// failure. Internal to the client library. IsTransient and RetryDelay are pure;
// a RetryWait and a RetryLoop belong to one call and one thread.
#ifndef LONGHAND_CLIENT_RETRY_H_
#define LONGHAND_CLIENT_RETRY_H_

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/client_options.h"
#include "grpcpp/client_context.h"

namespace longhand::client {

// How one attempt ended.
struct Attempt {
  absl::Status status;
  // False once something was handed out or taken that cannot be repeated.
  bool repeatable = true;
};

// Whether `status` has an ErrorInfo with this reason.
bool HasReason(const absl::Status& status, absl::string_view reason);

// Whether another attempt may go better; see RetryOptions.
bool IsTransient(const absl::Status& status);

// The wait before the next attempt; nullopt: give up. `failed_attempts` counts
// from 1, `pushback` is the value of grpc-retry-pushback-ms if there was one,
// `chance` is in [0, 1).
std::optional<absl::Duration> RetryDelay(
    const RetryOptions& options, int failed_attempts,
    const absl::Status& status, const std::optional<std::string>& pushback,
    double chance);

// The value of grpc-retry-pushback-ms. REQUIRES: the call has ended.
std::optional<std::string> FindPushback(const grpc::ClientContext& context);

// Counts failures in a row and waits after each.
class RetryWait {
 public:
  // What the arguments name must outlive it.
  RetryWait(const RetryOptions& retry, absl::Time deadline,
            Cancellation* cancellation)
      : retry_(retry), deadline_(deadline), cancellation_(cancellation) {}

  // OK once it is time for the next attempt, else what to give up with.
  absl::Status AfterFailure(const absl::Status& status,
                            const std::optional<std::string>& pushback);
  // There was progress: the count begins anew.
  void Reset() { failed_ = 0; }

 private:
  const RetryOptions& retry_;
  const absl::Time deadline_;
  Cancellation* const cancellation_;
  absl::BitGen random_;
  int failed_ = 0;
};

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
