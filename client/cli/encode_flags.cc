#include <string>

#include "client/cli/encode_options.h"
#include "client/cli/flag_groups.h"

namespace longhand::client {
namespace {

constexpr char kEncodeFooter[] = R"(
Output:
  table  one line per chunk: number, byte span (token span with --token-ids),
         tokens, L2 norm before normalisation, the first words of its text;
         then the spans that were asked for in the same way, the document
         vector, what was added to the vectors, counts and timings. Control
         characters of the text are shown escaped.
  json   one object, written when the document has been encoded:
         {"format": "longhand.encode.v1", "input": {"name", "bytes"},
          "options": {..as applied..},
          "summary": {"received_bytes", "received_tokens", "encoded_tokens",
                      "reused_tokens", "chunk_count", "state_bytes",
                      "peak_working_bytes", "hidden_size",
                      "model_fingerprint",
                      "timings": {"total", "queue", "tokenize", "compute",
                                  "pool"} in seconds,
                      "client_seconds", "tokens_per_second",
                      "compute_tokens_per_second"},
          "document_vector": [..] or null,
          "chunks": [{"index", "begin_byte", "end_byte", "begin_token",
                      "end_token", "norm", "vector", "context_mix",
                      "retrieval_weights"}],
          "token_vectors": [{"chunk_index", "begin_token", "ids",
                             "begin_bytes", "end_bytes", "vectors"}],
          "span_vectors": [{"index", "begin_byte", "end_byte", "begin_token",
                            "end_token", "norm", "vector", "context_mix"}],
          "head_weights": [{"chunk_index", "layer",
                            "weights": [head][chunk]}]}
         What was not asked for is left out. "context_mix" is {"anchor_weight",
         "anchor_chunk", "document_weight", "document_chunks"}: what else is in
         the vector.
  jsonl  one object per line, as results arrive: {"type": "chunk", ..}, then
         what belongs to it: "token_vectors", "head_weights", "span_vector"
         (with a document weight chunks and spans come after those), and last
         {"type": "result", ..} with the other keys of json. Without that last
         line the output is cut.
  npy    a NumPy file (version 1.0, little-endian float32) of --what:
         chunks [chunks, hidden], document [hidden], tokens [tokens, hidden],
         spans [spans, hidden] in the order in which they were given,
         weights [chunks, chunks], head_weights [chunks, layers, heads, chunks];
         weights are 0 where a chunk does not see another.
         --row-spans writes the spans of the rows:
         {"format": "longhand.spans.v1", "rows": "chunks", "chunks": [..],
          "tokens": [..], "spans": [..]}

Nothing is ever truncated: what is over a limit is refused, and the client
checks that the server took every byte that it sent.

Examples:
  longhand encode report.txt --rows all
  longhand encode - --output jsonl < transcript.txt | jq -c .index
  longhand encode book.txt --mechanism bsbr --visibility causal --gate 0.4
  longhand encode book.txt --output npy --what tokens -o book.npy
  longhand encode book.txt --span 0:120 --span 120:340 --output json
  longhand encode book.txt --spans parts.txt --output npy --what spans \
      -o parts.npy
  longhand encode --token-ids ids.json --output json

)";

void AddSpans(CLI::App* command, EncodeFlags* flags) {
  constexpr char kGroup[] = "What the vectors are";
  command
      ->add_option("--span", flags->span,
                   "Give bytes BEGIN (the first) to END (one past the last)\n"
                   "of the text a vector of their own; repeat it for more")
      ->check(Readable(ParseSpan, "a span such as 0:120"))
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("BEGIN:END")
      ->group(kGroup);
  command
      ->add_option("--spans", flags->spans,
                   "The same for the spans in FILE: a line BEGIN END for\n"
                   "each, or a JSON array of pairs; they come before --span")
      ->type_name("FILE")
      ->group(kGroup);
  command
      ->add_option("--outputs", flags->outputs,
                   "What to ask for, separated by commas: document,\n"
                   "chunks, tokens, weights (of retrieval), head_weights\n"
                   "(default: document,chunks; with npy: what it writes)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(
          {"document", "chunks", "tokens", "weights", "head_weights"}))
      ->type_name("LIST")
      ->group(kGroup);
}

void AddEncodeOutput(CLI::App* command, EncodeFlags* flags) {
  constexpr char kGroup[] = "Output";
  command->add_option("--output", flags->format, "table, json, jsonl or npy")
      ->check(CLI::IsMember({"table", "json", "jsonl", "npy"}))
      ->capture_default_str()
      ->type_name("FORMAT")
      ->group(kGroup);
  command
      ->add_option("-o,--out", flags->out,
                   "Write to FILE, which appears when complete\n"
                   "(default: standard output; npy needs a file)")
      ->type_name("FILE")
      ->group(kGroup);
  command
      ->add_option("--what", flags->what,
                   "What npy holds: document, chunks, tokens, spans,\n"
                   "weights or head_weights (default: chunks)")
      ->check(CLI::IsMember(
          {"document", "chunks", "tokens", "spans", "weights", "head_weights"}))
      ->type_name("KIND")
      ->group(kGroup);
  command
      ->add_option("--row-spans", flags->row_spans,
                   "With npy: write the spans of the rows as JSON to FILE")
      ->type_name("FILE")
      ->group(kGroup);
  command
      ->add_option("--rows", flags->rows,
                   "Chunks that a table shows, from both ends, or all")
      ->check(Readable(ParseRows, "a number of rows or all"))
      ->capture_default_str()
      ->type_name("N|all")
      ->group(kGroup);
  AddProgress(command, &flags->progress, kGroup);
}

}  // namespace

void AddEncode(CLI::App* app, Flags* flags) {
  CLI::App* command = app->add_subcommand(
      "encode",
      "Encode one document of any length into vectors.\n"
      "The document is streamed to the server; results come back as chunks\n"
      "become final. FILE holds UTF-8 text; - is standard input.");
  EncodeFlags* encode = &flags->encode;
  auto* file = command->add_option("FILE", encode->file,
                                   "The document, or - for standard input");
  auto* ids = command->add_option(
      "--token-ids", encode->token_ids,
      "Encode these tokens instead of text: a JSON array or ids\n"
      "separated by white space, without special tokens; - is\n"
      "standard input");
  file->type_name("")->excludes(ids);
  ids->type_name("FILE")->excludes(file);
  command
      ->add_option("--piece-bytes", encode->piece_bytes,
                   "Bytes of content in one message")
      ->check(CLI::Range(1, 64 << 20))
      ->capture_default_str()
      ->type_name("N");
  AddRetrievalOptions(command, &encode->options);
  AddChunkOptions(command, &encode->options);
  AddVectorOptions(command, &encode->options);
  AddSpans(command, encode);
  AddEncodeOutput(command, encode);
  AddConnection(command, &flags->connection);
  command->footer(std::string(kEncodeFooter) + kExitCodes);
}

}  // namespace longhand::client
