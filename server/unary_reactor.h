// UnaryReactor: the base of unary calls whose answer comes from a worker
// thread. It settles the race between the answer and a cancellation: whichever
// comes first ends the call, the other is dropped. It owns itself until gRPC is
// done with it; whoever still holds a reference may call End safely later.
// Thread-safe.
#ifndef LONGHAND_SERVER_UNARY_REACTOR_H_
#define LONGHAND_SERVER_UNARY_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/call.h"
#include "server/grpc_status.h"
#include "server/metrics.h"

namespace longhand {

template <typename Response>
class UnaryReactor
    : public grpc::ServerUnaryReactor,
      public std::enable_shared_from_this<UnaryReactor<Response>> {
 public:
  void OnCancel() final {
    absl::Status why = CancelReason(deadline_);
    End(why);
    OnAbort(why);
  }

  void OnDone() final {
    std::shared_ptr<UnaryReactor> self = std::move(self_);
    OnFinished();
  }

 protected:
  // `context` and `response` are gRPC's, valid until OnDone.
  UnaryReactor(std::string_view method, grpc::CallbackServerContext* context,
               absl::Duration max_duration, const MethodMetrics& metrics,
               Response* response)
      : method_(method),
        context_(context),
        response_(response),
        recorder_(metrics),
        deadline_(CallDeadline(*context, max_duration)) {
    recorder_.Received();
  }

  // Call right after construction.
  void OwnSelf() { self_ = this->shared_from_this(); }

  // Ends the call with the answer or an error. Only the first call counts.
  void End(absl::StatusOr<Response> result) {
    if (ended_.exchange(true)) return;
    // OnDone cannot come before Finish, so response_ and context_ live.
    if (result.ok()) {
      *response_ = *std::move(result);
      recorder_.Sent();
    }
    AddRetryTrailer(result.status(), context_);
    recorder_.Finished(static_cast<grpc::StatusCode>(result.status().code()));
    LogCall(method_, result.status(), recorder_.elapsed());
    this->Finish(ToGrpcStatus(result.status()));
  }

  bool ended() const { return ended_; }
  absl::Time deadline() const { return deadline_; }

  // The call has ended early; stop the work for it.
  virtual void OnAbort(const absl::Status& why) = 0;
  // gRPC is done with the call: drop references to the work.
  virtual void OnFinished() {}

 private:
  const std::string_view method_;
  grpc::CallbackServerContext* const context_;
  Response* const response_;
  CallRecorder recorder_;
  const absl::Time deadline_;
  std::atomic<bool> ended_{false};
  std::shared_ptr<UnaryReactor> self_;  // set before and cleared in OnDone
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_UNARY_REACTOR_H_
