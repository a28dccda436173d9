// The life of the server process: from a configuration to an exit code.
#ifndef LONGHAND_SERVER_LIFECYCLE_H_
#define LONGHAND_SERVER_LIFECYCLE_H_

#include "server/server_config.h"

namespace longhand {

// As --help states them.
enum ExitCode : int {
  kExitOk = 0,
  kExitStartFailed = 1,
  kExitBadConfig = 2,
  kExitNotDrained = 3,
};

// Loads the model, serves until SIGTERM or SIGINT, drains. A second signal, or
// a drain that outlasts its limits by 5 s, ends the process with
// kExitNotDrained. Call once, from main, before other threads are started.
int RunServer(const ServerConfig& config);

}  // namespace longhand

#endif  // LONGHAND_SERVER_LIFECYCLE_H_
