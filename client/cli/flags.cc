#include "client/cli/flags.h"

#include <cmath>
#include <utility>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "CLI/Validators.hpp"
#include "absl/strings/numbers.h"

namespace longhand::client {
namespace {

constexpr char kExitCodes[] = R"(Exit status:
  0    all went well
  1    the server failed, or the deadline passed
  2    the command line is wrong
  3    the server cannot be reached or is too busy
  4    a file cannot be read or written
  5    the server refused the input (not UTF-8, empty, over a limit, unknown
       option value)
  130  interrupted (143: terminated)
  141  the reader of the output went away

Environment:
  LONGHAND_SERVER  the server, unless --server is given
  NO_COLOR         no bold type in tables
  TMPDIR           where input that is not a regular file is kept while it is
                   needed (an unlinked file that only this process sees))";

constexpr char kMainFooter[] = R"(Examples:
  longhand encode report.txt
  pdftotext contract.pdf - | longhand encode - --output json -o contract.json
  longhand encode book.txt --output npy -o book.npy --spans book.json
  longhand info --server encoder.example:50051 --ca ca.pem
  longhand tokenize --text "to be or not to be"

`longhand COMMAND --help` describes a command and all its options.
)";

constexpr char kEncodeFooter[] = R"(
Output:
  table  one line per chunk: number, byte span (token span with --token-ids),
         tokens, L2 norm before normalisation, the first words of its text;
         then the document vector, counts and timings. Control characters of
         the text are shown escaped.
  json   one object, written when the document has been encoded:
         {"format": "longhand.encode.v1", "input": {"name", "bytes"},
          "options": {..as applied..},
          "summary": {"received_bytes", "received_tokens", "encoded_tokens",
                      "reused_tokens", "chunk_count", "state_bytes",
                      "hidden_size", "model_fingerprint",
                      "timings": {"total", "queue", "tokenize", "compute",
                                  "pool"} in seconds,
                      "client_seconds", "tokens_per_second",
                      "compute_tokens_per_second"},
          "document_vector": [..] or null,
          "chunks": [{"index", "begin_byte", "end_byte", "begin_token",
                      "end_token", "norm", "vector", "retrieval_weights"}],
          "token_vectors": [{"chunk_index", "begin_token", "ids",
                             "begin_bytes", "end_bytes", "vectors"}]}
         Vectors that were not asked for are left out.
  jsonl  one object per line, as results arrive: {"type": "chunk", ..},
         {"type": "token_vectors", ..}, and last {"type": "result", ..} with
         the other keys of json. Without that last line the output is cut.
  npy    a NumPy file (version 1.0, little-endian float32) of --what:
         chunks [chunks, hidden], document [hidden], tokens [tokens, hidden].
         --spans writes the spans of the rows:
         {"format": "longhand.spans.v1", "rows": "chunks", "chunks": [..],
          "tokens": [..]}

Nothing is ever truncated: what is over a limit is refused, and the client
checks that the server took every byte that it sent.

Examples:
  longhand encode report.txt --rows all
  longhand encode - --output jsonl < transcript.txt | jq -c .index
  longhand encode book.txt --mechanism bsbr --visibility causal --gate 0.4
  longhand encode book.txt --output npy --what tokens -o book.npy
  longhand encode --token-ids ids.json --output json

)";

constexpr char kInfoFooter[] = R"(
Examples:
  longhand info
  longhand info --output json | jq .limits

)";

constexpr char kTokenizeFooter[] = R"(
The whole text travels in one message. A text over the server's message limit
is refused; `longhand encode FILE --outputs tokens` streams texts of any length.
With --output json the result is an array of
{"id", "begin_byte", "end_byte", "token"}.

Examples:
  longhand tokenize --text "to be or not to be"
  longhand tokenize notes.txt --rows all
  longhand tokenize notes.txt --output json | jq '[.[].id]' > ids.json

)";

// A check that accepts what `parse` can read.
template <typename Parse>
CLI::Validator Readable(Parse parse, std::string expected) {
  return CLI::Validator(
      [parse, expected](std::string& text) {
        return parse(text) ? std::string() : text + " is not " + expected;
      },
      "");
}

void AddConnection(CLI::App* command, ConnectionFlags* flags) {
  constexpr char kGroup[] = "Connection";
  command->add_option("--server", flags->server, "Host and port of the server")
      ->envname("LONGHAND_SERVER")
      ->capture_default_str()
      ->type_name("TARGET")
      ->group(kGroup);
  command->add_flag("--tls", flags->tls, "Use TLS (implied by the next three)")
      ->group(kGroup);
  command
      ->add_option("--ca", flags->ca, "PEM file with the authorities to trust")
      ->type_name("FILE")
      ->group(kGroup);
  auto* cert = command->add_option("--cert", flags->cert,
                                   "PEM file with the client's certificate");
  auto* key = command->add_option("--key", flags->key, "PEM file with its key");
  cert->type_name("FILE")->group(kGroup)->needs(key);
  key->type_name("FILE")->group(kGroup)->needs(cert);
  command
      ->add_option("--server-name", flags->server_name,
                   "Name in the server's certificate, if not that of --server")
      ->type_name("NAME")
      ->group(kGroup);
  command
      ->add_option("--deadline", flags->deadline,
                   "Give up after this time: 30s, 5m, 1h30m or a number of\n"
                   "seconds (default: never)")
      ->check(Readable(ParseDeadline, "a time such as 30s"))
      ->type_name("TIME")
      ->group(kGroup);
  command
      ->add_option("--retries", flags->retries,
                   "How often to try again while the server is unavailable")
      ->check(CLI::Range(0, 100))
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command
      ->add_flag("-v,--verbose", flags->verbose,
                 "Say more on stderr: retries, codes, metadata of errors")
      ->group(kGroup);
}

void AddEncodeOptions(CLI::App* command, EncodeFlags* flags) {
  constexpr char kGroup[] = "Encoding (the server's defaults: longhand info)";
  const auto add = [&](const char* name, std::string* value, const char* text) {
    return command->add_option(name, *value, text)
        ->type_name("NAME")
        ->group(kGroup);
  };
  add("--model", &flags->model, "The model, if the server names several");
  add("--mechanism", &flags->mechanism,
      "Attention mechanism, such as bsbr or independent");
  add("--visibility", &flags->visibility,
      "Chunks that a chunk may retrieve from: causal (earlier\n"
      "ones; results arrive while the document is sent) or\n"
      "bidirectional (all others)")
      ->check(CLI::IsMember({"causal", "bidirectional"}));
  command
      ->add_option("--gate", flags->gate,
                   "Share of the retrieved part, 0 (chunks alone) to 1")
      ->type_name("X")
      ->group(kGroup);
  add("--chunker", &flags->chunker, "How the document is cut, such as fixed");
  command
      ->add_option("--chunk-tokens", flags->chunk_tokens,
                   "Tokens per chunk, special tokens included")
      ->type_name("N")
      ->group(kGroup);
  add("--pooling", &flags->pooling, "mean, cls or max");
  command
      ->add_option("--outputs", flags->outputs,
                   "What to ask for, separated by commas: document,\n"
                   "chunks, tokens, weights (default: document,chunks;\n"
                   "with npy: what it writes)")
      ->delimiter(',')
      ->check(CLI::IsMember({"document", "chunks", "tokens", "weights"}))
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
                   "Rows of npy: document, chunks or tokens\n"
                   "(default: chunks)")
      ->check(CLI::IsMember({"document", "chunks", "tokens"}))
      ->type_name("ROWS")
      ->group(kGroup);
  command
      ->add_option("--spans", flags->spans,
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
  command
      ->add_flag("--progress,!--no-progress", flags->progress,
                 "Show the progress line, or do not (default: if stderr\n"
                 "is a terminal)")
      ->group(kGroup);
}

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
  AddEncodeOptions(command, encode);
  AddEncodeOutput(command, encode);
  AddConnection(command, &flags->connection);
  command->footer(std::string(kEncodeFooter) + kExitCodes);
}

void AddInfo(CLI::App* app, Flags* flags) {
  CLI::App* command = app->add_subcommand(
      "info", "Describe the served model, its default options and its limits.");
  command
      ->add_option("--model", flags->info.model,
                   "Its name, if not the served one")
      ->type_name("NAME");
  command->add_option("--output", flags->info.format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str()
      ->type_name("FORMAT");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kInfoFooter) + kExitCodes);
}

void AddTokenize(CLI::App* app, Flags* flags) {
  CLI::App* command =
      app->add_subcommand("tokenize",
                          "Show the tokens of a text and their byte spans, "
                          "exactly as encode makes\n"
                          "them, without special tokens.");
  TokenizeFlags* tokenize = &flags->tokenize;
  auto* file = command->add_option("FILE", tokenize->file,
                                   "The text, or - for standard input");
  auto* text = command->add_option("--text", tokenize->text,
                                   "Take the text from the command line");
  file->type_name("")->excludes(text);
  text->type_name("TEXT")->excludes(file);
  command->add_option("--model", tokenize->model, "The model's name")
      ->type_name("NAME");
  command->add_option("--output", tokenize->format, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str()
      ->type_name("FORMAT");
  command
      ->add_option("--rows", tokenize->rows,
                   "Tokens that a table shows, from both ends, or all")
      ->check(Readable(ParseRows, "a number of rows or all"))
      ->capture_default_str()
      ->type_name("N|all");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kTokenizeFooter) + kExitCodes);
}

}  // namespace

std::unique_ptr<CLI::App> MakeApp(Flags* flags) {
  auto app = std::make_unique<CLI::App>(
      "Longhand turns documents of any length into vectors. This command talks "
      "to a\nlonghand-server.",
      "longhand");
  app->get_formatter()->column_width(34);
  app->set_version_flag("--version", "longhand " LONGHAND_VERSION,
                        "Print the version and exit");
  app->require_subcommand(1);
  app->footer(std::string(kMainFooter) + "\n" + kExitCodes);
  AddEncode(app.get(), flags);
  AddInfo(app.get(), flags);
  AddTokenize(app.get(), flags);
  return app;
}

std::optional<absl::Duration> ParseDeadline(absl::string_view text) {
  absl::Duration duration;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    if (!std::isfinite(seconds)) return std::nullopt;
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(std::string(text), &duration)) {
    return std::nullopt;
  }
  if (!(duration > absl::ZeroDuration())) return std::nullopt;
  return duration;
}

std::optional<int64_t> ParseRows(absl::string_view text) {
  if (text == "all") return -1;
  int64_t rows = 0;
  if (!absl::SimpleAtoi(text, &rows) || rows < 0) return std::nullopt;
  return rows;
}

}  // namespace longhand::client
