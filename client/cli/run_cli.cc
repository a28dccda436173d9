#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "CLI/Error.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/file_output.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

ClientOptions ToClientOptions(const ConnectionFlags& flags) {
  ClientOptions options;
  options.target = flags.server;
  if (flags.tls || !flags.ca.empty() || !flags.cert.empty()) {
    options.tls =
        TlsOptions{flags.ca, flags.cert, flags.key, flags.server_name};
  }
  options.deadline =
      ParseDeadline(flags.deadline).value_or(absl::InfiniteDuration());
  options.retry.max_attempts = flags.retries + 1;
  if (flags.verbose) {
    options.retry.on_retry = [](const RetryEvent& event) {
      std::fprintf(stderr, "longhand: attempt %d failed: %s; next in %s\n",
                   event.failed_attempts,
                   ToDisplayLine(event.status.message()).c_str(),
                   absl::FormatDuration(event.delay).c_str());
    };
  }
  return options;
}

absl::Status RunCommand(const CLI::App& app, const Flags& flags,
                        InterruptHandler* interrupt) {
  LH_CLIENT_ASSIGN_OR_RETURN(
      const auto client,
      EncoderClient::Connect(ToClientOptions(flags.connection)));
  const CommandContext context = {client.get(), interrupt};
  if (app.got_subcommand("encode")) return RunEncode(flags.encode, context);
  if (app.got_subcommand("explain")) return RunExplain(flags.explain, context);
  if (app.got_subcommand("info")) return RunInfo(flags.info, context);
  return RunTokenize(flags.tokenize, context);
}

// "encode report.txt".
std::string Describe(const CLI::App& app, const Flags& flags) {
  const std::string name = app.get_subcommands().front()->get_name();
  std::string operand;
  if (name == "encode") {
    operand = flags.encode.token_ids.empty() ? flags.encode.file
                                             : flags.encode.token_ids;
  } else if (name == "explain") {
    operand = flags.explain.file;
  } else if (name == "tokenize") {
    operand = flags.tokenize.file;
  }
  return operand.empty() ? name : absl::StrCat(name, " ", operand);
}

int Run(const CLI::App& app, const Flags& flags) {
  InterruptHandler interrupt;
  const absl::Status status = RunCommand(app, flags, &interrupt);
  if (status.ok()) return kExitOk;
  if (const int signal = interrupt.signal_number(); signal != 0) {
    std::fputs("longhand: interrupted\n", stderr);
    return 128 + signal;
  }
  const int code = ExitCodeFor(status);
  if (code != kExitOutputClosed) {
    std::fputs(FormatError(Describe(app, flags), flags.connection.server,
                           status, flags.connection.verbose)
                   .c_str(),
               stderr);
  }
  return code;
}

}  // namespace

absl::Status UsageError(absl::string_view message) {
  return MakeClientError(absl::StatusCode::kInvalidArgument, kUsageReason,
                         message);
}

absl::Status WriteStdout(absl::string_view text) {
  LH_CLIENT_ASSIGN_OR_RETURN(const auto output, FileOutput::Open(""));
  LH_CLIENT_RETURN_IF_ERROR(output->Write(text));
  return output->Commit();
}

int RunCli(int argc, char** argv) {
  // Writes to a closed pipe come back as EPIPE.
  std::signal(SIGPIPE, SIG_IGN);
  // Its log lines would stand between ours; they say nothing that the status
  // of the call does not.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  Flags flags;
  const std::unique_ptr<CLI::App> app = MakeApp(&flags);
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app->exit(error, std::cout, std::cerr) == 0 ? kExitOk : kExitUsage;
  }
  try {
    return Run(*app, flags);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "longhand: %s\n", error.what());
    return kExitServerError;
  }
}

}  // namespace longhand::client
