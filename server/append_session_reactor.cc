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
#include "server/tenant.h"

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
    const ServiceContext& context, grpc::CallbackServerContext* call) {
  std::shared_ptr<AppendSessionReactor> reactor(
      new AppendSessionReactor(context, call));
  reactor->Begin();
  return reactor.get();
}

AppendSessionReactor::AppendSessionReactor(const ServiceContext& context,
                                           grpc::CallbackServerContext* call)
    : StreamReactor("AppendSession", call, context.limits,
                    context.metrics.append_session),
      service_(context),
      tenant_(TenantOf(*call)) {}

std::shared_ptr<AppendSessionReactor> AppendSessionReactor::Shared() {
  return std::static_pointer_cast<AppendSessionReactor>(shared_from_this());
}

SessionCall AppendSessionReactor::Call(absl::Time deadline) const {
  return {.tenant = tenant_,
          .stop = {.deadline = deadline, .cancelled = &cancelled_}};
}

void AppendSessionReactor::Begin() {
  absl::Status status = CheckSessions(service_);
  // Before it is started: who drains may call it from then on.
  if (status.ok() && !service_.sessions->AddListener(Shared())) {
    status = DrainingError();
  }
  StreamReactor::Start();
  if (!status.ok()) Close(status);
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
  return service_.sessions->Run(
      [self = Shared(), args = std::move(args)] { self->Append(args); });
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

void AppendSessionReactor::Append(const AppendArgs& args) {
  if (cancelled_) return;
  const absl::Time start = absl::Now();
  absl::StatusOr<AppendResult> result =
      service_.sessions->manager().Append(Call(deadline()), session_id_, args);
  service_.metrics.session_append_seconds.Observe(
      absl::ToDoubleSeconds(absl::Now() - start));
  if (!result.ok()) return Fail(result.status());
  service_.metrics.RecordAppend(result->duplicate);
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
  service_.metrics.RecordAppendFailure(status);
  CloseAfterQueue(status);
}

void AppendSessionReactor::OnEnd() {
  {
    absl::MutexLock lock(&state_mu_);
    if (draining_) return;
  }
  Close(absl::OkStatus());
}

void AppendSessionReactor::OnAbort(const absl::Status&) { cancelled_ = true; }

void AppendSessionReactor::OnFinished() {
  if (service_.sessions != nullptr) service_.sessions->RemoveListener(this);
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
      service_.sessions->manager().GetSession(Call(query_until), session_id_);
  SendNotice(session.ok() ? NoticeOf(*session) : *notice);
}

void AppendSessionReactor::SendNotice(const v1::DrainNotice& notice) {
  v1::AppendSessionResponse response;
  *response.mutable_drain() = notice;
  Send(std::move(response));
  Close(absl::OkStatus());
}

}  // namespace longhand
