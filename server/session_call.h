// What all calls to the SessionService have in common. Pure functions; safe
// from any thread.
#ifndef LONGHAND_SERVER_SESSION_CALL_H_
#define LONGHAND_SERVER_SESSION_CALL_H_

#include <string_view>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "server/metrics.h"
#include "server/service_context.h"

namespace longhand {

struct SessionMethod {
  std::string_view name;
  const MethodMetrics& metrics;
};

// UNIMPLEMENTED (SESSIONS_DISABLED) if the server keeps no sessions.
inline absl::Status CheckSessions(const ServiceContext& context) {
  if (context.sessions != nullptr) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnimplemented, "SESSIONS_DISABLED",
                   "this server keeps no sessions; its operator would have to "
                   "set --session-store");
}

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_CALL_H_
