// Who calls. Pure functions; safe from any thread.
#ifndef LONGHAND_SERVER_TENANT_H_
#define LONGHAND_SERVER_TENANT_H_

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <string>

namespace longhand {

// A name for the identity in the verified client certificate: the SHA-256
// (hexadecimal) of its subject alternative names, else of its common name, else
// of the certificate itself. A renewed certificate of the same names is the
// same tenant. "default" where clients show no certificate.
//
// Ask anew for every call and keep nothing in the AuthContext: gRPC makes one
// per connection, which a proxy shares between its clients.
std::string TenantOf(const grpc::ServerContextBase& call);
std::string TenantOf(const grpc::AuthContext& peer);

}  // namespace longhand

#endif  // LONGHAND_SERVER_TENANT_H_
