#include "client/cli/load_flags.h"

#include <string>

#include "client/cli/flag_groups.h"

namespace longhand::client {
namespace {

constexpr char kLoadFooter[] = R"(
Two ways to load a server:
  --clients N  closed loop: N clients, each of which sends its next document
               when its last one has ended. The load adapts to the server, so
               it shows what the server can do, not what users of a slow one
               suffer.
  --rate R     open loop: R documents a second arrive, whatever becomes of the
               earlier ones. Latency counts from the moment that a document was
               to be sent, so nothing is left out while the server is slow
               (no coordinated omission). More than --max-outstanding at one
               time are not sent, and are counted.

A refused document is not sent again unless --retries says so: a load is to show
what is refused. A closed loop's client goes on with its next one at once, or
with --heed-advice after the time that the server asks for (without a connection
after 0.1 s in any case).

Documents whose time to be sent lies behind --warm-up are counted, all of them:
the command waits for their answers. TOKENS/S and the throughput count answers
that come within the measured time. A document is in time if its answer comes
within --answer-within and the deadline; goodput counts those in time.
Ctrl-C ends the load; what was measured is reported.

Output:
  table  a row per class of documents and the total: SENT = OK + LATE + REFUSED
         + DEADLINE + OPEN, latencies of the answered ones; then the errors,
         the waits that the server asked for, and how late documents left
         (send lag: if that is near the latencies, this side was too slow).
  json   {"format": "longhand.load.v1", "input": {"name", "tokens"},
          "model": {"name", "fingerprint"}, "loop": "closed" or "open",
          ..settings.., "interrupted", "window_seconds", "peak_outstanding",
          "send_lag": {..as latency..},
          "total": {"arrivals", "not_sent", "sent", "ok", "late", "rejected",
                    "deadline_exceeded", "unfinished", "retries",
                    "throughput": {"requests_per_second",
                        "goodput_requests_per_second", "tokens_per_second",
                        "goodput_tokens_per_second", "answered_tokens"},
                    "latency": {"count", "mean", "p50", "p90", "p99", "p999",
                                "max", "buckets": [[upper, count], ..]},
                    "reject_latency": {..},
                    "errors": [{"code", "reason", "message", "count"}],
                    "advice": {"pushbacks", "retry_infos", "min", "max"}},
          "classes": [{"name", "share", "min_tokens", "max_tokens", ..}]}
         Times are seconds. Percentiles are at most 0.8 % too high.

Examples:
  longhand load book.txt --clients 32 --duration 1m
  longhand load book.txt --rate 50 --mix q:9:32,page:1:400-800 --deadline 2s
  longhand load book.txt --clients 1 --mix short:1:128 --requests 200
  longhand load book.txt --rate 500 --answer-within 1s --output json -o a.json

)";

void AddContent(CLI::App* command, LoadFlags* flags) {
  auto* file = command->add_option("FILE", flags->file,
                                   "The text, or - for standard input");
  auto* ids = command->add_option(
      "--token-ids", flags->token_ids,
      "Cut documents from these tokens instead: a JSON array or\n"
      "ids separated by white space; - is standard input");
  file->type_name("")->excludes(ids);
  ids->type_name("FILE")->excludes(file);
  constexpr char kGroup[] = "Documents";
  command
      ->add_option("--mix", flags->mix,
                   "Classes of documents, NAME:SHARE:TOKENS, separated by\n"
                   "commas; TOKENS may be a range such as 100-200")
      ->capture_default_str()
      ->type_name("LIST")
      ->group(kGroup);
  command
      ->add_option("--load-seed", flags->seed,
                   "What classes, lengths, places in the text and arrivals\n"
                   "depend on; the same seed sends the same documents")
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command
      ->add_option("--input", flags->input,
                   "Send the documents of FILE as text or as token ids")
      ->check(CLI::IsMember({"text", "ids"}))
      ->capture_default_str()
      ->type_name("KIND")
      ->group(kGroup);
  command
      ->add_option("--method", flags->method,
                   "encode (one message), stream, or auto: stream where a\n"
                   "document or its answer may be over the message limit")
      ->check(CLI::IsMember({"auto", "encode", "stream"}))
      ->capture_default_str()
      ->type_name("NAME")
      ->group(kGroup);
  command
      ->add_option("--piece-bytes", flags->piece_bytes,
                   "Bytes of content in one message of a stream")
      ->check(CLI::Range(1, 64 << 20))
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
}

void AddLoop(CLI::App* command, LoadFlags* flags) {
  constexpr char kGroup[] = "Load";
  auto* clients =
      command
          ->add_option("--clients", flags->clients,
                       "Closed loop with that many clients (default: 8)")
          ->check(CLI::Range(1, 100'000))
          ->type_name("N")
          ->group(kGroup);
  command
      ->add_option("--ramp-up", flags->ramp_up,
                   "Closed loop: the clients begin one after the other\n"
                   "within this time (default: all at once)")
      ->check(Readable(ParseDeadline, "a time such as 30s"))
      ->type_name("TIME")
      ->group(kGroup);
  command
      ->add_option("--rate", flags->rate,
                   "Open loop with that many documents a second")
      ->check(CLI::Range(1e-3, 1e6))
      ->type_name("R")
      ->group(kGroup)
      ->excludes(clients);
  command
      ->add_option("--arrivals", flags->arrivals,
                   "Of an open loop: poisson (gaps by chance) or constant")
      ->check(CLI::IsMember({"poisson", "constant"}))
      ->capture_default_str()
      ->type_name("NAME")
      ->group(kGroup);
  command
      ->add_option("--max-outstanding", flags->max_outstanding,
                   "Open loop: documents under way at one time")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command
      ->add_option("--connections", flags->connections,
                   "HTTP/2 connections; 0: one for every 32 documents that\n"
                   "may be under way. A server bounds the calls on each,\n"
                   "and more wait on this side")
      ->check(CLI::Range(0, 10'000))
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command
      ->add_flag("--heed-advice", flags->heed_advice,
                 "Closed loop: a client whose document was refused waits as\n"
                 "long as the server asks")
      ->group(kGroup);
}

void AddMeasuring(CLI::App* command, LoadFlags* flags) {
  constexpr char kGroup[] = "Load";
  const auto time = Readable(ParseDeadline, "a time such as 30s");
  auto* duration =
      command->add_option("--duration", flags->duration, "How long to measure")
          ->check(time)
          ->capture_default_str()
          ->type_name("TIME")
          ->group(kGroup);
  auto* warm_up =
      command
          ->add_option("--warm-up", flags->warm_up,
                       "Load before that, which is not counted (default: 1s)")
          ->check(Readable(
              [](const std::string& text) {
                return text == "0" || ParseDeadline(text).has_value();
              },
              "a time such as 2s, or 0"))
          ->type_name("TIME")
          ->group(kGroup);
  command
      ->add_option("--requests", flags->requests,
                   "Send that many documents instead, and measure until the\n"
                   "last answer")
      ->check(CLI::PositiveNumber)
      ->type_name("N")
      ->group(kGroup)
      ->excludes(duration)
      ->excludes(warm_up);
  command
      ->add_option("--answer-within", flags->answer_within,
                   "Count later answers as late (default: the deadline).\n"
                   "The server is not told")
      ->check(time)
      ->type_name("TIME")
      ->group(kGroup);
}

}  // namespace

void AddLoad(CLI::App* app, Flags* flags) {
  CLI::App* command = app->add_subcommand(
      "load",
      "Load a server with documents cut from FILE, at places that a seed\n"
      "chooses, and measure latency, throughput and what is refused.");
  LoadFlags* load = &flags->load;
  AddContent(command, load);
  AddLoop(command, load);
  AddMeasuring(command, load);
  AddRetrievalOptions(command, &load->options);
  AddChunkOptions(command, &load->options);
  AddVectorOptions(command, &load->options);
  AddReportOutput(command, &load->format, &load->out);
  AddProgress(command, &load->progress, "Output");
  AddConnection(command, &flags->connection);
  command->footer(std::string(kLoadFooter) + kExitCodes);
}

}  // namespace longhand::client
