#include "server/grpc_options.h"

#include <grpc/compression.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace longhand {
namespace {

// The reflection library adds itself to every builder by a static initialiser.
class WithoutReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}

  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) {
      return plugin->name() == "proto_server_reflection";
    });
  }
};

void SetMilliseconds(grpc::ServerBuilder* builder, const char* name,
                     absl::Duration value) {
  constexpr int64_t kMax = std::numeric_limits<int>::max();
  builder->AddChannelArgument(
      name, static_cast<int>(std::min(absl::ToInt64Milliseconds(value), kMax)));
}

// Clients may ping an idle stream every 10 s. Connections are renewed now and
// then, so that load spreads over new replicas; what runs on them may end.
void SetConnectionArguments(const ServerConfig& config,
                            grpc::ServerBuilder* builder) {
  SetMilliseconds(builder, GRPC_ARG_KEEPALIVE_TIME_MS, config.keepalive);
  SetMilliseconds(builder, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, config.keepalive / 3);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  SetMilliseconds(builder,
                  GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                  absl::Seconds(10));
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  SetMilliseconds(builder, GRPC_ARG_MAX_CONNECTION_IDLE_MS, absl::Minutes(10));
  SetMilliseconds(builder, GRPC_ARG_MAX_CONNECTION_AGE_MS, absl::Minutes(30));
  SetMilliseconds(builder, GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                  std::max(config.max_request, config.max_stream));
  SetMilliseconds(builder, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                  absl::Seconds(10));
}

void SetLimits(const ServerConfig& config, grpc::ServerBuilder* builder) {
  const int message_bytes = static_cast<int>(config.max_message_bytes);
  builder->SetMaxReceiveMessageSize(message_bytes);
  builder->SetMaxSendMessageSize(message_bytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 * 1024);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                              config.max_concurrent_streams);
  builder->SetResourceQuota(
      grpc::ResourceQuota("longhand").Resize(config.grpc_memory_bytes));
  // gRPC does not bound what a small compressed message expands to.
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
}

}  // namespace

std::unique_ptr<grpc::ServerBuilder> MakeServerBuilder(
    const ServerConfig& config) {
  // Keeps the linker from dropping the library. Before the builder is made.
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto builder = std::make_unique<grpc::ServerBuilder>();
  SetLimits(config, builder.get());
  SetConnectionArguments(config, builder.get());
  // A second server on the port must fail, not take half of the connections.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  if (!config.reflection) {
    builder->SetOption(std::make_unique<WithoutReflection>());
  }
  return builder;
}

}  // namespace longhand
