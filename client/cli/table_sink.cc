#include "client/cli/table_sink.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/json_output.h"
#include "client/cli/option_text.h"
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

// What was added to a vector, if anything.
std::string DescribeMix(const std::optional<ContextMix>& mix) {
  if (!mix) return "";
  std::vector<std::string> parts;
  if (mix->anchor_weight != 0) {
    parts.push_back(
        absl::StrCat(mix->anchor_weight, " of chunk ", mix->anchor_chunk));
  }
  if (mix->document_weight != 0) {
    parts.push_back(absl::StrCat(mix->document_weight, " of ",
                                 mix->document_chunks, " chunks' mean"));
  }
  return absl::StrJoin(parts, ", ");
}

std::string DescribeRate(uint64_t tokens, absl::Duration time) {
  return absl::StrCat(
      FormatCount(static_cast<uint64_t>(std::llround(Rate(tokens, time)))),
      " tokens/s");
}

// What a table has no room for.
struct Unshown {
  uint64_t token_vectors = 0;
  uint64_t weights = 0;  // of retrieval
  std::string mix;       // of all chunks, if it is the same
};

// The lines below the chunks: the document and how it was made.
std::string DescribeResult(const EncodeResult& result, const Unshown& unshown,
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
  constexpr char kElsewhere[] = " (shown by --output json, jsonl or npy)";
  if (!unshown.mix.empty()) line("added", unshown.mix);
  if (unshown.token_vectors > 0) {
    line("token rows",
         absl::StrCat(FormatCount(unshown.token_vectors), kElsewhere));
  }
  if (unshown.weights > 0) {
    line("weights", absl::StrCat(FormatCount(unshown.weights), kElsewhere,
                                 "; longhand explain draws them"));
  }
  line("content",
       absl::StrCat(FormatCount(summary.received_bytes()), " bytes, ",
                    FormatCount(summary.received_tokens()), " tokens in ",
                    FormatCount(summary.chunk_count()), " chunks; ",
                    FormatCount(summary.encoded_tokens()), " rows computed, ",
                    FormatCount(summary.reused_tokens()), " reused, states ",
                    FormatBytes(summary.state_bytes()), ", at most ",
                    FormatBytes(summary.peak_working_bytes()), " held"));
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
    unshown_.weights += chunk.retrieval_weights.size();
    chunks_.push_back(ToRow(chunk));
    return absl::OkStatus();
  }

  absl::Status OnTokens(TokenVectors tokens) override {
    unshown_.token_vectors += tokens.ids.size();
    return absl::OkStatus();
  }

  absl::Status OnSpan(SpanVector span) override {
    spans_.push_back(ToRow(span));
    return absl::OkStatus();
  }

  absl::Status OnHeadWeights(HeadWeights weights) override {
    unshown_.weights += weights.weights.size();
    return absl::OkStatus();
  }

  absl::Status Finish(const EncodeResult& result,
                      absl::Duration client_time) override {
    LH_CLIENT_ASSIGN_OR_RETURN(std::string text, Render("CHUNK", chunks_));
    if (!spans_.empty()) {
      std::sort(spans_.begin(), spans_.end(),
                [](const Row& a, const Row& b) { return a.index < b.index; });
      LH_CLIENT_ASSIGN_OR_RETURN(const std::string spans,
                                 Render("SPAN", spans_));
      absl::StrAppend(&text, "\n", spans);
    }
    if (!chunks_.empty() && HaveSameMix(chunks_)) {
      unshown_.mix = chunks_.front().mix;
    }
    return context_.output->Write(
        absl::StrCat(text, "\n",
                     context_.account != nullptr
                         ? context_.account->lines
                         : DescribeResult(result, unshown_, client_time)));
  }

 private:
  // A chunk or a span, without its vector.
  struct Row {
    uint32_t index = 0;
    uint64_t begin_byte = 0, end_byte = 0;
    uint64_t begin_token = 0, end_token = 0;
    float norm = 0;
    std::string mix;
  };

  template <typename Part>
  static Row ToRow(const Part& part) {
    return {part.index,
            part.begin_byte,
            part.end_byte,
            part.begin_token,
            part.end_token,
            part.norm,
            DescribeMix(part.context_mix)};
  }

  static bool HaveSameMix(const std::vector<Row>& rows) {
    return std::all_of(rows.begin(), rows.end(), [&rows](const Row& row) {
      return row.mix == rows.front().mix;
    });
  }

  absl::StatusOr<std::string> Render(const char* title,
                                     const std::vector<Row>& rows) const {
    const bool has_mix = !HaveSameMix(rows);
    std::vector<TableColumn> columns = {
        {title, true},
        {is_text_ ? "BYTES" : "TOKEN SPAN", true},
        {"TOKENS", true},
        {"NORM", true}};
    if (has_mix) columns.push_back({"ADDED"});
    columns.push_back({is_text_ ? "TEXT" : ""});
    Table table(columns);
    const ShownRows shown =
        ChooseRows(rows.size(), ParseRows(context_.flags->rows).value_or(-1));
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i == shown.head && shown.head + shown.tail < rows.size()) {
        i = rows.size() - shown.tail;
        table.AddNote(absl::StrCat(
            "... ", FormatCount(rows.size() - shown.head - shown.tail),
            " more rows (use --rows all)"));
        if (shown.tail == 0) break;
      }
      LH_CLIENT_RETURN_IF_ERROR(AddRow(rows[i], has_mix, &table));
    }
    return table.Render(terminal_);
  }

  absl::Status AddRow(const Row& row, bool has_mix, Table* table) const {
    std::vector<std::string> cells = {
        absl::StrCat(row.index),
        is_text_ ? Span(row.begin_byte, row.end_byte)
                 : Span(row.begin_token, row.end_token),
        absl::StrCat(row.end_token - row.begin_token),
        absl::StrFormat("%.4f", row.norm)};
    if (has_mix) cells.push_back(row.mix);
    if (is_text_) {
      LH_CLIENT_ASSIGN_OR_RETURN(std::string preview, Preview(row));
      cells.push_back(std::move(preview));
    }
    table->AddRow(std::move(cells));
    return absl::OkStatus();
  }

  // The first words of the row's text, as a display line.
  absl::StatusOr<std::string> Preview(const Row& row) const {
    // The input may begin inside the first chunk.
    const uint64_t begin = std::max(row.begin_byte, context_.input_offset);
    const uint64_t length = row.end_byte > begin ? row.end_byte - begin : 0;
    // Four bytes a character, and room for white space that folds.
    const uint64_t wanted = static_cast<uint64_t>(terminal_.width) * 8;
    LH_CLIENT_ASSIGN_OR_RETURN(
        const std::string bytes,
        context_.input->ReadAt(begin - context_.input_offset,
                               std::min(length, wanted)));
    return ToDisplayLine(length > wanted ? TrimCutCharacter(bytes) : bytes);
  }

  const SinkContext context_;
  const Terminal terminal_;
  const bool is_text_;
  std::vector<Row> chunks_;
  std::vector<Row> spans_;
  Unshown unshown_;
};

}  // namespace

std::unique_ptr<ResultSink> MakeTableSink(const SinkContext& context) {
  return std::make_unique<TableSink>(context);
}

}  // namespace longhand::client
