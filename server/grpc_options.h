// The limits and habits of the gRPC transport.
#ifndef LONGHAND_SERVER_GRPC_OPTIONS_H_
#define LONGHAND_SERVER_GRPC_OPTIONS_H_

#include <grpcpp/server_builder.h>

#include "server/server_config.h"

namespace longhand {

// Message and memory limits, keepalive, connection age, no compression, no
// shared ports, reflection only if `config` asks for it.
void ApplyGrpcOptions(const ServerConfig& config, grpc::ServerBuilder* builder);

}  // namespace longhand

#endif  // LONGHAND_SERVER_GRPC_OPTIONS_H_
