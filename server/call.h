// What all calls have in common: who makes them, until when, and what is
// recorded of them. The functions are pure and safe from any thread.
#ifndef LONGHAND_SERVER_CALL_H_
#define LONGHAND_SERVER_CALL_H_

#include <grpcpp/server_context.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "server/access.h"
#include "server/metrics.h"
#include "server/service_context.h"
#include "server/trace_context.h"

namespace longhand {

// The client's deadline, or `max_duration` from now if that is sooner.
absl::Time CallDeadline(const grpc::ServerContextBase& context,
                        absl::Duration max_duration);

// Why gRPC cancelled a call: DEADLINE_EXCEEDED once `deadline` has passed, else
// CANCELLED.
absl::Status CancelReason(absl::Time deadline);

// What the computation for a call took; a batch adds up its documents'.
struct CallWork {
  absl::Duration queue;    // had work to do and no worker
  absl::Duration compute;  // worker time in the layers
  uint64_t tokens = 0;     // rows computed
};

// Where a call comes from, of a closed set: tls, plain or unix.
std::string_view PeerKind(const grpc::ServerContextBase& context);

// ServerCall: one RPC of any service, from its start to its status. Owned by
// the reactor bases, which no call can do without. Thread-safe once
// Authenticate has returned.
class ServerCall {
 public:
  // `service` and `method` outlive the call; `context` is gRPC's. The client's
  // deadline is cut to `max_duration`.
  ServerCall(const ServiceContext& service, const MethodMetrics& method,
             grpc::ServerContextBase* context, absl::Duration max_duration);

  // Learns who calls; for each call anew, since a connection may carry the
  // calls of many. Once, before any work is done for the call. As
  // AccessControl::Authenticate.
  absl::Status Authenticate();

  // REQUIRES: Authenticate returned OK.
  const Caller& caller() const {
    LH_CHECK(caller_.has_value());
    return *caller_;
  }
  const ServiceContext& service() const { return service_; }
  const TraceContext& trace() const { return trace_; }
  absl::Time deadline() const { return deadline_; }

  void Received() { recorder_.Received(); }
  void Sent() { recorder_.Sent(); }
  void AddWork(const CallWork& work) ABSL_LOCKS_EXCLUDED(mu_);

  // The call ends with `status`: records and logs that, and gives what is to
  // be handed to gRPC's Finish. Once.
  grpc::Status End(const absl::Status& status);

  // gRPC is done with the call, and a drain no longer waits for it. Once, and
  // no later than OnDone of the reactor returns: then the server may be gone.
  void Done() { service_.calls.End(); }

 private:
  // One line per call: errors of the server as errors, slow ones as warnings,
  // the rest at debug level.
  void LogEnd(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const ServiceContext& service_;
  const MethodMetrics& method_;
  grpc::ServerContextBase* const context_;
  const absl::Time deadline_;
  CallRecorder recorder_;
  const TraceContext trace_;
  std::optional<Caller> caller_;
  absl::Mutex mu_;
  std::optional<CallWork> work_ ABSL_GUARDED_BY(mu_);
};

// RESOURCE_EXHAUSTED (RESPONSE_TOO_LARGE).
absl::Status ResponseTooLarge(std::string_view advice, uint64_t size_bytes,
                              uint64_t limit_bytes);

}  // namespace longhand

#endif  // LONGHAND_SERVER_CALL_H_
