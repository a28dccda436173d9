#include "server/import_session_reactor.h"

#include <utility>

#include "core/base/error.h"
#include "core/base/out_of_memory.h"
#include "core/base/status_macros.h"
#include "server/call.h"
#include "server/session_call.h"
#include "server/session_convert.h"

namespace longhand {
namespace {

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

}  // namespace

ImportSessionReactor* ImportSessionReactor::Start(
    const ServiceContext& service, grpc::CallbackServerContext* call,
    v1::ImportSessionResponse* response) {
  std::shared_ptr<ImportSessionReactor> reactor(
      new ImportSessionReactor(service, call, response));
  return Launch(std::move(reactor),
                [&](ImportSessionReactor&) { return CheckSessions(service); });
}

ImportSessionReactor::ImportSessionReactor(const ServiceContext& service,
                                           grpc::CallbackServerContext* call,
                                           v1::ImportSessionResponse* response)
    : StreamReactor(service, service.metrics.import_session, call),
      response_(response) {}

void ImportSessionReactor::OnMessage(v1::ImportSessionRequest& request) {
  absl::Status status;
  if (!begun_) {
    begun_ = true;
    status = Begin(request);
  } else if (request.has_ttl()) {
    status = Invalid("TTL_REPEATED",
                     "only the first message of a stream may carry ttl");
  }
  if (!status.ok()) return Abort(status);
  if (request.data().empty()) return ReadNext();
  absl::MutexLock lock(&wait_mu_);
  data_ = std::move(*request.mutable_data());
}

absl::Status ImportSessionReactor::Begin(
    const v1::ImportSessionRequest& request) {
  LH_ASSIGN_OR_RETURN(std::optional<absl::Duration> ttl,
                      TtlFromProto(request.has_ttl(), request.ttl()));
  LH_ASSIGN_OR_RETURN(std::unique_ptr<SessionHost::Transfer> transfer,
                      service().sessions->StartTransfer());
  return service().sessions->Run(
      [self =
           std::static_pointer_cast<ImportSessionReactor>(shared_from_this()),
       ttl, transfer = std::move(transfer)] {
        const absl::Status status =
            CatchOutOfMemory([&] { self->Import(ttl); });
        if (!status.ok()) self->Close(status);
      });
}

void ImportSessionReactor::Import(std::optional<absl::Duration> ttl) {
  if (cancelled_) return;
  SessionManager& manager = service().sessions->manager();
  absl::StatusOr<SessionInfo> session = manager.Import(
      MakeSessionCall(caller(), deadline(), &cancelled_),
      [this] { return Read(); }, ttl);
  if (!session.ok()) return Close(session.status());
  *result_.mutable_session() =
      ToProto(*session, manager.durability(), service().model);
  Close(absl::OkStatus());
}

absl::StatusOr<std::string> ImportSessionReactor::Read() {
  std::string data;
  {
    absl::MutexLock lock(&wait_mu_);
    auto go_on = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(wait_mu_) {
      return data_.has_value() || ended_ || !aborted_.ok();
    };
    // The stream's timer comes first, and tells a client that stalls.
    if (!wait_mu_.AwaitWithDeadline(absl::Condition(&go_on), deadline())) {
      return CancelReason(deadline());
    }
    LH_RETURN_IF_ERROR(aborted_);
    if (!data_.has_value()) return std::string();
    data = *std::exchange(data_, std::nullopt);
  }
  ReadNext();
  return data;
}

void ImportSessionReactor::OnEnd() {
  if (!begun_) {
    return Abort(Invalid("SNAPSHOT_INVALID",
                         "the stream ended without a message; send what "
                         "ExportSession gave"));
  }
  absl::MutexLock lock(&wait_mu_);
  ended_ = true;
}

void ImportSessionReactor::OnAbort(const absl::Status& why) {
  cancelled_ = true;
  absl::MutexLock lock(&wait_mu_);
  if (aborted_.ok()) aborted_ = why;
}

void ImportSessionReactor::OnFinishing(const absl::Status& status) {
  if (status.ok()) *response_ = std::move(result_);
}

}  // namespace longhand
