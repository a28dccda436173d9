// The limits and habits of the gRPC transport.
#ifndef LONGHAND_SERVER_GRPC_OPTIONS_H_
#define LONGHAND_SERVER_GRPC_OPTIONS_H_

#include <grpcpp/server_builder.h>

#include <memory>

#include "server/server_config.h"

namespace longhand {

// With message and memory limits, keepalive, connection age, no compression, no
// shared ports, and reflection only if `config` asks for it.
std::unique_ptr<grpc::ServerBuilder> MakeServerBuilder(
    const ServerConfig& config);

}  // namespace longhand

#endif  // LONGHAND_SERVER_GRPC_OPTIONS_H_
