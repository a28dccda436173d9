// ChannelFactory: channels with the credentials and arguments of ClientOptions,
// to any address. Internal to the client library. Immutable; thread-safe.
#ifndef LONGHAND_CLIENT_CHANNEL_FACTORY_H_
#define LONGHAND_CLIENT_CHANNEL_FACTORY_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "client/client_options.h"
#include "client/token_file.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace longhand::client {

class ChannelFactory {
 public:
  // Reads the files of TLS and of the token. Errors have reasons that begin
  // with TLS_FILE_ or TOKEN_FILE_, or TOKEN_OVER_PLAINTEXT.
  static absl::StatusOr<std::unique_ptr<ChannelFactory>> Create(
      const ClientOptions& options);

  // Whether `target` may have the token, if there is one.
  bool MayCall(const std::string& target) const;

  // Does not wait for the server. REQUIRES: MayCall(target).
  std::shared_ptr<grpc::Channel> Make(const std::string& target) const;

 private:
  ChannelFactory(std::shared_ptr<grpc::ChannelCredentials> credentials,
                 const grpc::ChannelArguments& arguments,
                 std::shared_ptr<TokenFile> token, bool only_local)
      : credentials_(std::move(credentials)),
        arguments_(arguments),
        token_(std::move(token)),
        only_local_(only_local) {}

  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const grpc::ChannelArguments arguments_;
  const std::shared_ptr<TokenFile> token_;  // null: none is sent
  const bool only_local_;  // the token may not leave the machine
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CHANNEL_FACTORY_H_
