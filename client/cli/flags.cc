#include "client/cli/flags.h"

#include <cmath>

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/numbers.h"
#include "client/cli/flag_groups.h"

namespace longhand::client {
namespace {

constexpr char kMainFooter[] = R"(Examples:
  longhand encode report.txt
  pdftotext contract.pdf - | longhand encode - --output json -o contract.json
  longhand encode book.txt --output npy -o book.npy --row-spans book.json
  longhand explain book.txt -o book.html
  longhand compare report.txt --mechanisms bsbr,independent
  longhand health --timeout 2
  longhand info --server encoder.example:50051 --ca ca.pem
  longhand load book.txt --clients 32 --duration 1m
  id=$(longhand session create --quiet); longhand session append "$id" book.txt
  longhand tokenize --text "to be or not to be"

`longhand COMMAND --help` describes a command and all its options.
)";

constexpr char kHealthFooter[] = R"(
It asks grpc.health.v1.Health, once, and prints SERVING, NOT_SERVING or
SERVICE_UNKNOWN. It sends no token: health is for everybody who can connect.

Exit status:
  0    SERVING
  1    anything else, a server that cannot be reached included
  2    the command line is wrong

Examples:
  longhand health
  longhand health --service longhand.v1.SessionService --timeout 2
  longhand health --server unix:/run/longhand.sock
  longhand health --server localhost:50051 --ca ca.pem --cert me.pem --key me.key
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

void AddHealth(CLI::App* app, Flags* flags) {
  CLI::App* command = app->add_subcommand(
      "health",
      "Ask whether the server serves, for health checks of containers.");
  command
      ->add_option("--service", flags->health.service,
                   "One service, such as longhand.v1.SessionService\n"
                   "(default: the server as a whole)")
      ->type_name("NAME");
  command
      ->add_option("--timeout", flags->health.timeout,
                   "Give up after this time: 500ms, 5s or a number of seconds")
      ->check(Readable(ParseDeadline, "a time such as 5s"))
      ->capture_default_str()
      ->type_name("TIME");
  AddTarget(command, &flags->connection);
  command->footer(kHealthFooter);
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
  AddCompare(app.get(), flags);
  AddEncode(app.get(), flags);
  AddExplain(app.get(), flags);
  AddHealth(app.get(), flags);
  AddInfo(app.get(), flags);
  AddLoad(app.get(), flags);
  AddSession(app.get(), flags);
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

std::optional<int> ParsePlane(absl::string_view text) {
  if (text == "mean") return -1;
  int plane = 0;
  if (!absl::SimpleAtoi(text, &plane) || plane < 0) return std::nullopt;
  return plane;
}

}  // namespace longhand::client
