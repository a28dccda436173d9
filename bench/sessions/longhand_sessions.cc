// longhand_sessions: what sessions cost.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/documents/document_feed.h"
#include "bench/documents/process_memory.h"
#include "bench/sessions/session_measurements.h"
#include "core/base/heap.h"
#include "core/base/status_macros.h"
#include "core/model/model.h"

namespace longhand::sessions {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

struct Arguments {
  std::string model, text, directory, redis_address;
  std::vector<int64_t> histories = {1'000, 10'000, 100'000, 1'000'000};
  std::string state_codec = "bf16";
  int top_k = 8;
  int rounds = 40;
  int64_t resume_tokens = 100'000;
  uint64_t max_memory_bytes = uint64_t{4} << 30;
  int workers = 0;
};

BenchOptions MakeOptions(const Arguments& arguments) {
  BenchOptions options;
  options.encode.state_codec = arguments.state_codec;
  options.encode.top_k = arguments.top_k;
  options.histories = arguments.histories;
  options.rounds = arguments.rounds;
  options.max_memory_bytes = arguments.max_memory_bytes;
  return options;
}

absl::Status RunAppends(const Arguments& arguments, Encoder& encoder,
                        TokenSupply* supply) {
  const BenchOptions options = MakeOptions(arguments);
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<Bench> bench,
                      Bench::Create(&encoder, "memory", {}, options));
  std::vector<double> bare;
  LH_ASSIGN_OR_RETURN(const std::vector<AppendCost> costs,
                      MeasureAppends(*bench, options, encoder, supply, &bare));
  const double bare_p50 = Percentile(bare, 0.5);
  std::cout << absl::StreamFormat(
      "append of %d tokens, %d rounds, by turns; one chunk alone: p50 %.1f ms\n"
      "%10s %9s %9s %12s %12s\n",
      options.append_tokens, options.rounds, 1e3 * bare_p50, "history",
      "p50 ms", "p99 ms", "p50 / first", "p50 / alone");
  const double first = Percentile(costs.front().seconds, 0.5);
  int64_t tokens = 0;
  for (const AppendCost& cost : costs) {
    const double p50 = Percentile(cost.seconds, 0.5);
    std::cout << absl::StreamFormat(
        "%10d %9.1f %9.1f %12.2f %12.2f\n", cost.history, 1e3 * p50,
        1e3 * Percentile(cost.seconds, 0.99), p50 / first, p50 / bare_p50);
    tokens += cost.history;
  }
  const SessionManagerStats stats = bench->manager().stats();
  std::cout << absl::StreamFormat(
      "memory charged: %.1f MiB for %d tokens, %.0f KiB per 1,000 tokens\n",
      double(stats.memory_bytes) / kMiB, tokens,
      double(stats.memory_bytes) / 1024 / (double(tokens) / 1000));
  std::cout.flush();
  return absl::OkStatus();
}

absl::Status RunQueries(const Arguments& arguments, Encoder& encoder,
                        TokenSupply* supply) {
  LH_ASSIGN_OR_RETURN(
      const std::unique_ptr<Bench> bench,
      Bench::Create(&encoder, "memory", {}, MakeOptions(arguments)));
  LH_ASSIGN_OR_RETURN(const SessionId id,
                      bench->MakeSession(arguments.resume_tokens, supply));
  std::cout << absl::StreamFormat(
      "question of 16 tokens, %d tokens cached, %d rounds\n%10s %9s %9s\n",
      arguments.resume_tokens, arguments.rounds, "questions", "p50 ms",
      "p99 ms");
  for (const int questions : {1, 16}) {
    std::vector<double> seconds;
    for (int round = 0; round < arguments.rounds; ++round) {
      LH_ASSIGN_OR_RETURN(seconds.emplace_back(),
                          bench->TimeQuery(id, questions, supply));
    }
    std::cout << absl::StreamFormat("%10d %9.1f %9.1f\n", questions,
                                    1e3 * Percentile(seconds, 0.5),
                                    1e3 * Percentile(seconds, 0.99));
  }
  std::cout.flush();
  return absl::OkStatus();
}

// What sessions are charged against what the process grows by.
absl::Status RunMemory(const Arguments& arguments, Encoder& encoder,
                       TokenSupply* supply) {
  LH_ASSIGN_OR_RETURN(
      const std::unique_ptr<Bench> bench,
      Bench::Create(&encoder, "memory", {}, MakeOptions(arguments)));
  // What the workers keep anyway.
  LH_RETURN_IF_ERROR(bench->MakeSession(20'000, supply).status());
  documents::ResetMemoryPeak();
  LH_ASSIGN_OR_RETURN(const documents::ProcessMemory before,
                      documents::ReadProcessMemory());
  const uint64_t charged_before = bench->manager().stats().memory_bytes;
  for (int i = 0; i < 4; ++i) {
    LH_RETURN_IF_ERROR(
        bench->MakeSession(arguments.resume_tokens, supply).status());
  }
  documents::ResetMemoryPeak();
  LH_ASSIGN_OR_RETURN(const documents::ProcessMemory after,
                      documents::ReadProcessMemory());
  const double charged =
      double(bench->manager().stats().memory_bytes - charged_before);
  const double growth =
      double(after.resident_bytes) - double(before.resident_bytes);
  std::cout << absl::StreamFormat(
      "4 sessions of %d tokens: charged %.1f MiB, resident growth %.1f MiB, "
      "ratio %.3f\n",
      arguments.resume_tokens, charged / kMiB, growth / kMiB, growth / charged);
  std::cout.flush();
  return absl::OkStatus();
}

// How long the first append after a restart takes, against a later one.
absl::Status RunResume(const Arguments& arguments, const std::string& store,
                       const SessionStoreOptions& options, Encoder& encoder,
                       TokenSupply* supply) {
  LH_ASSIGN_OR_RETURN(
      const std::unique_ptr<Bench> bench,
      Bench::Create(&encoder, store, options, MakeOptions(arguments)));
  LH_ASSIGN_OR_RETURN(const SessionId id,
                      bench->MakeSession(arguments.resume_tokens, supply));
  int64_t offset = arguments.resume_tokens;
  const Durability durability = bench->manager().durability();
  std::vector<double> first, later;
  for (int round = 0; round < 3; ++round) {
    LH_RETURN_IF_ERROR(bench->Restart());
    for (std::vector<double>* seconds : {&first, &later}) {
      LH_ASSIGN_OR_RETURN(
          seconds->emplace_back(),
          bench->TimeAppend(id, offset, supply->Take(128), durability));
      offset += 128;
    }
  }
  std::cout << absl::StreamFormat(
      "%10s: first append of 128 tokens after a restart %.0f ms, the next one "
      "%.0f ms (medians of 3)\n",
      store, 1e3 * Percentile(first, 0.5), 1e3 * Percentile(later, 0.5));
  std::cout.flush();
  return absl::OkStatus();
}

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                      Model::Load({.directory = arguments.model}));
  LH_ASSIGN_OR_RETURN(
      documents::SourceText source,
      documents::ReadSourceText(arguments.text, *model->tokenizer()));
  TokenSupply supply(std::move(source.tokens.ids));
  EncoderOptions encoder_options;
  encoder_options.workers = arguments.workers;
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<Encoder> encoder,
                      Encoder::Create(model, encoder_options));
  std::cout << absl::StreamFormat("state codec %s, top_k %d, %s, %d workers\n",
                                  arguments.state_codec, arguments.top_k,
                                  encoder->model().info().effective_precision,
                                  encoder->options().workers);
  std::cout.flush();
  LH_RETURN_IF_ERROR(RunMemory(arguments, *encoder, &supply));
  LH_RETURN_IF_ERROR(RunAppends(arguments, *encoder, &supply));
  LH_RETURN_IF_ERROR(RunQueries(arguments, *encoder, &supply));
  std::cout << absl::StreamFormat("a session of %d tokens comes back:\n",
                                  arguments.resume_tokens);
  SessionStoreOptions store;
  store.path = absl::StrCat(arguments.directory, "/sessions");
  LH_RETURN_IF_ERROR(RunResume(arguments, "rocksdb", store, *encoder, &supply));
  if (arguments.redis_address.empty()) {
    std::cout << "     redis: not measured, no --redis-address\n";
    return absl::OkStatus();
  }
  store.address = arguments.redis_address;
  store.timeout = absl::Seconds(30);
  return RunResume(arguments, "redis", store, *encoder, &supply);
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option("--model", arguments->model, "model directory")->required();
  app->add_option("--text", arguments->text,
                  "file of UTF-8 text, repeated as often as needed")
      ->required();
  app->add_option("--directory", arguments->directory,
                  "an empty directory for the RocksDB store")
      ->required();
  app->add_option("--redis-address", arguments->redis_address,
                  "of a Redis or Valkey server, HOST:PORT or a socket's path; "
                  "none: not measured");
  app->add_option("--histories", arguments->histories,
                  "lengths of the sessions that are appended to, tokens")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  app->add_option("--state-codec", arguments->state_codec,
                  "how chunk states are kept")
      ->capture_default_str();
  app->add_option("--top-k", arguments->top_k,
                  "chunks that a chunk retrieves from; 0: all")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app->add_option("--rounds", arguments->rounds, "appends to each session")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app->add_option("--resume-tokens", arguments->resume_tokens,
                  "length of the session that is asked and resumed")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  app->add_option("--max-memory-bytes", arguments->max_memory_bytes,
                  "of all sessions")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app->add_option("--workers", arguments->workers,
                  "threads; 0: all that are allowed")
      ->capture_default_str();
}

}  // namespace
}  // namespace longhand::sessions

int main(int argc, char** argv) {
  CLI::App app(
      "What sessions cost: appends at several lengths of history, questions, "
      "and coming back from a store after a restart.");
  longhand::sessions::Arguments arguments;
  longhand::sessions::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  // As the server does.
  longhand::GiveLargeBlocksTheirOwnPages();
  const absl::Status status = longhand::sessions::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_sessions: " << status.message() << '\n';
  return EXIT_FAILURE;
}
