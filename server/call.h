// What all calls have in common. Pure functions; safe from any thread.
#ifndef LONGHAND_SERVER_CALL_H_
#define LONGHAND_SERVER_CALL_H_

#include <grpcpp/server_context.h>

#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace longhand {

// The client's deadline, or `max_duration` from now if that is sooner.
absl::Time CallDeadline(const grpc::ServerContextBase& context,
                        absl::Duration max_duration);

// Why gRPC cancelled a call: DEADLINE_EXCEEDED once `deadline` has passed, else
// CANCELLED.
absl::Status CancelReason(absl::Time deadline);

// One line per call: errors of the server as errors, the rest at debug level.
void LogCall(std::string_view method, const absl::Status& status,
             absl::Duration elapsed);

// RESOURCE_EXHAUSTED (RESPONSE_TOO_LARGE).
absl::Status ResponseTooLarge(std::string_view advice, uint64_t size_bytes,
                              uint64_t limit_bytes);

}  // namespace longhand

#endif  // LONGHAND_SERVER_CALL_H_
