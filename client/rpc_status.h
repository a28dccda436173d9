// From the two forms in which a status travels to absl::Status. Internal to the
// client library. Pure functions; safe from any thread.
#ifndef LONGHAND_CLIENT_RPC_STATUS_H_
#define LONGHAND_CLIENT_RPC_STATUS_H_

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace longhand::client {

// A status inside a message. Its details become payloads.
absl::Status FromRpcStatus(const google::rpc::Status& rpc);

// The status of a call, with the details of grpc-status-details-bin.
absl::Status FromGrpcStatus(const grpc::Status& grpc_status);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_RPC_STATUS_H_
