#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/session_commands.h"
#include "client/status_macros.h"

namespace longhand::client {

absl::Status RunSessionExport(const SessionExportFlags& flags,
                              const CommandContext& context) {
  const bool to_stdout = flags.out.empty() || flags.out == "-";
  if (to_stdout && isatty(STDOUT_FILENO) == 1) {
    return UsageError("a snapshot is not for a terminal: give -o FILE");
  }
  std::error_code ignored;
  if (!to_stdout && !flags.force &&
      std::filesystem::is_regular_file(flags.out, ignored)) {
    return MakeClientError(
        absl::StatusCode::kAlreadyExists, "OUTPUT_EXISTS",
        absl::StrCat(flags.out, " exists; replace it with --force"));
  }
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileOutput> output,
                             FileOutput::Open(flags.out));
  LH_CLIENT_RETURN_IF_ERROR(context.sessions->Export(
      flags.id,
      [&output](absl::string_view data) { return output->Write(data); },
      context.call()));
  return output->Commit();
}

absl::Status RunSessionImport(const SessionImportFlags& flags,
                              const CommandContext& context) {
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileInput> input,
                             FileInput::Open(flags.file));
  context.interrupt->SetCallback([&input] { input->Stop(); });
  const absl::Cleanup forget_input = [&] {
    context.interrupt->SetCallback(nullptr);
  };
  std::optional<absl::Duration> ttl;
  if (!flags.ttl.empty()) ttl = ParseDeadline(flags.ttl);
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::Session session,
      context.sessions->Import(input.get(), ttl, context.call()));
  return PrintSession(session, flags.output);
}

}  // namespace longhand::client
