#include "server/export_session_reactor.h"

#include <algorithm>
#include <utility>

#include "core/base/out_of_memory.h"
#include "core/base/status_macros.h"
#include "server/call.h"
#include "server/session_call.h"
#include "server/session_convert.h"

namespace longhand {
namespace {

constexpr size_t kFrameBytes = size_t{256} << 10;

}  // namespace

ExportSessionReactor* ExportSessionReactor::Start(
    const ServiceContext& service, grpc::CallbackServerContext* call,
    const v1::ExportSessionRequest& request) {
  std::shared_ptr<ExportSessionReactor> reactor(
      new ExportSessionReactor(service, call));
  return Launch(std::move(reactor), [&](ExportSessionReactor& self) {
    return self.Submit(SessionIdFromProto(request.session_id()));
  });
}

ExportSessionReactor::ExportSessionReactor(const ServiceContext& service,
                                           grpc::CallbackServerContext* call)
    : StreamReactor(service, service.metrics.export_session, call),
      frame_bytes_(std::min<size_t>(kFrameBytes,
                                    service.limits.max_message_bytes / 2)) {}

absl::Status ExportSessionReactor::Submit(const SessionId& id) {
  LH_RETURN_IF_ERROR(CheckSessions(service()));
  LH_ASSIGN_OR_RETURN(std::unique_ptr<SessionHost::Transfer> transfer,
                      service().sessions->StartTransfer());
  return service().sessions->Run(
      [self =
           std::static_pointer_cast<ExportSessionReactor>(shared_from_this()),
       id, transfer = std::move(transfer)] {
        const absl::Status status = CatchOutOfMemory([&] { self->Export(id); });
        if (!status.ok()) self->Close(status);
      });
}

void ExportSessionReactor::Export(const SessionId& id) {
  if (cancelled_) return;
  absl::Status status = service().sessions->manager().Export(
      MakeSessionCall(caller(), deadline(), &cancelled_), id,
      [this](std::string_view bytes) { return Write(bytes); });
  if (status.ok() && !frame_.empty()) status = SendFrame();
  Close(status);
}

absl::Status ExportSessionReactor::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t taken = std::min(frame_bytes_ - frame_.size(), bytes.size());
    frame_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (frame_.size() == frame_bytes_) LH_RETURN_IF_ERROR(SendFrame());
  }
  return absl::OkStatus();
}

absl::Status ExportSessionReactor::SendFrame() {
  {
    absl::MutexLock lock(&wait_mu_);
    room_ = false;
  }
  const bool room = HasRoom();
  {
    absl::MutexLock lock(&wait_mu_);
    room_ = room_ || room;
    auto go_on = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(wait_mu_) {
      return room_ || !aborted_.ok();
    };
    // The stream's timer comes first, and tells a client that stalls.
    if (!wait_mu_.AwaitWithDeadline(absl::Condition(&go_on), deadline())) {
      return CancelReason(deadline());
    }
    LH_RETURN_IF_ERROR(aborted_);
  }
  v1::ExportSessionResponse response;
  response.set_data(std::exchange(frame_, {}));
  Send(std::move(response));
  return absl::OkStatus();
}

void ExportSessionReactor::OnRoom() {
  absl::MutexLock lock(&wait_mu_);
  room_ = true;
}

void ExportSessionReactor::OnAbort(const absl::Status& why) {
  cancelled_ = true;
  absl::MutexLock lock(&wait_mu_);
  if (aborted_.ok()) aborted_ = why;
}

}  // namespace longhand
