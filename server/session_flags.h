// The flags --session-*: where sessions are kept, how long and how many.
#ifndef LONGHAND_SERVER_SESSION_FLAGS_H_
#define LONGHAND_SERVER_SESSION_FLAGS_H_

#include "CLI/App.hpp"
#include "absl/status/status.h"
#include "server/server_config.h"

namespace longhand {

// They write into `config`, which must outlive the parsing.
void AddSessionFlags(CLI::App* app, SessionConfig* config);

// INVALID_ARGUMENT (CONFIG_INVALID) if they contradict each other or the
// address that the server listens on.
absl::Status CheckSessionConfig(const SessionConfig& config,
                                const std::string& listen);

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_FLAGS_H_
