#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "CLI/Error.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/file_output.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// "session append" for the command inside of a command.
std::string CommandName(const CLI::App& app) {
  const CLI::App* command = app.get_subcommands().front();
  std::string name = command->get_name();
  if (const auto inner = command->get_subcommands(); !inner.empty()) {
    absl::StrAppend(&name, " ", inner.front()->get_name());
  }
  return name;
}

ClientOptions ToClientOptions(const ConnectionFlags& flags,
                              int default_retries) {
  ClientOptions options;
  options.target = flags.server;
  if (flags.tls || !flags.ca.empty() || !flags.cert.empty()) {
    options.tls =
        TlsOptions{flags.ca, flags.cert, flags.key, flags.server_name};
  }
  options.token_file = flags.token_file;
  options.insecure_token_over_plaintext = flags.insecure_token_over_plaintext;
  options.deadline =
      ParseDeadline(flags.deadline).value_or(absl::InfiniteDuration());
  options.retry.max_attempts = flags.retries.value_or(default_retries) + 1;
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

int DefaultRetries(const std::string& command) {
  if (command == "session append") return kAppendRetries;
  return command == "load" ? kLoadRetries : kDefaultRetries;
}

absl::Status RunCommand(const CLI::App& app, const Flags& flags,
                        const std::string& command_line,
                        InterruptHandler* interrupt) {
  const std::string name = CommandName(app);
  const ClientOptions options =
      ToClientOptions(flags.connection, DefaultRetries(name));
  CommandContext context;
  context.connection = &options;
  context.interrupt = interrupt;
  context.command_line = command_line;
  if (app.got_subcommand("health")) return RunHealth(flags.health, context);
  if (app.got_subcommand("session")) {
    LH_CLIENT_ASSIGN_OR_RETURN(const auto sessions,
                               SessionClient::Connect(options));
    context.sessions = sessions.get();
    return RunSession(name.substr(name.find(' ') + 1), flags.session, context);
  }
  LH_CLIENT_ASSIGN_OR_RETURN(const auto client,
                             EncoderClient::Connect(options));
  context.client = client.get();
  if (app.got_subcommand("compare")) return RunCompare(flags.compare, context);
  if (app.got_subcommand("encode")) return RunEncode(flags.encode, context);
  if (app.got_subcommand("explain")) return RunExplain(flags.explain, context);
  if (app.got_subcommand("info")) return RunInfo(flags.info, context);
  if (app.got_subcommand("load")) return RunLoad(flags.load, context);
  return RunTokenize(flags.tokenize, context);
}

// The command line as a shell takes it.
std::string QuoteCommand(int argc, char** argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const absl::string_view word = argv[i];
    const bool plain =
        !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
          return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                 absl::StrContains("_-./:=,@+", c);
        });
    absl::StrAppend(
        &line, i == 0 ? "" : " ",
        plain ? std::string(word)
              : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}),
                             "'"));
  }
  return line;
}

// "encode report.txt".
std::string Describe(const CLI::App& app, const Flags& flags) {
  const std::string name = CommandName(app);
  std::string operand;
  if (name == "encode") {
    operand = flags.encode.token_ids.empty() ? flags.encode.file
                                             : flags.encode.token_ids;
  } else if (name == "compare") {
    operand = flags.compare.file;
  } else if (name == "explain") {
    operand = flags.explain.file;
  } else if (name == "load") {
    operand =
        flags.load.token_ids.empty() ? flags.load.file : flags.load.token_ids;
  } else if (name == "tokenize") {
    operand = flags.tokenize.file;
  } else if (name == "session append") {
    operand = flags.session.append.id;
  }
  return operand.empty() ? name : absl::StrCat(name, " ", operand);
}

int Run(const CLI::App& app, const Flags& flags,
        const std::string& command_line) {
  InterruptHandler interrupt;
  const absl::Status status = RunCommand(app, flags, command_line, &interrupt);
  if (status.ok()) return kExitOk;
  if (const int signal = interrupt.signal_number(); signal != 0) {
    std::fputs("longhand: interrupted\n", stderr);
    return 128 + signal;
  }
  // What engines of containers understand: 1 is unhealthy, others reserved.
  const int code =
      app.got_subcommand("health") ? kExitServerError : ExitCodeFor(status);
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
    return Run(*app, flags, QuoteCommand(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "longhand: %s\n", error.what());
    return kExitServerError;
  }
}

}  // namespace longhand::client
