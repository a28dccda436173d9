// ChangeSessionReactor: one RewindSession or EditSession call: a change on a
// thread of the SessionHost, then the chunks that changed, as the client reads
// them, then the result. Thread-safe.
#ifndef LONGHAND_SERVER_CHANGE_SESSION_REACTOR_H_
#define LONGHAND_SERVER_CHANGE_SESSION_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager.h"
#include "server/convert.h"
#include "server/service_context.h"
#include "server/session_call.h"
#include "server/session_convert.h"
#include "server/stream_reactor.h"
#include "server/tenant.h"

namespace longhand {

// Response: RewindSessionResponse or EditSessionResponse.
template <typename Response>
class ChangeSessionReactor : public StreamReactor<NoStream, Response> {
 public:
  // Starts the call: with an error of what was asked for, or with the change to
  // be made. gRPC gets the pointer; the reactor owns itself.
  static ChangeSessionReactor* Start(const ServiceContext& context,
                                     const SessionMethod& method,
                                     grpc::CallbackServerContext* call,
                                     SessionId id,
                                     absl::StatusOr<EditArgs> args) {
    std::shared_ptr<ChangeSessionReactor> reactor(
        new ChangeSessionReactor(context, method, call, id));
    reactor->StreamReactor<NoStream, Response>::Start();
    absl::Status status = reactor->Submit(std::move(args));
    if (!status.ok()) reactor->Close(status);
    return reactor.get();
  }

 private:
  ChangeSessionReactor(const ServiceContext& context,
                       const SessionMethod& method,
                       grpc::CallbackServerContext* call, SessionId id)
      : StreamReactor<NoStream, Response>(method.name, call, context.limits,
                                          method.metrics),
        service_(context),
        tenant_(TenantOf(*call)),
        id_(id) {}

  absl::Status Submit(absl::StatusOr<EditArgs> args) {
    LH_RETURN_IF_ERROR(CheckSessions(service_));
    LH_RETURN_IF_ERROR(args.status());
    return service_.sessions->Run(
        [self = std::static_pointer_cast<ChangeSessionReactor>(
             this->shared_from_this()),
         args = *std::move(args)] { self->Change(args); });
  }

  void Change(const EditArgs& args) {
    if (cancelled_) return;
    absl::StatusOr<EditResult> result = service_.sessions->manager().Edit(
        {.tenant = tenant_,
         .stop = {.deadline = this->deadline(), .cancelled = &cancelled_}},
        id_, args);
    if (!result.ok()) return this->Close(result.status());
    result_ = *std::move(result);
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
      *response.mutable_result() = ToProto(
          result_, service_.sessions->manager().durability(), service_.model);
      this->Send(std::move(response));
      return this->Close(absl::OkStatus());
    }
  }

  void OnMessage(NoStream&) override {}
  void OnEnd() override {}
  void OnAbort(const absl::Status&) override { cancelled_ = true; }
  void OnRoom() override { SendResult(); }
  void OnFinished() override {}

  const ServiceContext& service_;
  const std::string tenant_;
  const SessionId id_;
  std::atomic<bool> cancelled_{false};
  // The host's thread uses these, then OnRoom.
  EditResult result_;
  size_t next_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_CHANGE_SESSION_REACTOR_H_
