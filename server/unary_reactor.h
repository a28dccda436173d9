// UnaryReactor: the base of unary calls whose answer comes from a worker
// thread. It lets nothing happen for a caller who may not call, and settles the
// race between the answer and a cancellation: whichever comes first ends the
// call, the other is dropped. It owns itself until gRPC is done with it;
// whoever still holds a reference may call End safely later. Thread-safe.
#ifndef LONGHAND_SERVER_UNARY_REACTOR_H_
#define LONGHAND_SERVER_UNARY_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/call.h"
#include "server/metrics.h"
#include "server/service_context.h"

namespace longhand {

template <typename Response>
class UnaryReactor
    : public grpc::ServerUnaryReactor,
      public std::enable_shared_from_this<UnaryReactor<Response>> {
 public:
  void OnCancel() final {
    absl::Status why = CancelReason(deadline());
    End(why);
    OnAbort(why);
  }

  void OnDone() final {
    std::shared_ptr<UnaryReactor> self = std::move(self_);
    OnFinished();
    call_.Done();
  }

 protected:
  // `context` and `response` are gRPC's, valid until OnDone.
  UnaryReactor(const ServiceContext& service, const MethodMetrics& method,
               grpc::CallbackServerContext* context, Response* response)
      : response_(response),
        call_(service, method, context, service.limits.max_request) {
    call_.Received();
  }

  // Starts the call of a reactor that was just made, and gives what gRPC wants.
  // There is no other way, so nothing can be done before it is known who calls:
  // only then does `begin` get the reactor, on this thread. An error of `begin`
  // ends the call.
  // Begin: absl::Status(Reactor&).
  template <typename Reactor, typename Begin>
  static Reactor* Launch(std::shared_ptr<Reactor> reactor, Begin begin) {
    UnaryReactor& base = *reactor;
    base.self_ = reactor;
    absl::Status status = base.call_.Authenticate();
    if (status.ok()) status = begin(*reactor);
    if (!status.ok()) base.End(status);
    return reactor.get();
  }

  // Ends the call with the answer or an error. Only the first call counts.
  void End(absl::StatusOr<Response> result) {
    if (ended_.exchange(true)) return;
    // OnDone cannot come before Finish, so what is gRPC's lives.
    const absl::Status status = result.status();
    if (status.ok()) {
      *response_ = *std::move(result);
      call_.Sent();
    }
    this->Finish(call_.End(status));
  }

  bool ended() const { return ended_; }
  absl::Time deadline() const { return call_.deadline(); }
  const ServiceContext& service() const { return call_.service(); }
  // From `begin` on.
  const Caller& caller() const { return call_.caller(); }
  // For the log; before the call is ended.
  void AddWork(const CallWork& work) { call_.AddWork(work); }

  // The call has ended early; stop the work for it.
  virtual void OnAbort(const absl::Status& why) = 0;
  // gRPC is done with the call: drop references to the work.
  virtual void OnFinished() {}

 private:
  Response* const response_;
  ServerCall call_;
  std::atomic<bool> ended_{false};
  std::shared_ptr<UnaryReactor> self_;  // set before and cleared in OnDone
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_UNARY_REACTOR_H_
