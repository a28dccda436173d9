#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/channel_factory.h"
#include "client/cli/commands.h"
#include "client/rpc_status.h"
#include "client/status_macros.h"
#include "google/protobuf/wrappers.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
// For gRPC's way to serialise protobuf, whose header is not the same in all
// releases.
#include "longhand/v1/model_service.grpc.pb.h"

namespace longhand::client {
namespace {

// grpc.health.v1.HealthCheckRequest is one string with the number 1, its
// response one enum with the number 1. These two are the same bytes, and come
// with protobuf; the messages themselves come with no Debian package.
using HealthRequest = google::protobuf::StringValue;
using HealthResponse = google::protobuf::Int32Value;
using HealthStub = grpc::TemplatedGenericStub<HealthRequest, HealthResponse>;

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kServiceUnknown[] = "SERVICE_UNKNOWN";

// HealthCheckResponse.ServingStatus.
std::string StateName(int state) {
  switch (state) {
    case 1:
      return "SERVING";
    case 2:
      return "NOT_SERVING";
    case 3:
      return kServiceUnknown;
    default:
      return "UNKNOWN";
  }
}

// The state of `service`, "" for the server as a whole. One attempt.
absl::StatusOr<std::string> AskHealth(const ClientOptions& options,
                                      const std::string& service,
                                      absl::Duration timeout,
                                      Cancellation* cancellation) {
  LH_CLIENT_ASSIGN_OR_RETURN(const auto channels,
                             ChannelFactory::Create(options));
  HealthStub stub(channels->Make(options.target));
  HealthRequest request;
  request.set_value(service);
  HealthResponse response;
  grpc::Status status;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, kCheck, request, &queue);
  cancellation->Add(&context);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  cancellation->Remove(&context);
  // How Check says so; the enum's value is for Watch.
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    return kServiceUnknown;
  }
  LH_CLIENT_RETURN_IF_ERROR(FromGrpcStatus(status));
  return StateName(response.value());
}

absl::Status NotServing(const std::string& service, const std::string& state) {
  const std::string who =
      service.empty() ? "the server" : absl::StrCat("the service ", service);
  return MakeClientError(
      absl::StatusCode::kFailedPrecondition, state,
      state == kServiceUnknown
          ? absl::StrCat("the server knows of no service ", service)
          : absl::StrCat(who,
                         " does not serve: it starts, or is being "
                         "stopped"));
}

}  // namespace

absl::Status RunHealth(const HealthFlags& flags,
                       const CommandContext& context) {
  ClientOptions options = *context.connection;
  // Health is for everybody, and must be told without the token's file too.
  options.token_file.clear();
  LH_CLIENT_ASSIGN_OR_RETURN(
      const std::string state,
      AskHealth(options, flags.service,
                ParseDeadline(flags.timeout).value_or(absl::InfiniteDuration()),
                context.interrupt->cancellation()));
  LH_CLIENT_RETURN_IF_ERROR(WriteStdout(state + "\n"));
  if (state == "SERVING") return absl::OkStatus();
  return NotServing(flags.service, state);
}

}  // namespace longhand::client
