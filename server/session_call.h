// What all calls to the SessionService have in common. Pure functions; safe
// from any thread.
#ifndef LONGHAND_SERVER_SESSION_CALL_H_
#define LONGHAND_SERVER_SESSION_CALL_H_

#include <atomic>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/session/session_manager.h"
#include "server/access_rules.h"
#include "server/service_context.h"

namespace longhand {

// UNIMPLEMENTED (SESSIONS_DISABLED) if the server keeps no sessions.
inline absl::Status CheckSessions(const ServiceContext& context) {
  if (context.sessions != nullptr) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnimplemented, "SESSIONS_DISABLED",
                   "this server keeps no sessions; its operator would have to "
                   "set --session-store");
}

// `cancelled` outlives the result.
inline SessionCall MakeSessionCall(const Caller& caller, absl::Time deadline,
                                   const std::atomic<bool>* cancelled) {
  return {.tenant = caller.tenant,
          .max_sessions = caller.policy->max_sessions,
          .stop = {.deadline = deadline, .cancelled = cancelled}};
}

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_CALL_H_
