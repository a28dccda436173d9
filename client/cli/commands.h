// The commands, and what they share. Each runs on the main thread and returns
// when its output is complete.
#ifndef LONGHAND_CLIENT_CLI_COMMANDS_H_
#define LONGHAND_CLIENT_CLI_COMMANDS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/flags.h"
#include "client/cli/interrupt.h"
#include "client/encoder_client.h"
#include "client/session_client.h"

namespace longhand::client {

// What a command runs with. Borrowed.
struct CommandContext {
  EncoderClient* client = nullptr;
  SessionClient* sessions = nullptr;
  const ClientOptions* connection = nullptr;  // of both
  InterruptHandler* interrupt = nullptr;
  // As it was typed, quoted for a shell.
  std::string command_line;

  CallOptions call() const { return {{}, interrupt->cancellation()}; }
};

absl::Status RunCompare(const CompareFlags& flags,
                        const CommandContext& context);
absl::Status RunEncode(const EncodeFlags& flags, const CommandContext& context);
absl::Status RunExplain(const ExplainFlags& flags,
                        const CommandContext& context);
// Asks whether the server serves; needs no client of `context`.
absl::Status RunHealth(const HealthFlags& flags, const CommandContext& context);
absl::Status RunInfo(const InfoFlags& flags, const CommandContext& context);
absl::Status RunLoad(const LoadFlags& flags, const CommandContext& context);
// The command of `session` that `name` names.
absl::Status RunSession(const std::string& name, const SessionFlags& flags,
                        const CommandContext& context);
absl::Status RunTokenize(const TokenizeFlags& flags,
                         const CommandContext& context);

// An error of the command line.
absl::Status UsageError(absl::string_view message);

// Writes all of `text` to standard output.
absl::Status WriteStdout(absl::string_view text);

// Runs the command line and returns the exit status.
int RunCli(int argc, char** argv);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_COMMANDS_H_
