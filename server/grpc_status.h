// The one place where an absl::Status becomes what goes over the wire: a
// grpc::Status with google.rpc details, or a google.rpc.Status inside a
// message. Pure functions; safe from any thread.
#ifndef LONGHAND_SERVER_GRPC_STATUS_H_
#define LONGHAND_SERVER_GRPC_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace longhand {

// Every error carries a google.rpc.ErrorInfo of domain "longhand", with the
// reason and metadata of its ErrorDetail or, if it has none, the code's name as
// reason. UNAVAILABLE carries a google.rpc.RetryInfo too. The message is
// printable ASCII of at most 1 KiB.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// The same as a grpc::Status.
grpc::Status ToGrpcStatus(const absl::Status& status);

// For UNAVAILABLE, adds the trailer grpc-retry-pushback-ms, which gRPC clients
// obey by themselves. Call before the call is finished.
void AddRetryTrailer(const absl::Status& status,
                     grpc::ServerContextBase* context);

// The reason as ToRpcStatus reports it; "OK" if the status is.
std::string StatusReason(const absl::Status& status);

}  // namespace longhand

#endif  // LONGHAND_SERVER_GRPC_STATUS_H_
