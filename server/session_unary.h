// SessionUnaryReactor: one unary call to the SessionService: its work blocks,
// so it runs on a thread of the SessionHost. Thread-safe.
#ifndef LONGHAND_SERVER_SESSION_UNARY_H_
#define LONGHAND_SERVER_SESSION_UNARY_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager.h"
#include "server/call.h"
#include "server/metrics.h"
#include "server/service_context.h"
#include "server/session_call.h"
#include "server/tenant.h"
#include "server/unary_reactor.h"

namespace longhand {

template <typename Response>
class SessionUnaryReactor : public UnaryReactor<Response> {
 public:
  using Work = absl::AnyInvocable<absl::StatusOr<Response>(
      SessionManager& manager, const SessionCall& call)>;

  // Starts the call: with an error of what was asked for, or with the work to
  // be done. gRPC gets the pointer; the reactor owns itself.
  static SessionUnaryReactor* Start(const ServiceContext& context,
                                    const SessionMethod& method,
                                    grpc::CallbackServerContext* call,
                                    Response* response,
                                    absl::StatusOr<Work> work) {
    std::shared_ptr<SessionUnaryReactor> reactor(
        new SessionUnaryReactor(context, method, call, response));
    reactor->OwnSelf();
    absl::Status status = reactor->Submit(std::move(work));
    if (!status.ok()) reactor->End(status);
    return reactor.get();
  }

 private:
  SessionUnaryReactor(const ServiceContext& context,
                      const SessionMethod& method,
                      grpc::CallbackServerContext* call, Response* response)
      : UnaryReactor<Response>(method.name, call, context.limits.max_request,
                               method.metrics, response),
        context_(context),
        tenant_(TenantOf(*call)) {}

  absl::Status Submit(absl::StatusOr<Work> work) {
    LH_RETURN_IF_ERROR(CheckSessions(context_));
    LH_RETURN_IF_ERROR(work.status());
    return context_.sessions->Run(
        [self = std::static_pointer_cast<SessionUnaryReactor>(
             this->shared_from_this()),
         work = *std::move(work)]() mutable { self->Do(work); });
  }

  void Do(Work& work) {
    if (this->ended()) return;
    if (absl::Now() >= this->deadline()) {
      return this->End(CancelReason(this->deadline()));
    }
    absl::StatusOr<Response> response = work(
        context_.sessions->manager(),
        {.tenant = tenant_,
         .stop = {.deadline = this->deadline(), .cancelled = &cancelled_}});
    if (response.ok()) {
      const size_t size = response->ByteSizeLong();
      if (size > context_.limits.max_message_bytes) {
        response = ResponseTooLarge("ask for less at one time", size,
                                    context_.limits.max_message_bytes);
      }
    }
    this->End(std::move(response));
  }

  void OnAbort(const absl::Status&) override { cancelled_ = true; }

  const ServiceContext& context_;
  const std::string tenant_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_UNARY_H_
