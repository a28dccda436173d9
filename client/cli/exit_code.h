// What the longhand command says and returns when something goes wrong. Pure
// functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLI_EXIT_CODE_H_
#define LONGHAND_CLIENT_CLI_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace longhand::client {

// Documented in `longhand --help`; scripts rely on them.
enum ExitCode : int {
  kExitOk = 0,
  kExitServerError = 1,
  kExitUsage = 2,
  kExitUnavailable = 3,
  kExitFile = 4,
  kExitRejected = 5,
  kExitSession = 6,
  kExitInterrupted = 130,   // 128 + SIGINT; 143 after SIGTERM
  kExitOutputClosed = 141,  // 128 + SIGPIPE
};

// Reasons of the command's own errors (domain kClientDomain). Those that begin
// with INPUT_, OUTPUT_, TLS_FILE_ or TOKEN_FILE_ are file problems.
inline constexpr char kUsageReason[] = "USAGE";
inline constexpr char kOutputClosedReason[] = "OUTPUT_CLOSED";

int ExitCodeFor(const absl::Status& status);

// "longhand: `what`: <sentence> [REASON]", a hint line where one helps, and
// with `verbose` the code and the metadata. Ends with a newline; nothing in it
// can control a terminal.
std::string FormatError(absl::string_view what, absl::string_view target,
                        const absl::Status& status, bool verbose);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_EXIT_CODE_H_
