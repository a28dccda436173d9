// Server credentials from the files that an operator names.
#ifndef LONGHAND_SERVER_TLS_H_
#define LONGHAND_SERVER_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "server/server_config.h"

namespace longhand {

// Plaintext if `config` is not enabled. Errors name the file: NOT_FOUND or
// INVALID_ARGUMENT (reason TLS_INVALID) if it cannot be read, is not PEM, or if
// key and certificate do not belong together.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsConfig& config);

}  // namespace longhand

#endif  // LONGHAND_SERVER_TLS_H_
