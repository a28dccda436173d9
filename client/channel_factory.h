// ChannelFactory: channels with the credentials and arguments of ClientOptions,
// to any address. Internal to the client library. Immutable; thread-safe.
#ifndef LONGHAND_CLIENT_CHANNEL_FACTORY_H_
#define LONGHAND_CLIENT_CHANNEL_FACTORY_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "client/client_options.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace longhand::client {

class ChannelFactory {
 public:
  // Reads the TLS files. Errors have reasons that begin with TLS_FILE_.
  static absl::StatusOr<std::unique_ptr<ChannelFactory>> Create(
      const ClientOptions& options);

  // Does not wait for the server.
  std::shared_ptr<grpc::Channel> Make(const std::string& target) const;

 private:
  ChannelFactory(std::shared_ptr<grpc::ChannelCredentials> credentials,
                 const grpc::ChannelArguments& arguments)
      : credentials_(std::move(credentials)), arguments_(arguments) {}

  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const grpc::ChannelArguments arguments_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CHANNEL_FACTORY_H_
