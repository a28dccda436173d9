// SessionService: longhand.v1.SessionService over a SessionManager.
// Thread-safe.
#ifndef LONGHAND_SERVER_SESSION_SERVICE_H_
#define LONGHAND_SERVER_SESSION_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "longhand/v1/session_service.grpc.pb.h"
#include "server/service_context.h"

namespace longhand {

class SessionService final : public v1::SessionService::CallbackService {
 public:
  // `context` outlives the service. Where it has no sessions, every call ends
  // with UNIMPLEMENTED (SESSIONS_DISABLED).
  explicit SessionService(const ServiceContext& context);

  grpc::ServerUnaryReactor* CreateSession(
      grpc::CallbackServerContext* call,
      const v1::CreateSessionRequest* request,
      v1::CreateSessionResponse* response) override;

  grpc::ServerUnaryReactor* GetSession(
      grpc::CallbackServerContext* call, const v1::GetSessionRequest* request,
      v1::GetSessionResponse* response) override;

  grpc::ServerUnaryReactor* ListSessions(
      grpc::CallbackServerContext* call, const v1::ListSessionsRequest* request,
      v1::ListSessionsResponse* response) override;

  grpc::ServerUnaryReactor* DeleteSession(
      grpc::CallbackServerContext* call,
      const v1::DeleteSessionRequest* request,
      v1::DeleteSessionResponse* response) override;

  grpc::ServerBidiReactor<v1::AppendSessionRequest, v1::AppendSessionResponse>*
  AppendSession(grpc::CallbackServerContext* call) override;

  grpc::ServerUnaryReactor* QuerySession(
      grpc::CallbackServerContext* call, const v1::QuerySessionRequest* request,
      v1::QuerySessionResponse* response) override;

  grpc::ServerUnaryReactor* ForkSession(
      grpc::CallbackServerContext* call, const v1::ForkSessionRequest* request,
      v1::ForkSessionResponse* response) override;

  grpc::ServerWriteReactor<v1::RewindSessionResponse>* RewindSession(
      grpc::CallbackServerContext* call,
      const v1::RewindSessionRequest* request) override;

  grpc::ServerWriteReactor<v1::EditSessionResponse>* EditSession(
      grpc::CallbackServerContext* call,
      const v1::EditSessionRequest* request) override;

  grpc::ServerWriteReactor<v1::ExportSessionResponse>* ExportSession(
      grpc::CallbackServerContext* call,
      const v1::ExportSessionRequest* request) override;

  grpc::ServerReadReactor<v1::ImportSessionRequest>* ImportSession(
      grpc::CallbackServerContext* call,
      v1::ImportSessionResponse* response) override;

 private:
  const ServiceContext& context_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_SERVICE_H_
