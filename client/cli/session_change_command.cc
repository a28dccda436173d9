#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/file_input.h"
#include "client/cli/session_commands.h"
#include "client/cli/session_text.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// An edit is one message; the server's limit is far below.
constexpr uint64_t kMaxEditBytes = uint64_t{64} << 20;
constexpr int64_t kShownChunks = 20;

// The chunks that a change gave, as they are printed.
class ChangeOutput {
 public:
  explicit ChangeOutput(const SessionOutputFlags& flags) : flags_(flags) {}

  OnChunk Taker() {
    return [this](Chunk chunk) {
      if (flags_.quiet) return absl::OkStatus();
      // A table has no use for the vector.
      if (flags_.format != "json") chunk.vector.clear();
      chunks_.push_back(std::move(chunk));
      return absl::OkStatus();
    };
  }

  absl::Status Print(const v1::ChangeResult& result) const {
    if (flags_.quiet) return absl::OkStatus();
    return WriteStdout(flags_.format == "json" ? FormatJson(result)
                                               : FormatTable(result));
  }

 private:
  std::string FormatJson(const v1::ChangeResult& result) const {
    Json chunks = Json::array();
    for (const Chunk& chunk : chunks_) {
      chunks.push_back(ToJson(chunk, /*span_only=*/false));
    }
    return Dump({{"format", "longhand.session_change.v1"},
                 {"session", ToJson(result.session())},
                 {"old_chunk_count", result.old_chunk_count()},
                 {"computed_tokens", result.computed_tokens()},
                 {"reused_tokens", result.reused_tokens()},
                 {"chunks", std::move(chunks)}}) +
           "\n";
  }

  std::string FormatTable(const v1::ChangeResult& result) const {
    const Terminal terminal = DescribeTerminal(1);
    Table table({{"CHANGED", true}, {"BYTES", true}, {"TOKENS", true}});
    const ShownRows shown = ChooseRows(chunks_.size(), kShownChunks);
    for (size_t i = 0; i < chunks_.size(); ++i) {
      if (i == shown.head && shown.head + shown.tail < chunks_.size()) {
        i = chunks_.size() - shown.tail;
        table.AddNote(absl::StrCat(
            "... ", FormatCount(chunks_.size() - shown.head - shown.tail),
            " more (all with --output json)"));
        if (shown.tail == 0) break;
      }
      const Chunk& chunk = chunks_[i];
      table.AddRow({absl::StrCat(chunk.index),
                    absl::StrCat(chunk.begin_byte, "-", chunk.end_byte),
                    absl::StrCat(chunk.end_token - chunk.begin_token)});
    }
    return absl::StrCat(
        chunks_.empty() ? "" : table.Render(terminal) + "\n", "changed     ",
        FormatCount(chunks_.size()), " chunks of ",
        FormatCount(result.session().chunk_count()), " (",
        FormatCount(result.old_chunk_count()), " before); ",
        FormatCount(result.computed_tokens()), " tokens computed, ",
        FormatCount(result.reused_tokens()), " reused\n",
        DescribeSession(result.session(), terminal));
  }

  const SessionOutputFlags& flags_;
  std::vector<Chunk> chunks_;
};

}  // namespace

absl::Status RunSessionRewind(const SessionRewindFlags& flags,
                              const CommandContext& context) {
  v1::RewindSessionRequest request;
  request.set_session_id(flags.id);
  request.set_offset(flags.offset);
  request.set_min_durability(ToDurability(flags.durability));
  ChangeOutput output(flags.output);
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::ChangeResult result,
      context.sessions->Rewind(request, output.Taker(), context.call()));
  return output.Print(result);
}

absl::Status RunSessionEdit(const SessionEditFlags& flags,
                            const CommandContext& context) {
  v1::EditSessionRequest request;
  request.set_session_id(flags.id);
  request.set_begin(flags.begin);
  if (flags.end) request.set_end(*flags.end);
  request.set_min_durability(ToDurability(flags.durability));
  if (flags.text) request.set_text(*flags.text);
  if (!flags.file.empty()) {
    LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileInput> file,
                               FileInput::Open(flags.file));
    context.interrupt->SetCallback([&file] { file->Stop(); });
    const absl::Cleanup forget_file = [&] {
      context.interrupt->SetCallback(nullptr);
    };
    LH_CLIENT_ASSIGN_OR_RETURN(
        *request.mutable_text(),
        file->ReadAll(kMaxEditBytes, "edit it in several steps"));
  }
  ChangeOutput output(flags.output);
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::ChangeResult result,
      context.sessions->Edit(request, output.Taker(), context.call()));
  return output.Print(result);
}

}  // namespace longhand::client
