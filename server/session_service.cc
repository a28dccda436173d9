#include "server/session_service.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager.h"
#include "server/append_session_reactor.h"
#include "server/change_session_reactor.h"
#include "server/convert.h"
#include "server/export_session_reactor.h"
#include "server/import_session_reactor.h"
#include "server/session_call.h"
#include "server/session_convert.h"
#include "server/session_unary.h"

namespace longhand {
namespace {

template <typename Response>
using Work = typename SessionUnaryReactor<Response>::Work;

// Response: a message that holds nothing but a session.
template <typename Response>
absl::StatusOr<Response> WithSession(const ServiceContext& context,
                                     const absl::StatusOr<SessionInfo>& info) {
  LH_RETURN_IF_ERROR(info.status());
  Response response;
  *response.mutable_session() =
      ToProto(*info, context.sessions->manager().durability(), context.model);
  return response;
}

// Each makes of a request the work to be done, so that nothing of gRPC's is
// needed later.
absl::StatusOr<Work<v1::CreateSessionResponse>> Prepare(
    const ServiceContext& context, const v1::CreateSessionRequest& request) {
  LH_ASSIGN_OR_RETURN(EncodeOptions options,
                      FromProto(request.options(), context.model));
  LH_ASSIGN_OR_RETURN(std::optional<absl::Duration> ttl,
                      TtlFromProto(request.has_ttl(), request.ttl()));
  return Work<v1::CreateSessionResponse>{
      [&context, options = std::move(options), ttl](SessionManager& manager,
                                                    const SessionCall& call) {
        return WithSession<v1::CreateSessionResponse>(
            context, manager.CreateSession(call, options, ttl));
      }};
}

absl::StatusOr<Work<v1::GetSessionResponse>> Prepare(
    const ServiceContext& context, const v1::GetSessionRequest& request) {
  return Work<v1::GetSessionResponse>{
      [&context, id = SessionIdFromProto(request.session_id())](
          SessionManager& manager, const SessionCall& call) {
        return WithSession<v1::GetSessionResponse>(
            context, manager.GetSession(call, id));
      }};
}

absl::StatusOr<Work<v1::ListSessionsResponse>> Prepare(
    const ServiceContext& context, const v1::ListSessionsRequest& request) {
  LH_ASSIGN_OR_RETURN(int page_size, PageSizeFromProto(request.page_size()));
  return Work<v1::ListSessionsResponse>{
      [&context, page_size, token = request.page_token()](
          SessionManager& manager,
          const SessionCall& call) -> absl::StatusOr<v1::ListSessionsResponse> {
        LH_ASSIGN_OR_RETURN(SessionPage page,
                            manager.ListSessions(call, page_size, token));
        v1::ListSessionsResponse response;
        for (const SessionInfo& info : page.sessions) {
          *response.add_sessions() =
              ToProto(info, manager.durability(), context.model);
        }
        response.set_next_page_token(page.next_page_token);
        return response;
      }};
}

absl::StatusOr<Work<v1::DeleteSessionResponse>> Prepare(
    const ServiceContext&, const v1::DeleteSessionRequest& request) {
  return Work<v1::DeleteSessionResponse>{
      [id = SessionIdFromProto(request.session_id())](SessionManager& manager,
                                                      const SessionCall& call)
          -> absl::StatusOr<v1::DeleteSessionResponse> {
        LH_RETURN_IF_ERROR(manager.DeleteSession(call, id));
        return v1::DeleteSessionResponse();
      }};
}

absl::StatusOr<Work<v1::QuerySessionResponse>> Prepare(
    const ServiceContext& context, const v1::QuerySessionRequest& request) {
  LH_ASSIGN_OR_RETURN(QueryArgs args,
                      QueryArgsFromProto(request, context.model));
  ContentSize size;
  for (const Content& question : args.questions) {
    const ContentSize one = SizeOf(question, context.admission);
    size.bytes += one.bytes;
    size.tokens += one.tokens;
  }
  return Work<v1::QuerySessionResponse>{
      [&context, id = SessionIdFromProto(request.session_id()),
       args = std::move(args)](SessionManager& manager, const SessionCall& call)
          -> absl::StatusOr<v1::QuerySessionResponse> {
        const absl::Time start = absl::Now();
        absl::StatusOr<QueryResult> result = manager.Query(call, id, args);
        context.metrics.session_query_seconds.Observe(
            absl::ToDoubleSeconds(absl::Now() - start));
        LH_RETURN_IF_ERROR(result.status());
        return ToProto(*result);
      },
      size};
}

absl::StatusOr<Work<v1::ForkSessionResponse>> Prepare(
    const ServiceContext& context, const v1::ForkSessionRequest& request) {
  LH_ASSIGN_OR_RETURN(std::optional<absl::Duration> ttl,
                      TtlFromProto(request.has_ttl(), request.ttl()));
  return Work<v1::ForkSessionResponse>{
      [&context, id = SessionIdFromProto(request.session_id()), ttl](
          SessionManager& manager, const SessionCall& call) {
        return WithSession<v1::ForkSessionResponse>(
            context, manager.Fork(call, id, ttl));
      }};
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* Start(const ServiceContext& context,
                                const MethodMetrics& method,
                                grpc::CallbackServerContext* call,
                                const Request& request, Response* response) {
  return SessionUnaryReactor<Response>::Start(
      context, method, call, response,
      [&] { return Prepare(context, request); });
}

}  // namespace

SessionService::SessionService(const ServiceContext& context)
    : context_(context) {}

grpc::ServerUnaryReactor* SessionService::CreateSession(
    grpc::CallbackServerContext* call, const v1::CreateSessionRequest* request,
    v1::CreateSessionResponse* response) {
  return Start(context_, context_.metrics.create_session, call, *request,
               response);
}

grpc::ServerUnaryReactor* SessionService::GetSession(
    grpc::CallbackServerContext* call, const v1::GetSessionRequest* request,
    v1::GetSessionResponse* response) {
  return Start(context_, context_.metrics.get_session, call, *request,
               response);
}

grpc::ServerUnaryReactor* SessionService::ListSessions(
    grpc::CallbackServerContext* call, const v1::ListSessionsRequest* request,
    v1::ListSessionsResponse* response) {
  return Start(context_, context_.metrics.list_sessions, call, *request,
               response);
}

grpc::ServerUnaryReactor* SessionService::DeleteSession(
    grpc::CallbackServerContext* call, const v1::DeleteSessionRequest* request,
    v1::DeleteSessionResponse* response) {
  return Start(context_, context_.metrics.delete_session, call, *request,
               response);
}

grpc::ServerBidiReactor<v1::AppendSessionRequest, v1::AppendSessionResponse>*
SessionService::AppendSession(grpc::CallbackServerContext* call) {
  return AppendSessionReactor::Start(context_, call);
}

grpc::ServerUnaryReactor* SessionService::QuerySession(
    grpc::CallbackServerContext* call, const v1::QuerySessionRequest* request,
    v1::QuerySessionResponse* response) {
  return Start(context_, context_.metrics.query_session, call, *request,
               response);
}

grpc::ServerUnaryReactor* SessionService::ForkSession(
    grpc::CallbackServerContext* call, const v1::ForkSessionRequest* request,
    v1::ForkSessionResponse* response) {
  return Start(context_, context_.metrics.fork_session, call, *request,
               response);
}

grpc::ServerWriteReactor<v1::RewindSessionResponse>*
SessionService::RewindSession(grpc::CallbackServerContext* call,
                              const v1::RewindSessionRequest* request) {
  return ChangeSessionReactor<v1::RewindSessionResponse>::Start(
      context_, context_.metrics.rewind_session, call, *request);
}

grpc::ServerWriteReactor<v1::EditSessionResponse>* SessionService::EditSession(
    grpc::CallbackServerContext* call, const v1::EditSessionRequest* request) {
  return ChangeSessionReactor<v1::EditSessionResponse>::Start(
      context_, context_.metrics.edit_session, call, *request);
}

grpc::ServerWriteReactor<v1::ExportSessionResponse>*
SessionService::ExportSession(grpc::CallbackServerContext* call,
                              const v1::ExportSessionRequest* request) {
  return ExportSessionReactor::Start(context_, call, *request);
}

grpc::ServerReadReactor<v1::ImportSessionRequest>*
SessionService::ImportSession(grpc::CallbackServerContext* call,
                              v1::ImportSessionResponse* response) {
  return ImportSessionReactor::Start(context_, call, response);
}

}  // namespace longhand
