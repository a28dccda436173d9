#include "client/channel_factory.h"

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/client_error.h"
#include "client/status_macros.h"
#include "grpcpp/create_channel.h"

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

}  // namespace

absl::StatusOr<std::unique_ptr<ChannelFactory>> ChannelFactory::Create(
    const ClientOptions& options) {
  LH_CLIENT_ASSIGN_OR_RETURN(auto credentials, MakeCredentials(options.tls));
  std::shared_ptr<TokenFile> token;
  if (!options.token_file.empty()) {
    LH_CLIENT_ASSIGN_OR_RETURN(token, TokenFile::Open(options.token_file));
  }
  // A proxy is another machine, wherever the target is.
  const bool only_local = token != nullptr && !options.tls &&
                          !options.insecure_token_over_plaintext;
  std::unique_ptr<ChannelFactory> factory(
      new ChannelFactory(std::move(credentials), MakeArguments(options),
                         std::move(token), only_local));
  if (!factory->MayCall(options.target) ||
      (only_local && options.use_http_proxy)) {
    return MakeClientError(
        absl::StatusCode::kInvalidArgument, "TOKEN_OVER_PLAINTEXT",
        absl::StrCat("without TLS everybody on the way to ", options.target,
                     " can read the token; use TLS, or allow it "
                     "(insecure_token_over_plaintext)"));
  }
  return factory;
}

bool ChannelFactory::MayCall(const std::string& target) const {
  return !only_local_ || IsLocalTarget(target);
}

std::shared_ptr<grpc::Channel> ChannelFactory::Make(
    const std::string& target) const {
  if (token_ == nullptr) {
    return grpc::CreateCustomChannel(target, credentials_, arguments_);
  }
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::make_unique<TokenInterceptorFactory>(token_));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials_, arguments_, std::move(interceptors));
}

}  // namespace longhand::client
