#include "client/cli/table_sink.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr size_t kShownValues = 6;

std::string Span(uint64_t begin, uint64_t end) {
  return absl::StrCat(begin, "-", end);
}

std::string DescribeVector(const std::vector<float>& vector) {
  if (vector.empty()) return "not asked for";
  double squares = 0;
  for (const float value : vector) squares += double{value} * value;
  std::string text = absl::StrFormat("%d values, L2 norm %.4f:", vector.size(),
                                     std::sqrt(squares));
  for (size_t i = 0; i < std::min(vector.size(), kShownValues); ++i) {
    absl::StrAppendFormat(&text, " %.4f", vector[i]);
  }
  if (vector.size() > kShownValues) absl::StrAppend(&text, " ...");
  return text;
}

std::string DescribeOptions(const v1::EncodeOptions& options) {
  std::string text = absl::StrCat("mechanism ", options.mechanism(),
                                  ", visibility ", ToName(options.visibility()),
                                  ", chunker ", options.chunker());
  if (options.has_chunk_tokens()) {
    absl::StrAppend(&text, " of ", options.chunk_tokens(), " tokens");
  }
  absl::StrAppend(&text, ", pooling ", options.pooling());
  if (options.has_gate()) absl::StrAppend(&text, ", gate ", options.gate());
  return ToDisplayLine(text);
}

std::string DescribeRate(uint64_t tokens, absl::Duration time) {
  return absl::StrCat(
      FormatCount(static_cast<uint64_t>(std::llround(Rate(tokens, time)))),
      " tokens/s");
}

// The lines below the chunks: the document and how it was made.
std::string DescribeResult(const EncodeResult& result, uint64_t token_vectors,
                           absl::Duration client_time) {
  const v1::EncodeSummary& summary = result.summary;
  const v1::EncodeTimings& timings = summary.timings();
  const auto time = [](const google::protobuf::Duration& duration) {
    return FormatTime(ToDuration(duration));
  };
  std::string text;
  const auto line = [&text](const char* label, const std::string& value) {
    absl::StrAppendFormat(&text, "%-11s %s\n", label, value);
  };
  line("document", DescribeVector(result.document_vector));
  if (token_vectors > 0) {
    line("token rows", absl::StrCat(FormatCount(token_vectors),
                                    " (shown by --output json, jsonl or npy)"));
  }
  line("content",
       absl::StrCat(FormatCount(summary.received_bytes()), " bytes, ",
                    FormatCount(summary.received_tokens()), " tokens in ",
                    FormatCount(summary.chunk_count()), " chunks; ",
                    FormatCount(summary.encoded_tokens()), " rows computed, ",
                    FormatCount(summary.reused_tokens()), " reused, states ",
                    FormatBytes(summary.state_bytes())));
  line("options", DescribeOptions(summary.options()));
  line("client",
       absl::StrCat(FormatTime(client_time), ", ",
                    DescribeRate(summary.received_tokens(), client_time)));
  line("server", absl::StrCat(time(timings.total()), " total: queue ",
                              time(timings.queue()), ", tokenize ",
                              time(timings.tokenize()), ", compute ",
                              time(timings.compute()), " (",
                              DescribeRate(summary.encoded_tokens(),
                                           ToDuration(timings.compute())),
                              "), pool ", time(timings.pool())));
  line("fingerprint", ToDisplayLine(summary.model_fingerprint()));
  return text;
}

class TableSink : public ResultSink {
 public:
  explicit TableSink(const SinkContext& context)
      : context_(context),
        terminal_(DescribeTerminal(context.output->fd())),
        is_text_(context.flags->token_ids.empty()) {}

  absl::Status OnChunk(Chunk chunk) override {
    // The table shows spans and norms only.
    chunk.vector = {};
    chunk.retrieval_weights = {};
    chunks_.push_back(std::move(chunk));
    return absl::OkStatus();
  }

  absl::Status OnTokens(TokenVectors tokens) override {
    token_vectors_ += tokens.ids.size();
    return absl::OkStatus();
  }

  absl::Status Finish(const EncodeResult& result,
                      absl::Duration client_time) override {
    Table table({{"CHUNK", true},
                 {is_text_ ? "BYTES" : "TOKEN SPAN", true},
                 {"TOKENS", true},
                 {"NORM", true},
                 {is_text_ ? "TEXT" : ""}});
    const ShownRows shown = ChooseRows(
        chunks_.size(), ParseRows(context_.flags->rows).value_or(-1));
    LH_CLIENT_RETURN_IF_ERROR(AddRows(0, shown.head, &table));
    const size_t hidden = chunks_.size() - shown.head - shown.tail;
    if (hidden > 0) {
      table.AddNote(absl::StrCat("... ", FormatCount(hidden),
                                 " more rows (use --rows all)"));
    }
    LH_CLIENT_RETURN_IF_ERROR(
        AddRows(chunks_.size() - shown.tail, chunks_.size(), &table));
    return context_.output->Write(
        absl::StrCat(table.Render(terminal_), "\n",
                     DescribeResult(result, token_vectors_, client_time)));
  }

 private:
  absl::Status AddRows(size_t begin, size_t end, Table* table) const {
    for (size_t i = begin; i < end; ++i) {
      const Chunk& chunk = chunks_[i];
      std::string preview;
      if (is_text_) {
        LH_CLIENT_ASSIGN_OR_RETURN(preview, Preview(chunk));
      }
      table->AddRow({absl::StrCat(chunk.index),
                     is_text_ ? Span(chunk.begin_byte, chunk.end_byte)
                              : Span(chunk.begin_token, chunk.end_token),
                     absl::StrCat(chunk.end_token - chunk.begin_token),
                     absl::StrFormat("%.4f", chunk.norm), std::move(preview)});
    }
    return absl::OkStatus();
  }

  // The first words of the chunk's text, as a display line.
  absl::StatusOr<std::string> Preview(const Chunk& chunk) const {
    const uint64_t length = chunk.end_byte > chunk.begin_byte
                                ? chunk.end_byte - chunk.begin_byte
                                : 0;
    // Four bytes a character, and room for white space that folds.
    const uint64_t wanted = static_cast<uint64_t>(terminal_.width) * 8;
    LH_CLIENT_ASSIGN_OR_RETURN(
        const std::string bytes,
        context_.input->ReadAt(chunk.begin_byte, std::min(length, wanted)));
    return ToDisplayLine(length > wanted ? TrimCutCharacter(bytes) : bytes);
  }

  const SinkContext context_;
  const Terminal terminal_;
  const bool is_text_;
  std::vector<Chunk> chunks_;
  uint64_t token_vectors_ = 0;
};

}  // namespace

std::unique_ptr<ResultSink> MakeTableSink(const SinkContext& context) {
  return std::make_unique<TableSink>(context);
}

}  // namespace longhand::client
