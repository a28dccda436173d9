// SessionUnaryReactor: one unary call to the SessionService: its work blocks,
// so it runs on a thread of the SessionHost. Thread-safe.
#ifndef LONGHAND_SERVER_SESSION_UNARY_H_
#define LONGHAND_SERVER_SESSION_UNARY_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "core/base/out_of_memory.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager.h"
#include "server/admit.h"
#include "server/call.h"
#include "server/metrics.h"
#include "server/service_context.h"
#include "server/session_call.h"
#include "server/unary_reactor.h"

namespace longhand {

template <typename Response>
class SessionUnaryReactor : public UnaryReactor<Response> {
 public:
  struct Work {
    absl::AnyInvocable<absl::StatusOr<Response>(SessionManager& manager,
                                                const SessionCall& call)>
        run;
    // What there is to be computed; without it, none waits for a place.
    std::optional<ContentSize> content = std::nullopt;
  };

  // Starts the call. `prepare` makes of the request the work to be done, or an
  // error, before this returns; not called if the caller may not call. gRPC
  // gets the pointer; the reactor owns itself.
  static SessionUnaryReactor* Start(
      const ServiceContext& service, const MethodMetrics& method,
      grpc::CallbackServerContext* call, Response* response,
      absl::FunctionRef<absl::StatusOr<Work>()> prepare) {
    std::shared_ptr<SessionUnaryReactor> reactor(
        new SessionUnaryReactor(service, method, call, response));
    return UnaryReactor<Response>::Launch(
        std::move(reactor), [&](SessionUnaryReactor& self) -> absl::Status {
          LH_RETURN_IF_ERROR(CheckSessions(service));
          LH_ASSIGN_OR_RETURN(Work work, prepare());
          return self.Submit(std::move(work));
        });
  }

 private:
  SessionUnaryReactor(const ServiceContext& service,
                      const MethodMetrics& method,
                      grpc::CallbackServerContext* call, Response* response)
      : UnaryReactor<Response>(service, method, call, response) {}

  absl::Status Submit(Work work) {
    auto self =
        std::static_pointer_cast<SessionUnaryReactor>(this->shared_from_this());
    if (!work.content.has_value()) {
      return this->service().sessions->Run([self,
                                            work = std::move(work)]() mutable {
        const absl::Status status = CatchOutOfMemory([&] { self->Do(work); });
        if (!status.ok()) self->End(status);
      });
    }
    Admission::Request admission =
        AdmissionRequest(this->caller(), this->deadline(), *work.content);
    RunAdmitted(
        this->service(), std::move(admission), ticket_,
        [self, work = std::move(work)](Admission::Permit&) mutable {
          self->Do(work);
        },
        [self](const absl::Status& why) { self->End(why); });
    return absl::OkStatus();
  }

  void Do(Work& work) {
    if (this->ended()) return;
    if (absl::Now() >= this->deadline()) {
      return this->End(CancelReason(this->deadline()));
    }
    const uint64_t max_bytes = this->service().limits.max_message_bytes;
    absl::StatusOr<Response> response = work.run(
        this->service().sessions->manager(),
        MakeSessionCall(this->caller(), this->deadline(), &cancelled_));
    if (response.ok()) {
      const size_t size = response->ByteSizeLong();
      if (size > max_bytes) {
        response =
            ResponseTooLarge("ask for less at one time", size, max_bytes);
      }
    }
    this->End(std::move(response));
  }

  void OnAbort(const absl::Status& why) override {
    cancelled_ = true;
    ticket_.Cancel(why);
  }

  std::atomic<bool> cancelled_{false};
  TicketSlot ticket_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_UNARY_H_
