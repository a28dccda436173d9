#include "client/encoder_client.h"

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/batch_attempt.h"
#include "client/retry.h"
#include "client/rpc_status.h"
#include "client/status_macros.h"
#include "client/stream_attempt.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "longhand/v1/encoder_service.grpc.pb.h"
#include "longhand/v1/model_service.grpc.pb.h"

namespace longhand::client {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  if (path.empty()) return std::string();
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) {
    return MakeErrnoError(errno != 0 ? errno : EIO, "TLS_FILE_UNREADABLE",
                          absl::StrCat("cannot read ", path));
  }
  if (text.find("-----BEGIN ") == std::string::npos) {
    return MakeClientError(absl::StatusCode::kInvalidArgument,
                           "TLS_FILE_INVALID",
                           absl::StrCat(path, " is not a PEM file"));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const std::optional<TlsOptions>& tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  if (tls->cert_file.empty() != tls->key_file.empty()) {
    return MakeClientError(absl::StatusCode::kInvalidArgument,
                           "TLS_FILE_INVALID",
                           "a client certificate needs its key: give both");
  }
  grpc::SslCredentialsOptions ssl;
  LH_CLIENT_ASSIGN_OR_RETURN(ssl.pem_root_certs, ReadPem(tls->ca_file));
  LH_CLIENT_ASSIGN_OR_RETURN(ssl.pem_cert_chain, ReadPem(tls->cert_file));
  LH_CLIENT_ASSIGN_OR_RETURN(ssl.pem_private_key, ReadPem(tls->key_file));
  return grpc::SslCredentials(ssl);
}

grpc::ChannelArguments MakeArguments(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  // The server states its own limit for what it receives.
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetUserAgentPrefix("longhand-client");
  // RetryLoop does it, with the server's advice and for streams too.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, options.use_http_proxy ? 1 : 0);
  // So that an attempt after a wait really tries to connect again.
  const int64_t reconnect_ms =
      absl::ToInt64Milliseconds(options.retry.initial_backoff);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                   static_cast<int>(reconnect_ms));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  if (options.keepalive_interval > absl::ZeroDuration()) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                     static_cast<int>(absl::ToInt64Milliseconds(
                         options.keepalive_interval)));
    arguments.SetInt(
        GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
        static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_timeout)));
    // gRPC stops after two pings without data otherwise; a long document may
    // be computed in silence for longer.
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  if (options.tls && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  return arguments;
}

class GrpcEncoderClient : public EncoderClient {
 public:
  GrpcEncoderClient(const ClientOptions& options,
                    const std::shared_ptr<grpc::Channel>& channel)
      : options_(options),
        encoder_(v1::EncoderService::NewStub(channel)),
        model_(v1::ModelService::NewStub(channel)) {}

  absl::StatusOr<EncodeResult> Encode(const Document& document,
                                      const CallOptions& call) override {
    const v1::EncodeRequest request = ToRequest(document);
    v1::EncodeResponse response;
    LH_CLIENT_RETURN_IF_ERROR(Unary(call, [&](grpc::ClientContext& context) {
      return encoder_->Encode(&context, request, &response);
    }));
    return ToEncodeResult(response);
  }

  absl::StatusOr<EncodeResult> EncodeStream(const StreamRequest& request,
                                            const StreamCallbacks& callbacks,
                                            const CallOptions& call) override {
    EncodeResult result;
    LH_CLIENT_RETURN_IF_ERROR(
        RetryLoop(options_, call).Run([&](grpc::ClientContext& context) {
          StreamAttempt attempt(encoder_.get(), &context, &request, &callbacks);
          return attempt.Run(&result);
        }));
    return result;
  }

  std::vector<absl::StatusOr<EncodeResult>> EncodeBatch(
      absl::Span<const Document> documents, const CallOptions& call) override {
    std::vector<absl::StatusOr<EncodeResult>> results(
        documents.size(), absl::UnavailableError("not sent yet"));
    if (documents.empty()) return results;
    // Each document has its own status; that of the last attempt adds nothing,
    // except for a cancelled wait, which leaves UNAVAILABLE in the results.
    RetryLoop(options_, call)
        .Run([&](grpc::ClientContext& context) {
          return RunBatchAttempt(encoder_.get(), &context, documents, &results);
        })
        .IgnoreError();
    return results;
  }

  absl::StatusOr<v1::Model> GetModel(absl::string_view name,
                                     const CallOptions& call) override {
    v1::GetModelRequest request;
    request.set_name(std::string(name));
    v1::GetModelResponse response;
    LH_CLIENT_RETURN_IF_ERROR(Unary(call, [&](grpc::ClientContext& context) {
      return model_->GetModel(&context, request, &response);
    }));
    return std::move(*response.mutable_model());
  }

  absl::StatusOr<v1::TokenizeResponse> Tokenize(
      const v1::TokenizeRequest& request, const CallOptions& call) override {
    v1::TokenizeResponse response;
    LH_CLIENT_RETURN_IF_ERROR(Unary(call, [&](grpc::ClientContext& context) {
      return model_->Tokenize(&context, request, &response);
    }));
    return response;
  }

 private:
  absl::Status Unary(
      const CallOptions& call,
      absl::FunctionRef<grpc::Status(grpc::ClientContext&)> invoke) {
    return RetryLoop(options_, call).Run([&](grpc::ClientContext& context) {
      return Attempt{FromGrpcStatus(invoke(context))};
    });
  }

  // Constant after construction.
  const ClientOptions options_;
  const std::unique_ptr<v1::EncoderService::Stub> encoder_;
  const std::unique_ptr<v1::ModelService::Stub> model_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderClient>> EncoderClient::Connect(
    const ClientOptions& options) {
  LH_CLIENT_ASSIGN_OR_RETURN(auto credentials, MakeCredentials(options.tls));
  auto channel = grpc::CreateCustomChannel(options.target, credentials,
                                           MakeArguments(options));
  return std::make_unique<GrpcEncoderClient>(options, channel);
}

}  // namespace longhand::client
