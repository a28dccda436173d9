#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/file_input.h"
#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// Room in the message for its other fields.
constexpr uint64_t kOverheadBytes = 1024;

absl::StatusOr<std::string> ReadText(const TokenizeFlags& flags,
                                     const CommandContext& context) {
  if (flags.text) return *flags.text;
  LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileInput> input,
                             FileInput::Open(flags.file));
  context.interrupt->SetCallback([&input] { input->Stop(); });
  const absl::Cleanup forget_input = [&] {
    context.interrupt->SetCallback(nullptr);
  };
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::Model model,
      context.client->GetModel(flags.model, context.call()));
  const uint64_t limit = model.limits().max_message_bytes();
  return input->ReadAll(
      limit > kOverheadBytes ? limit - kOverheadBytes : limit,
      "use `longhand encode FILE --outputs tokens`, which streams it");
}

std::string FormatTokens(const v1::TokenizeResponse& tokens, int64_t limit) {
  Table table({{"#", true}, {"ID", true}, {"BYTES", true}, {"TOKEN"}});
  const size_t count = static_cast<size_t>(tokens.ids_size());
  const ShownRows shown = ChooseRows(count, limit);
  const auto add = [&](size_t begin, size_t end) {
    for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i) {
      const bool has_span =
          i < tokens.begin_bytes_size() && i < tokens.end_bytes_size();
      table.AddRow(
          {absl::StrCat(i), absl::StrCat(tokens.ids(i)),
           has_span
               ? absl::StrCat(tokens.begin_bytes(i), "-", tokens.end_bytes(i))
               : "",
           i < tokens.tokens_size() ? ToDisplayLine(tokens.tokens(i)) : ""});
    }
  };
  add(0, shown.head);
  if (const size_t hidden = count - shown.head - shown.tail; hidden > 0) {
    table.AddNote(absl::StrCat("... ", FormatCount(hidden),
                               " more rows (use --rows all)"));
  }
  add(count - shown.tail, count);
  return absl::StrCat(table.Render(DescribeTerminal(1)), FormatCount(count),
                      " tokens\n");
}

}  // namespace

absl::Status RunTokenize(const TokenizeFlags& flags,
                         const CommandContext& context) {
  if (flags.file.empty() && !flags.text) {
    return UsageError("name a FILE (or - for standard input), or --text");
  }
  v1::TokenizeRequest request;
  LH_CLIENT_ASSIGN_OR_RETURN(std::string text, ReadText(flags, context));
  request.set_text(std::move(text));
  request.set_model(flags.model);
  request.set_include_tokens(true);
  LH_CLIENT_ASSIGN_OR_RETURN(const v1::TokenizeResponse tokens,
                             context.client->Tokenize(request, context.call()));
  if (flags.format == "json") return WriteStdout(Dump(ToJson(tokens)) + "\n");
  return WriteStdout(FormatTokens(tokens, ParseRows(flags.rows).value_or(-1)));
}

}  // namespace longhand::client
