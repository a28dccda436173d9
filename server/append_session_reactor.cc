#include "server/append_session_reactor.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/append_protocol.h"
#include "server/convert.h"
#include "server/session_call.h"
#include "server/session_convert.h"

namespace longhand {
namespace {

// Result: AppendResult or SessionInfo.
template <typename Result>
v1::DrainNotice NoticeOf(const Result& result) {
  v1::DrainNotice notice;
  notice.set_resume_offset(result.committed_offset);
  notice.set_durable_offset(result.durable_offset);
  notice.set_state_digest(DigestBytes(result.digest));
  return notice;
}

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

}  // namespace

AppendSessionReactor* AppendSessionReactor::Start(
    const ServiceContext& service, grpc::CallbackServerContext* call) {
  std::shared_ptr<AppendSessionReactor> reactor(
      new AppendSessionReactor(service, call));
  return Launch(std::move(reactor),
                [](AppendSessionReactor& self) { return self.Begin(); });
}

AppendSessionReactor::AppendSessionReactor(const ServiceContext& service,
                                           grpc::CallbackServerContext* call)
    : StreamReactor(service, service.metrics.append_session, call) {}

std::shared_ptr<AppendSessionReactor> AppendSessionReactor::Shared() {
  return std::static_pointer_cast<AppendSessionReactor>(shared_from_this());
}

SessionCall AppendSessionReactor::Call(absl::Time deadline) const {
  return MakeSessionCall(caller(), deadline, &cancelled_);
}

absl::Status AppendSessionReactor::Begin() {
  LH_RETURN_IF_ERROR(CheckSessions(service()));
  return service().sessions->AddListener(Shared()) ? absl::OkStatus()
                                                   : DrainingError();
}

void AppendSessionReactor::OnMessage(v1::AppendSessionRequest& request) {
  {
    absl::MutexLock lock(&state_mu_);
    if (draining_) return;  // the notice says that it was not taken
    busy_ = true;
  }
  absl::Status status = Submit(request);
  if (!status.ok()) Fail(status);
}

absl::Status AppendSessionReactor::Submit(v1::AppendSessionRequest& request) {
  LH_RETURN_IF_ERROR(SetSession(request.session_id()));
  LH_ASSIGN_OR_RETURN(AppendArgs args, AppendArgsFromProto(request));
  Admission::Request admission = AdmissionRequest(
      caller(), deadline(), SizeOf(args.content, service().admission));
  RunAdmitted(
      service(), std::move(admission), ticket_,
      [self = Shared(), args = std::move(args)](Admission::Permit& permit) {
        self->Append(args, permit);
      },
      [self = Shared()](const absl::Status& why) { self->Fail(why); });
  return absl::OkStatus();
}

absl::Status AppendSessionReactor::SetSession(const std::string& session_id) {
  if (!session_text_.has_value()) {
    if (session_id.empty()) {
      return Invalid("SESSION_ID_MISSING",
                     "the first message of a stream must name the session");
    }
    session_text_ = session_id;
    session_id_ = SessionIdFromProto(session_id);
  } else if (!session_id.empty() && session_id != *session_text_) {
    return Invalid("SESSION_ID_CHANGED",
                   "all messages of a stream are for one session; open another "
                   "stream for another one");
  }
  return absl::OkStatus();
}

void AppendSessionReactor::Append(const AppendArgs& args,
                                  Admission::Permit& permit) {
  if (cancelled_) return;
  const absl::Time start = absl::Now();
  absl::StatusOr<AppendResult> result =
      service().sessions->manager().Append(Call(deadline()), session_id_, args);
  service().metrics.session_append_seconds.Observe(
      absl::ToDoubleSeconds(absl::Now() - start));
  if (!result.ok()) return Fail(result.status());
  service().metrics.RecordAppend(result->duplicate);
  permit.OnProgress(0, 0, result->computed_tokens);
  {
    absl::MutexLock lock(&state_mu_);
    last_ = NoticeOf(*result);
  }
  output_ = {.result = *std::move(result), .append_id = args.append_id};
  SendOutput();
}

void AppendSessionReactor::SendOutput() {
  Output& output = *output_;
  const std::vector<ChunkResult>& chunks = output.result.chunks;
  const std::vector<ChunkResult>& provisional =
      output.result.provisional_chunks;
  // Once there is no room, output_ is OnRoom's.
  while (HasRoom()) {
    v1::AppendSessionResponse response;
    if (output.next_chunk < chunks.size()) {
      *response.mutable_chunk() = ToProto(chunks[output.next_chunk++]);
      Send(std::move(response));
    } else if (output.next_provisional < provisional.size()) {
      *response.mutable_provisional_chunk() =
          ToProto(provisional[output.next_provisional++]);
      Send(std::move(response));
    } else {
      *response.mutable_result() = ToProto(output.result, output.append_id);
      output_.reset();
      Send(std::move(response));
      return OnOutputSent();
    }
  }
}

void AppendSessionReactor::OnOutputSent() {
  std::optional<v1::DrainNotice> notice;
  {
    absl::MutexLock lock(&state_mu_);
    if (draining_) {
      notice = last_;
    } else {
      busy_ = false;
    }
  }
  if (notice.has_value()) return SendNotice(*notice);
  if (HasRoom()) ReadNext();
}

void AppendSessionReactor::OnRoom() {
  if (output_.has_value()) {
    SendOutput();
  } else {
    ReadNext();
  }
}

// Results of earlier appends go first: they were done.
void AppendSessionReactor::Fail(const absl::Status& status) {
  service().metrics.RecordAppendFailure(status);
  CloseAfterQueue(status);
}

void AppendSessionReactor::OnEnd() {
  {
    absl::MutexLock lock(&state_mu_);
    if (draining_) return;
  }
  Close(absl::OkStatus());
}

void AppendSessionReactor::OnAbort(const absl::Status& why) {
  cancelled_ = true;
  ticket_.Cancel(why);
}

void AppendSessionReactor::OnFinished() {
  if (service().sessions != nullptr) service().sessions->RemoveListener(this);
}

void AppendSessionReactor::OnDrain(absl::Time query_until) {
  std::optional<v1::DrainNotice> notice;
  {
    absl::MutexLock lock(&state_mu_);
    draining_ = true;
    if (busy_) return;  // the notice follows the append's result
    notice = last_;
  }
  if (!notice.has_value()) return Close(DrainingError());
  // More may have become durable since.
  absl::StatusOr<SessionInfo> session =
      service().sessions->manager().GetSession(Call(query_until), session_id_);
  SendNotice(session.ok() ? NoticeOf(*session) : *notice);
}

void AppendSessionReactor::SendNotice(const v1::DrainNotice& notice) {
  v1::AppendSessionResponse response;
  *response.mutable_drain() = notice;
  Send(std::move(response));
  Close(absl::OkStatus());
}

}  // namespace longhand
