// Makes what sessions need, from what the operator set.
#ifndef LONGHAND_SERVER_SESSION_SETUP_H_
#define LONGHAND_SERVER_SESSION_SETUP_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/engine/encoder.h"
#include "server/server_config.h"
#include "server/session_host.h"

namespace longhand {

// Opens the store and makes the manager; nothing for the store "none".
// `encoder` must outlive the parts. Errors say what to do: those of
// SessionStoreRegistry and its factories, INVALID_ARGUMENT (CONFIG_INVALID),
// and those of ReadFile.
absl::StatusOr<SessionParts> OpenSessions(const ServerConfig& config,
                                          Encoder* encoder);

// What the server is called by others: `listen`, with `host_name` in place of
// an address that stands for all of the machine's.
std::string DefaultOwner(std::string_view listen, std::string_view host_name);

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_SETUP_H_
