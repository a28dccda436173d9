#include "client/session_client.h"

#include <utility>

#include "absl/functional/function_ref.h"
#include "client/appender.h"
#include "client/channel_factory.h"
#include "client/client_error.h"
#include "client/retry.h"
#include "client/rpc_status.h"
#include "client/session_channels.h"
#include "client/status_macros.h"
#include "longhand/v1/session_service.grpc.pb.h"

namespace longhand::client {
namespace {

constexpr uint32_t kPageSize = 1000;
constexpr size_t kImportPieceBytes = 64 << 10;

using Stub = SessionChannels::Stub;
using RunAttempt = absl::FunctionRef<Attempt(Stub*, grpc::ClientContext*)>;

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return proto;
}

absl::Status Incomplete(absl::string_view what) {
  return MakeClientError(absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
                         what);
}

// Reads the chunks and the result of a rewind or an edit.
template <typename Response>
Attempt TakeChanges(grpc::ClientContext* context,
                    grpc::ClientReaderInterface<Response>* stream,
                    const OnChunk& on_chunk, v1::ChangeResult* result) {
  bool delivered = false;
  bool has_result = false;
  absl::Status taken;
  Response response;
  while (taken.ok() && stream->Read(&response)) {
    if (response.has_result()) {
      *result = std::move(*response.mutable_result());
      has_result = true;
    } else if (response.has_chunk() && on_chunk) {
      delivered = true;
      absl::StatusOr<Chunk> chunk = ToChunk(response.chunk());
      taken = chunk.ok() ? on_chunk(*std::move(chunk)) : chunk.status();
    }
  }
  if (!taken.ok()) context->TryCancel();
  while (stream->Read(&response)) {
    // Finish wants the stream read empty.
  }
  const absl::Status status = FromGrpcStatus(stream->Finish());
  if (!taken.ok()) return {taken, false};
  if (!status.ok()) return {status, !delivered};
  return {has_result ? absl::OkStatus()
                     : Incomplete("the server ended the call without a result"),
          false};
}

// Sends the snapshot in `source`.
Attempt SendSnapshot(
    grpc::ClientContext* context,
    grpc::ClientWriterInterface<v1::ImportSessionRequest>* stream,
    ContentSource* source, std::optional<absl::Duration> ttl) {
  v1::ImportSessionRequest request;
  if (ttl) *request.mutable_ttl() = ToProto(*ttl);
  bool read_any = false;
  absl::Status source_status;
  for (;;) {
    std::string* data = request.mutable_data();
    data->resize(kImportPieceBytes);
    const absl::StatusOr<size_t> count =
        source->Read(absl::MakeSpan(data->data(), data->size()));
    if (!count.ok()) source_status = count.status();
    if (!count.ok() || *count == 0) break;
    read_any = true;
    data->resize(*count);
    if (!stream->Write(request)) break;
    request.clear_ttl();
  }
  // The server must not take a cut snapshot for a whole one.
  if (!source_status.ok()) context->TryCancel();
  stream->WritesDone();
  const absl::Status status = FromGrpcStatus(stream->Finish());
  if (!source_status.ok()) return {source_status, false};
  if (status.ok() || !IsTransient(status)) return {status, false};
  return {status, !read_any || source->Rewind()};
}

class GrpcSessionClient : public SessionClient {
 public:
  GrpcSessionClient(const ClientOptions& options,
                    std::unique_ptr<ChannelFactory> factory,
                    RedirectOptions redirects)
      : options_(options),
        channels_(std::move(factory), options.target, redirects) {}

  absl::StatusOr<v1::Session> Create(const v1::CreateSessionRequest& request,
                                     const CallOptions& call) override {
    v1::CreateSessionResponse response;
    LH_CLIENT_RETURN_IF_ERROR(
        Unary("", call, [&](Stub* stub, grpc::ClientContext* context) {
          return stub->CreateSession(context, request, &response);
        }));
    return std::move(*response.mutable_session());
  }

  absl::StatusOr<v1::Session> Get(absl::string_view session_id,
                                  const CallOptions& call) override {
    v1::GetSessionRequest request;
    request.set_session_id(std::string(session_id));
    v1::GetSessionResponse response;
    LH_CLIENT_RETURN_IF_ERROR(
        Unary(session_id, call, [&](Stub* stub, grpc::ClientContext* context) {
          return stub->GetSession(context, request, &response);
        }));
    return std::move(*response.mutable_session());
  }

  absl::StatusOr<std::vector<v1::Session>> List(
      const CallOptions& call) override {
    std::vector<v1::Session> sessions;
    v1::ListSessionsRequest request;
    request.set_page_size(kPageSize);
    do {
      v1::ListSessionsResponse response;
      LH_CLIENT_RETURN_IF_ERROR(
          Unary("", call, [&](Stub* stub, grpc::ClientContext* context) {
            return stub->ListSessions(context, request, &response);
          }));
      for (v1::Session& session : *response.mutable_sessions()) {
        sessions.push_back(std::move(session));
      }
      if (!response.next_page_token().empty() &&
          response.next_page_token() == request.page_token()) {
        return Incomplete("the server gives the same page again and again");
      }
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return sessions;
  }

  absl::Status Delete(absl::string_view session_id,
                      const CallOptions& call) override {
    v1::DeleteSessionRequest request;
    request.set_session_id(std::string(session_id));
    v1::DeleteSessionResponse response;
    return Unary(session_id, call,
                 [&](Stub* stub, grpc::ClientContext* context) {
                   return stub->DeleteSession(context, request, &response);
                 });
  }

  absl::StatusOr<QueryResult> Query(const v1::QuerySessionRequest& request,
                                    const CallOptions& call) override {
    v1::QuerySessionResponse response;
    LH_CLIENT_RETURN_IF_ERROR(
        Unary(request.session_id(), call,
              [&](Stub* stub, grpc::ClientContext* context) {
                return stub->QuerySession(context, request, &response);
              }));
    return ToQueryResult(response, request.questions_size());
  }

  absl::StatusOr<v1::Session> Fork(const v1::ForkSessionRequest& request,
                                   const CallOptions& call) override {
    v1::ForkSessionResponse response;
    LH_CLIENT_RETURN_IF_ERROR(
        Unary(request.session_id(), call,
              [&](Stub* stub, grpc::ClientContext* context) {
                return stub->ForkSession(context, request, &response);
              }));
    return std::move(*response.mutable_session());
  }

  absl::StatusOr<v1::ChangeResult> Rewind(
      const v1::RewindSessionRequest& request, const OnChunk& on_chunk,
      const CallOptions& call) override {
    return Change(
        request, call,
        [&](Stub* stub, grpc::ClientContext* context,
            const v1::RewindSessionRequest& guarded, v1::ChangeResult* result) {
          const auto stream = stub->RewindSession(context, guarded);
          return TakeChanges(context, stream.get(), on_chunk, result);
        });
  }

  absl::StatusOr<v1::ChangeResult> Edit(const v1::EditSessionRequest& request,
                                        const OnChunk& on_chunk,
                                        const CallOptions& call) override {
    return Change(
        request, call,
        [&](Stub* stub, grpc::ClientContext* context,
            const v1::EditSessionRequest& guarded, v1::ChangeResult* result) {
          const auto stream = stub->EditSession(context, guarded);
          return TakeChanges(context, stream.get(), on_chunk, result);
        });
  }

  absl::Status Export(
      absl::string_view session_id,
      const std::function<absl::Status(absl::string_view)>& sink,
      const CallOptions& call) override {
    v1::ExportSessionRequest request;
    request.set_session_id(std::string(session_id));
    return Run(session_id, call, [&](Stub* stub, grpc::ClientContext* context) {
      const auto stream = stub->ExportSession(context, request);
      bool delivered = false;
      absl::Status taken;
      v1::ExportSessionResponse response;
      while (taken.ok() && stream->Read(&response)) {
        delivered = true;
        taken = sink(response.data());
      }
      if (!taken.ok()) context->TryCancel();
      while (stream->Read(&response)) {
        // Finish wants the stream read empty.
      }
      const absl::Status status = FromGrpcStatus(stream->Finish());
      return taken.ok() ? Attempt{status, !delivered} : Attempt{taken, false};
    });
  }

  absl::StatusOr<v1::Session> Import(ContentSource* source,
                                     std::optional<absl::Duration> ttl,
                                     const CallOptions& call) override {
    v1::ImportSessionResponse response;
    LH_CLIENT_RETURN_IF_ERROR(
        Run("", call, [&](Stub* stub, grpc::ClientContext* context) {
          const auto stream = stub->ImportSession(context, &response);
          return SendSnapshot(context, stream.get(), source, ttl);
        }));
    return std::move(*response.mutable_session());
  }

  std::unique_ptr<SessionAppender> NewAppender(
      const AppendOptions& options) override {
    return std::make_unique<Appender>(this, &channels_, &options_, options);
  }

 private:
  // Attempts at a call about the session, if any, wherever it lies.
  absl::Status Run(absl::string_view session_id, const CallOptions& call,
                   RunAttempt run_attempt) {
    SessionRoute route(&channels_, std::string(session_id));
    return RetryLoop(options_, call).Run([&](grpc::ClientContext& context) {
      route.Label(&context);
      Attempt attempt = run_attempt(route.stub(), &context);
      if (!attempt.status.ok()) route.AfterFailure(attempt.status);
      return attempt;
    });
  }

  absl::Status Unary(
      absl::string_view session_id, const CallOptions& call,
      absl::FunctionRef<grpc::Status(Stub*, grpc::ClientContext*)> invoke) {
    return Run(session_id, call, [&](Stub* stub, grpc::ClientContext* context) {
      return Attempt{FromGrpcStatus(invoke(stub, context))};
    });
  }

  // A change that must not happen twice.
  template <typename Request, typename Invoke>
  absl::StatusOr<v1::ChangeResult> Change(Request request,
                                          const CallOptions& call,
                                          Invoke invoke) {
    if (request.if_state_digest().empty()) {
      LH_CLIENT_ASSIGN_OR_RETURN(const v1::Session session,
                                 Get(request.session_id(), call));
      request.set_if_state_digest(session.state_digest());
    }
    v1::ChangeResult result;
    int attempts = 0;
    const absl::Status status =
        Run(request.session_id(), call,
            [&](Stub* stub, grpc::ClientContext* context) {
              ++attempts;
              return invoke(stub, context, request, &result);
            });
    if (attempts > 1 && HasReason(status, "STATE_DIVERGED")) {
      return MakeClientError(
          absl::StatusCode::kAborted, "OUTCOME_UNKNOWN",
          "the connection was lost and the session has changed since: by this "
          "call, or by somebody else. Look at the session before you try again",
          GetErrorDetail(status)->metadata);
    }
    LH_CLIENT_RETURN_IF_ERROR(status);
    return result;
  }

  // Constant after construction, or thread-safe.
  const ClientOptions options_;
  SessionChannels channels_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SessionClient>> SessionClient::Connect(
    const ClientOptions& options, const RedirectOptions& redirects) {
  LH_CLIENT_ASSIGN_OR_RETURN(auto factory, ChannelFactory::Create(options));
  return std::make_unique<GrpcSessionClient>(options, std::move(factory),
                                             redirects);
}

}  // namespace longhand::client
