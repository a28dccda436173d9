#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "client/cli/file_input.h"
#include "client/cli/session_commands.h"
#include "client/cli/session_text.h"
#include "client/cli/text_display.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr uint64_t kMaxQuestionFileBytes = uint64_t{16} << 20;
// What one request takes.
constexpr size_t kMaxQuestions = 64;

absl::StatusOr<std::vector<std::string>> ReadQuestions(
    const SessionQueryFlags& flags, const CommandContext& context) {
  std::vector<std::string> questions = flags.questions;
  if (!flags.questions_file.empty()) {
    LH_CLIENT_ASSIGN_OR_RETURN(const std::unique_ptr<FileInput> file,
                               FileInput::Open(flags.questions_file));
    context.interrupt->SetCallback([&file] { file->Stop(); });
    const absl::Cleanup forget_file = [&] {
      context.interrupt->SetCallback(nullptr);
    };
    LH_CLIENT_ASSIGN_OR_RETURN(
        const std::string text,
        file->ReadAll(kMaxQuestionFileBytes, "ask fewer at a time"));
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      line = absl::StripAsciiWhitespace(line);
      if (!line.empty()) questions.emplace_back(line);
    }
  }
  if (questions.empty()) return UsageError("ask a QUESTION, or --questions");
  return questions;
}

absl::StatusOr<QueryResult> Ask(const SessionQueryFlags& flags,
                                const CommandContext& context,
                                const std::vector<std::string>& questions) {
  QueryResult all;
  for (size_t begin = 0; begin < questions.size(); begin += kMaxQuestions) {
    v1::QuerySessionRequest request;
    request.set_session_id(flags.id);
    request.set_max_attended(flags.attended);
    request.set_max_similar(flags.similar);
    request.set_texts(flags.texts || flags.format == "table");
    if (flags.document_weight) {
      request.set_document_weight(*flags.document_weight);
    }
    const size_t end = std::min(begin + kMaxQuestions, questions.size());
    for (size_t i = begin; i < end; ++i) {
      request.add_questions()->set_text(questions[i]);
    }
    LH_CLIENT_ASSIGN_OR_RETURN(
        QueryResult part, context.sessions->Query(request, context.call()));
    all.committed_offset = part.committed_offset;
    all.chunk_count = part.chunk_count;
    all.state_digest = part.state_digest;
    std::move(part.answers.begin(), part.answers.end(),
              std::back_inserter(all.answers));
  }
  return all;
}

Json ChunksToJson(const std::vector<ScoredChunk>& chunks) {
  Json json = Json::array();
  for (const ScoredChunk& chunk : chunks) json.push_back(ToJson(chunk));
  return json;
}

std::string FormatJson(const SessionQueryFlags& flags,
                       const std::vector<std::string>& questions,
                       const QueryResult& result) {
  Json answers = Json::array();
  for (size_t i = 0; i < result.answers.size(); ++i) {
    const QuestionAnswer& answer = result.answers[i];
    answers.push_back({{"question", questions[i]},
                       {"attended", ChunksToJson(answer.attended)},
                       {"similar", ChunksToJson(answer.similar)},
                       {"vector", answer.vector},
                       {"own_vector", answer.own_vector}});
  }
  return Dump({{"format", "longhand.session_query.v1"},
               {"session_id", flags.id},
               {"committed_offset", result.committed_offset},
               {"chunk_count", result.chunk_count},
               {"state_digest", absl::BytesToHexString(result.state_digest)},
               {"answers", std::move(answers)}}) +
         "\n";
}

std::string FormatChunks(const char* score,
                         const std::vector<ScoredChunk>& chunks,
                         const Terminal& terminal) {
  if (chunks.empty()) return "";
  Table table({{score, true}, {"CHUNK", true}, {"BYTES", true}, {"TEXT"}});
  for (const ScoredChunk& chunk : chunks) {
    // More than a line takes: four bytes a character, and folded white space.
    const absl::string_view text =
        absl::string_view(chunk.text)
            .substr(0, static_cast<size_t>(terminal.width) * 8);
    table.AddRow({absl::StrFormat("%.4f", chunk.score),
                  absl::StrCat(chunk.index),
                  absl::StrCat(chunk.begin_byte, "-", chunk.end_byte),
                  ToDisplayLine(TrimCutCharacter(text))});
  }
  return table.Render(terminal);
}

std::string FormatTable(const std::vector<std::string>& questions,
                        const QueryResult& result) {
  const Terminal terminal = DescribeTerminal(1);
  std::string text;
  for (size_t i = 0; i < result.answers.size(); ++i) {
    const QuestionAnswer& answer = result.answers[i];
    absl::StrAppend(&text, ToDisplayLine(questions[i]), "\n");
    absl::StrAppend(&text, FormatChunks("WEIGHT", answer.attended, terminal));
    absl::StrAppend(&text, FormatChunks("COSINE", answer.similar, terminal),
                    "\n");
  }
  absl::StrAppend(&text, FormatCount(result.chunk_count),
                  " chunks were searched, content up to offset ",
                  FormatCount(result.committed_offset), "\n");
  return text;
}

}  // namespace

absl::Status RunSessionQuery(const SessionQueryFlags& flags,
                             const CommandContext& context) {
  LH_CLIENT_ASSIGN_OR_RETURN(const std::vector<std::string> questions,
                             ReadQuestions(flags, context));
  LH_CLIENT_ASSIGN_OR_RETURN(const QueryResult result,
                             Ask(flags, context, questions));
  return WriteStdout(flags.format == "json"
                         ? FormatJson(flags, questions, result)
                         : FormatTable(questions, result));
}

}  // namespace longhand::client
