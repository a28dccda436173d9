#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// The terminal's width, and its colours for the titles.
Terminal Stdout() { return DescribeTerminal(1); }

std::string FormatOptions(const v1::EncodeOptions& options) {
  std::vector<std::string> parts;
  const Json json = ToJson(options);
  for (const auto& [name, value] : json.items()) {
    const std::string text =
        value.is_string() ? value.get<std::string>() : Dump(value);
    if (!text.empty() && name != "model") {
      parts.push_back(absl::StrCat(name, " ", text));
    }
  }
  return absl::StrJoin(parts, ", ");
}

std::string FormatModel(const v1::Model& model) {
  Table table({{"MODEL"}, {ToDisplayLine(model.name())}});
  const auto row = [&table](const char* label, const std::string& value) {
    table.AddRow({label, ToDisplayLine(value)});
  };
  const auto join = [](const auto& names) {
    return absl::StrJoin(names, ", ");
  };
  row("family", model.family());
  row("fingerprint", model.fingerprint());
  row("hidden size", FormatCount(model.hidden_size()));
  row("layers", absl::StrCat(model.layer_count(), ", ", model.head_count(),
                             " heads each"));
  row("vocabulary", FormatCount(model.vocab_size()));
  row("chunk limit",
      absl::StrCat(FormatCount(model.max_chunk_tokens()), " tokens, ",
                   model.special_tokens_per_chunk(), " of them special"));
  row("precision", absl::StrCat("requested ", model.precision().requested(),
                                ", stored ", model.precision().stored(),
                                ", effective ", model.precision().effective()));
  row("vectors", model.normalized() ? "scaled to L2 norm 1" : "not scaled");
  row("mechanisms", join(model.mechanisms()));
  row("chunkers", join(model.chunkers()));
  row("poolings", join(model.poolings()));
  row("defaults", FormatOptions(model.default_options()));
  const v1::Limits& limits = model.limits();
  row("message limit", FormatBytes(limits.max_message_bytes()));
  row("document limit",
      absl::StrCat(FormatBytes(limits.max_document_bytes()), " of text, ",
                   FormatBytes(limits.max_working_bytes()), " of states, ",
                   limits.max_concurrent_documents(), " documents at a time"));
  const v1::Runtime& runtime = model.runtime();
  row("server", absl::StrCat("version ", runtime.server_version(), ", oneDNN ",
                             runtime.onednn_version(), ", ", runtime.isa(),
                             ", ", runtime.worker_count(), " workers"));
  return table.Render(Stdout());
}

}  // namespace

absl::Status RunInfo(const InfoFlags& flags, const CommandContext& context) {
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::Model model,
      context.client->GetModel(flags.model, context.call()));
  if (flags.format == "json") return WriteStdout(Dump(ToJson(model)) + "\n");
  return WriteStdout(FormatModel(model));
}

}  // namespace longhand::client
