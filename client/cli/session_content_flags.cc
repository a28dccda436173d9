#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "client/cli/flag_groups.h"

namespace longhand::client {
namespace {

constexpr char kAppendFooter[] = R"(
FILE is taken for the document from its first byte on (--file-offset 0): what
the session has already is read and skipped, and that is said on stderr. So the
same command goes on after an interruption, on the same server or on the one
that has the session then. A file that is a further part of the document wants
--file-offset end; standard input is always taken so.

Content is sent in appends that each happen once and as a whole, whatever
becomes of the connection. When the command ends early it says how to go on.
With --follow it waits for more at FILE's end, until it is interrupted, which
ends it in order: what was read is appended and the results are written.

Output, of the chunks that became final:
  table  as of longhand encode, then what the session is now
  json   {"format": "longhand.session_append.v1", "session": {..},
          "appended": {"bytes", "skipped_bytes", "appends", "computed_tokens",
                       "reused_tokens", "lost_chunks", "client_seconds"},
          "provisional_chunks": [..], "chunks": [..]}; chunks as of longhand
         encode. "lost_chunks" became final but their results were lost with a
         connection; the content is complete.
  jsonl  {"type": "chunk", ..} as they come, {"type": "provisional_chunk", ..}
         after each append, and last {"type": "result", ..} with the other keys
  npy    float32 [chunks, hidden]; --row-spans says which chunks

Examples:
  longhand session append "$id" report.txt
  longhand session append "$id" part2.txt --file-offset end --close
  pdftotext contract.pdf - | longhand session append "$id" - --durability shared
  longhand session append "$id" log.txt --follow --output jsonl | jq -c .index
  longhand session append "$id" book.txt --output npy -o book.npy

)";

constexpr char kQueryFooter[] = R"(
Each question is answered with the chunks that it retrieved most from when read
in the document's context (WEIGHT), and those whose vectors are most similar to
the question's own (COSINE). With --output json:
{"format": "longhand.session_query.v1", "session_id", "committed_offset",
 "chunk_count", "state_digest", "answers": [{"question",
 "attended": [{"index", "begin_byte", "end_byte", "begin_token", "end_token",
               "score", "text"}], "similar": [..],
 "vector": [..], "own_vector": [..]}]}.

Examples:
  longhand session query "$id" "Who pays for the repairs?"
  longhand session query "$id" --questions questions.txt --attended 0
  longhand session query "$id" "notice period" --output json --texts |
      jq -r '.answers[0].similar[0].text'

)";

constexpr char kRewindFooter[] = R"(
Examples:
  longhand session rewind "$id" 120000
  longhand session rewind "$id" 0                 # empty it, keep its options

)";

constexpr char kEditFooter[] = R"(
With --output json: {"format": "longhand.session_change.v1", "session": {..},
"old_chunk_count", "computed_tokens", "reused_tokens", "chunks": [..]}: the
chunks whose results changed, as of longhand encode; rewind gives the same.

Examples:
  longhand session edit "$id" --begin 1024 --end 1030 --text "Berlin"
  longhand session edit "$id" --begin 5000 --end 9000 --file chapter2.txt
  longhand session edit "$id" --begin 100 --end 200     # take it out

)";

std::optional<uint64_t> ParseFileOffset(absl::string_view text) {
  uint64_t offset = 0;
  if (text == "end" || absl::SimpleAtoi(text, &offset)) return offset;
  return std::nullopt;
}

void AddAppendContent(CLI::App* command, SessionAppendFlags* append) {
  auto* file = command->add_option("FILE", append->file,
                                   "The text, or - for standard input");
  auto* ids = command->add_option(
      "--token-ids", append->token_ids,
      "Append these tokens instead of text: a JSON array or ids\n"
      "separated by white space; - is standard input");
  file->type_name("")->excludes(ids);
  ids->type_name("FILE")->excludes(file);
  // The last one counts: the command that goes on repeats it.
  command
      ->add_option("--file-offset", append->file_offset,
                   "Where FILE's first byte lies in the document: an\n"
                   "offset, or end, behind all that the session has\n"
                   "(default: 0; of standard input: end)")
      ->check(Readable(ParseFileOffset, "an offset or end"))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("N|end");
  command->add_flag("--follow", append->follow,
                    "Wait for more at the end of FILE, as tail -f does");
  command->add_flag("--close", append->close,
                    "The document ends here; the session takes no more");
  AddDurability(command, &append->durability);
  command
      ->add_option("--piece-bytes", append->piece_bytes,
                   "Bytes of content in one append; the server's limit\n"
                   "bounds it too")
      ->check(CLI::Range(1, 64 << 20))
      ->capture_default_str()
      ->type_name("N");
}

void AddAppendOutput(CLI::App* command, SessionAppendFlags* append) {
  constexpr char kGroup[] = "Output";
  command->add_option("--output", append->format, "table, json, jsonl or npy")
      ->check(CLI::IsMember({"table", "json", "jsonl", "npy"}))
      ->capture_default_str()
      ->type_name("FORMAT")
      ->group(kGroup);
  command
      ->add_option("-o,--out", append->out,
                   "Write to FILE, which appears when complete\n"
                   "(default: standard output; npy needs a file)")
      ->type_name("FILE")
      ->group(kGroup);
  command
      ->add_option("--row-spans", append->row_spans,
                   "With npy: write the spans of the rows as JSON to FILE")
      ->type_name("FILE")
      ->group(kGroup);
  command
      ->add_option("--rows", append->rows,
                   "Chunks that a table shows, from both ends, or all")
      ->check(Readable(ParseRows, "a number of rows or all"))
      ->capture_default_str()
      ->type_name("N|all")
      ->group(kGroup);
  command
      ->add_flag("--provisional", append->provisional,
                 "Also give the chunks of the unfinished tail, as they\n"
                 "would be if the document ended here")
      ->group(kGroup);
  command->add_flag("-q,--quiet", append->quiet, "Write nothing but errors")
      ->group(kGroup);
  AddProgress(command, &append->progress, kGroup);
}

}  // namespace

void AddSessionAppend(CLI::App* session, Flags* flags) {
  CLI::App* command = session->add_subcommand(
      "append",
      "Append text of any length, or token ids, to a session, exactly once.\n"
      "Results come back as chunks become final.");
  SessionAppendFlags* append = &flags->session.append;
  AddSessionId(command, &append->id);
  AddAppendContent(command, append);
  AddAppendOutput(command, append);
  AddConnection(command, &flags->connection);
  command->footer(std::string(kAppendFooter) + kExitCodes);
}

void AddSessionQuery(CLI::App* session, Flags* flags) {
  CLI::App* command = session->add_subcommand(
      "query", "Put questions to a session's document.");
  SessionQueryFlags* query = &flags->session.query;
  AddSessionId(command, &query->id);
  command->add_option("QUESTION", query->questions, "The questions")
      ->type_name("");
  command
      ->add_option("--questions", query->questions_file,
                   "More questions, one per line; - is standard input")
      ->type_name("FILE");
  command
      ->add_option("--attended", query->attended,
                   "Chunks by retrieval weight, for each question")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--similar", query->similar,
                   "Chunks by similarity, for each question")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--document-weight", query->document_weight,
                   "For the similarity: how much of the mean of all chunks\n"
                   "is added to each chunk's vector, -2 to 2 (default: the\n"
                   "server's)")
      ->type_name("X");
  command->add_option("--output", query->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str()
      ->type_name("FORMAT");
  command->add_flag("--texts", query->texts,
                    "Put the chunks' texts into the json as well");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kQueryFooter) + kExitCodes);
}

void AddSessionRewind(CLI::App* session, Flags* flags) {
  CLI::App* command = session->add_subcommand(
      "rewind",
      "Take a session back to an earlier offset: the content from there on\n"
      "goes.");
  SessionRewindFlags* rewind = &flags->session.rewind;
  AddSessionId(command, &rewind->id);
  command->add_option("OFFSET", rewind->offset, "The content that stays")
      ->required()
      ->type_name("");
  AddDurability(command, &rewind->durability);
  AddSessionOutput(command, &rewind->output, "Write nothing but errors");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kRewindFooter) + kExitCodes);
}

void AddSessionEdit(CLI::App* session, Flags* flags) {
  CLI::App* command =
      session->add_subcommand("edit",
                              "Replace a part of a session's text and compute "
                              "anew what depends on it.");
  SessionEditFlags* edit = &flags->session.edit;
  AddSessionId(command, &edit->id);
  command->add_option("--begin", edit->begin, "The first byte that goes")
      ->required()
      ->type_name("N");
  command
      ->add_option("--end", edit->end,
                   "One past the last one (default: the document's end); as\n"
                   "--begin: nothing goes")
      ->type_name("N");
  auto* text = command->add_option(
      "--text", edit->text, "What comes in its place (default: nothing)");
  auto* file = command->add_option("--file", edit->file,
                                   "The same from a file; - is standard input");
  text->type_name("TEXT")->excludes(file);
  file->type_name("FILE")->excludes(text);
  AddDurability(command, &edit->durability);
  AddSessionOutput(command, &edit->output, "Write nothing but errors");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kEditFooter) + kExitCodes);
}

}  // namespace longhand::client
