// ChangeSessionReactor: one RewindSession or EditSession call: a change on a
// thread of the SessionHost, then the chunks that changed, as the client reads
// them, then the result. Thread-safe.
#ifndef LONGHAND_SERVER_CHANGE_SESSION_REACTOR_H_
#define LONGHAND_SERVER_CHANGE_SESSION_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager.h"
#include "server/admit.h"
#include "server/convert.h"
#include "server/metrics.h"
#include "server/service_context.h"
#include "server/session_call.h"
#include "server/session_convert.h"
#include "server/stream_reactor.h"

namespace longhand {

// Response: RewindSessionResponse or EditSessionResponse.
template <typename Response>
class ChangeSessionReactor : public StreamReactor<NoStream, Response> {
 public:
  // Starts the call. gRPC gets the pointer; the reactor owns itself.
  // Request: RewindSessionRequest or EditSessionRequest.
  template <typename Request>
  static ChangeSessionReactor* Start(const ServiceContext& service,
                                     const MethodMetrics& method,
                                     grpc::CallbackServerContext* call,
                                     const Request& request) {
    std::shared_ptr<ChangeSessionReactor> reactor(
        new ChangeSessionReactor(service, method, call));
    return StreamReactor<NoStream, Response>::Launch(
        std::move(reactor), [&](ChangeSessionReactor& self) -> absl::Status {
          LH_RETURN_IF_ERROR(CheckSessions(service));
          LH_ASSIGN_OR_RETURN(EditArgs args, EditArgsFromProto(request));
          return self.Submit(SessionIdFromProto(request.session_id()),
                             std::move(args));
        });
  }

 private:
  ChangeSessionReactor(const ServiceContext& service,
                       const MethodMetrics& method,
                       grpc::CallbackServerContext* call)
      : StreamReactor<NoStream, Response>(service, method, call) {}

  absl::Status Submit(const SessionId& id, EditArgs args) {
    auto self = std::static_pointer_cast<ChangeSessionReactor>(
        this->shared_from_this());
    Admission::Request admission =
        AdmissionRequest(this->caller(), this->deadline(),
                         SizeOf(args.content, this->service().admission));
    RunAdmitted(
        this->service(), std::move(admission), ticket_,
        [self, id, args = std::move(args)](Admission::Permit& permit) {
          self->Change(id, args, permit);
        },
        [self](const absl::Status& why) { self->Close(why); });
    return absl::OkStatus();
  }

  void Change(const SessionId& id, const EditArgs& args,
              Admission::Permit& permit) {
    if (cancelled_) return;
    absl::StatusOr<EditResult> result = manager().Edit(
        MakeSessionCall(this->caller(), this->deadline(), &cancelled_), id,
        args);
    if (!result.ok()) return this->Close(result.status());
    result_ = *std::move(result);
    permit.OnProgress(0, 0, result_.computed_tokens);
    SendResult();
  }

  // Sends what there is room for. OnRoom goes on.
  void SendResult() {
    while (this->HasRoom()) {
      Response response;
      if (next_ < result_.changed.size()) {
        *response.mutable_chunk() = ToProto(result_.changed[next_++]);
        this->Send(std::move(response));
        continue;
      }
      *response.mutable_result() =
          ToProto(result_, manager().durability(), this->service().model);
      this->Send(std::move(response));
      return this->Close(absl::OkStatus());
    }
  }

  SessionManager& manager() const {
    return this->service().sessions->manager();
  }

  void OnMessage(NoStream&) override {}
  void OnEnd() override {}
  void OnAbort(const absl::Status& why) override {
    cancelled_ = true;
    ticket_.Cancel(why);
  }
  void OnRoom() override { SendResult(); }
  void OnFinished() override {}

  std::atomic<bool> cancelled_{false};
  TicketSlot ticket_;
  // The host's thread uses these, then OnRoom.
  EditResult result_;
  size_t next_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_CHANGE_SESSION_REACTOR_H_
