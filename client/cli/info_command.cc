#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/commands.h"
#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

std::string FormatValue(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::vector<std::string> parts;
  if (value.is_object()) {
    for (const auto& [name, part] : value.items()) {
      parts.push_back(absl::StrCat(name, " ", FormatValue(part)));
    }
  } else if (value.is_array()) {
    for (const Json& part : value) parts.push_back(FormatValue(part));
  } else {
    return Dump(value);
  }
  return absl::StrJoin(parts, ", ");
}

// Rows of a label and a text; lists go on in the next row.
class Rows {
 public:
  Rows(Table* table, int width) : table_(table), width_(width) {}

  void Add(const std::string& label, const std::string& value) {
    table_->AddRow({label, ToDisplayLine(value)});
  }

  void AddList(const std::string& label, const std::string& joined) {
    std::string left = label;
    std::string line;
    for (const absl::string_view item : absl::StrSplit(joined, ", ")) {
      const int room = width_ - kLabelColumns;
      if (!line.empty() && DisplayWidth(line) + DisplayWidth(item) + 3 > room) {
        Add(std::exchange(left, ""), line + ",");
        line.clear();
      }
      absl::StrAppend(&line, line.empty() ? "" : ", ", item);
    }
    Add(left, line);
  }

 private:
  // Of the longest label, "  mechanism_options", and the gap.
  static constexpr int kLabelColumns = 21;

  Table* const table_;
  const int width_;
};

void AddOptions(const v1::EncodeOptions& options, Rows* rows) {
  const Json json = ToJson(options);
  for (const auto& [name, value] : json.items()) {
    const std::string text = FormatValue(value);
    if (!text.empty() && name != "model") {
      rows->AddList(absl::StrCat("  ", name), text);
    }
  }
}

std::string FormatModel(const v1::Model& model) {
  const Terminal terminal = DescribeTerminal(1);
  Table table({{"MODEL"}, {ToDisplayLine(model.name())}});
  Rows rows(&table, terminal.width);
  const auto row = [&rows](const char* label, const std::string& value) {
    rows.Add(label, value);
  };
  const auto names = [&rows](const char* label, const auto& list) {
    rows.AddList(label, absl::StrJoin(list, ", "));
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
  row("adapter", model.adapter_fingerprint().empty()
                     ? "none"
                     : model.adapter_fingerprint());
  names("mechanisms", model.mechanisms());
  names("feature maps", model.feature_maps());
  names("merges", model.merges());
  names("state codecs", model.state_codecs());
  names("chunkers", model.chunkers());
  names("poolings", model.poolings());
  row("defaults", "");
  AddOptions(model.default_options(), &rows);
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
  return table.Render(terminal);
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
