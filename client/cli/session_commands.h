// The commands of `longhand session`. Each runs on the main thread and returns
// when its output is complete.
#ifndef LONGHAND_CLIENT_CLI_SESSION_COMMANDS_H_
#define LONGHAND_CLIENT_CLI_SESSION_COMMANDS_H_

#include "absl/status/status.h"
#include "client/cli/commands.h"
#include "client/cli/session_flags.h"
#include "longhand/v1/session_service.pb.h"

namespace longhand::client {

absl::Status RunSessionAppend(const SessionAppendFlags& flags,
                              const CommandContext& context);
absl::Status RunSessionQuery(const SessionQueryFlags& flags,
                             const CommandContext& context);
absl::Status RunSessionRewind(const SessionRewindFlags& flags,
                              const CommandContext& context);
absl::Status RunSessionEdit(const SessionEditFlags& flags,
                            const CommandContext& context);
absl::Status RunSessionExport(const SessionExportFlags& flags,
                              const CommandContext& context);
absl::Status RunSessionImport(const SessionImportFlags& flags,
                              const CommandContext& context);

// Writes a session, or its id alone, to standard output.
absl::Status PrintSession(const v1::Session& session,
                          const SessionOutputFlags& flags);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_SESSION_COMMANDS_H_
