#include "server/export_session_reactor.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "server/call.h"
#include "server/session_call.h"
#include "server/session_convert.h"
#include "server/tenant.h"

namespace longhand {
namespace {

constexpr size_t kFrameBytes = size_t{256} << 10;

}  // namespace

ExportSessionReactor* ExportSessionReactor::Start(
    const ServiceContext& context, grpc::CallbackServerContext* call,
    const v1::ExportSessionRequest& request) {
  std::shared_ptr<ExportSessionReactor> reactor(
      new ExportSessionReactor(context, call, request));
  reactor->StreamReactor::Start();
  absl::Status status = reactor->Submit();
  if (!status.ok()) reactor->Close(status);
  return reactor.get();
}

ExportSessionReactor::ExportSessionReactor(
    const ServiceContext& context, grpc::CallbackServerContext* call,
    const v1::ExportSessionRequest& request)
    : StreamReactor("ExportSession", call, context.limits,
                    context.metrics.export_session),
      service_(context),
      tenant_(TenantOf(*call)),
      id_(SessionIdFromProto(request.session_id())),
      frame_bytes_(std::min<size_t>(kFrameBytes,
                                    context.limits.max_message_bytes / 2)) {}

absl::Status ExportSessionReactor::Submit() {
  LH_RETURN_IF_ERROR(CheckSessions(service_));
  LH_ASSIGN_OR_RETURN(std::unique_ptr<SessionHost::Transfer> transfer,
                      service_.sessions->StartTransfer());
  return service_.sessions->Run(
      [self =
           std::static_pointer_cast<ExportSessionReactor>(shared_from_this()),
       transfer = std::move(transfer)] { self->Export(); });
}

void ExportSessionReactor::Export() {
  if (cancelled_) return;
  absl::Status status = service_.sessions->manager().Export(
      {.tenant = tenant_,
       .stop = {.deadline = deadline(), .cancelled = &cancelled_}},
      id_, [this](std::string_view bytes) { return Write(bytes); });
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
