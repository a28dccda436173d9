// longhand_long_document: speed and memory of one very long document.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/documents/document_feed.h"
#include "bench/documents/long_document.h"
#include "core/base/error.h"
#include "core/base/heap.h"
#include "core/base/status_macros.h"

namespace longhand::documents {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

struct Arguments {
  std::string model, text, precision = "fp32";
  LongDocumentOptions document;
  int64_t ratio_tokens = 50'000;
  int ratio_rounds = 3;
  int workers = 0;
  uint64_t max_working_bytes = 0;
  uint64_t workspace_mib = 256;
};

absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(
    const Arguments& arguments, std::shared_ptr<const Model> model,
    const SourceText& source) {
  EncoderOptions options;
  options.workers = arguments.workers;
  options.max_working_bytes = arguments.max_working_bytes;
  options.max_document_bytes = std::max(
      options.max_document_bytes, DocumentBytes(source, arguments.document.kind,
                                                arguments.document.tokens));
  return Encoder::Create(std::move(model), options);
}

void PrintOptions(const Encoder& encoder, const EncodeOptions& options) {
  std::cout << absl::StreamFormat(
                   "%s, %s, state codec %s, top_k %d, gate %g, chunks of %d "
                   "rows, %s, %d workers",
                   options.mechanism,
                   std::string(VisibilityName(*options.visibility)),
                   options.state_codec, *options.top_k, *options.gate,
                   *options.chunk_tokens,
                   encoder.model().info().effective_precision,
                   encoder.options().workers)
            << std::endl;
}

void PrintStretch(const StretchSpeed& speed) {
  // At once, for whoever watches.
  std::cout << absl::StreamFormat("%12d %10.0f %14.0f", speed.end_token,
                                  speed.per_second, speed.per_cpu_second)
            << std::endl;
}

// Whether chunks are computed along the document, so that its parts have a
// speed of their own.
bool HasStretches(const EncodeOptions& options) {
  return options.mechanism == "independent" ||
         *options.visibility == Visibility::kCausal;
}

void PrintResult(const LongDocumentResult& result) {
  const EncodeSummary& summary = result.run.summary;
  const MemoryUse& memory = result.memory;
  const ElapsedTime& time = result.run.time;
  const double seconds = absl::ToDoubleSeconds(time.wall);
  const double tokens = double(summary.received_tokens);
  std::cout << absl::StreamFormat(
      "total: %d tokens, %d chunks in %.1f s: %.0f tokens/s, %.0f per CPU "
      "second\n",
      summary.received_tokens, summary.chunk_count, seconds, tokens / seconds,
      tokens / absl::ToDoubleSeconds(time.cpu));
  std::cout << absl::StreamFormat(
      "memory (MiB): model and encoder %.1f, left by a short document %.1f\n"
      "  chunk states %.1f, peak growth over the warm encoder %.1f",
      memory.loaded / kMiB, memory.workspace() / kMiB, memory.states / kMiB,
      memory.growth() / kMiB);
  if (memory.states > 0) {
    std::cout << absl::StreamFormat(
        ", ratio %.3f", double(memory.growth()) / double(memory.states));
  }
  std::cout << std::endl;
}

absl::Status CheckMemory(const MemoryUse& memory, uint64_t workspace_mib) {
  const uint64_t limit = workspace_mib << 20;
  if (memory.IsWithin(limit)) {
    std::cout << absl::StreamFormat("within 1.1 x the states + %d MiB: yes\n",
                                    workspace_mib);
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kResourceExhausted, "MEMORY_EXCEEDED",
      absl::StrFormat("the process grew by %.1f MiB, more than 1.1 x the %.1f "
                      "MiB of chunk states + %d MiB of workspace",
                      (double(memory.peak) - double(memory.loaded)) / kMiB,
                      memory.states / kMiB, workspace_mib));
}

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                      Model::Load({.directory = arguments.model,
                                   .precision = arguments.precision}));
  LH_ASSIGN_OR_RETURN(const SourceText source,
                      ReadSourceText(arguments.text, *model->tokenizer()));
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<Encoder> encoder,
                      MakeEncoder(arguments, model, source));
  const LongDocumentOptions& document = arguments.document;
  LH_ASSIGN_OR_RETURN(const EncodeOptions resolved,
                      encoder->ResolveOptions(document.encode));
  std::cout << absl::StreamFormat(
      "%d tokens from %s (%d tokens), as %s\n", document.tokens, arguments.text,
      source.tokens.size(),
      document.kind == ContentKind::kText ? "text" : "token ids");
  PrintOptions(*encoder, resolved);
  std::function<void(const StretchSpeed&)> on_stretch = PrintStretch;
  if (HasStretches(resolved)) {
    std::cout << absl::StreamFormat("%12s %10s %14s\n", "up to token",
                                    "tokens/s", "per CPU second");
  } else {
    std::cout << "with this visibility all chunks are computed together: no "
                 "tenths\n";
    on_stretch = [](const StretchSpeed&) {};
  }
  LH_ASSIGN_OR_RETURN(
      const LongDocumentResult result,
      MeasureLongDocument(*encoder, source, document, std::move(on_stretch)));
  PrintResult(result);
  const absl::Status within =
      CheckMemory(result.memory, arguments.workspace_mib);
  if (arguments.ratio_tokens > 0) {
    LongDocumentOptions start = document;
    start.tokens = std::min(arguments.ratio_tokens, document.tokens);
    LH_ASSIGN_OR_RETURN(const SpeedRatio ratio,
                        CompareWithIndependent(*encoder, source, start,
                                               arguments.ratio_rounds));
    std::cout << absl::StreamFormat(
        "speed over independent chunks, first %d tokens: %.3f (by CPU time "
        "%.3f)\n",
        start.tokens, ratio.wall, ratio.cpu);
  }
  return within;
}

void AddDocumentOptions(CLI::App* app, LongDocumentOptions* document) {
  static const std::map<std::string, ContentKind> kKinds = {
      {"text", ContentKind::kText}, {"ids", ContentKind::kTokenIds}};
  static const std::map<std::string, Visibility> kVisibilities = {
      {"causal", Visibility::kCausal},
      {"bidirectional", Visibility::kBidirectional},
      {"two_pass", Visibility::kTwoPass}};
  EncodeOptions* const encode = &document->encode;
  app->add_option("--tokens", document->tokens, "tokens of the document")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  app->add_option("--input", document->kind,
                  "how the document is given: text or ids (default: text)")
      ->transform(CLI::CheckedTransformer(kKinds));
  app->add_option("--mechanism", encode->mechanism,
                  "attention mechanism (default: the encoder's)");
  app->add_option("--visibility", encode->visibility,
                  "causal, bidirectional or two_pass (default: the encoder's)")
      ->transform(CLI::CheckedTransformer(kVisibilities));
  app->add_option("--state-codec", encode->state_codec,
                  "how chunk states are kept (default: the encoder's)");
  app->add_option("--state-rank", encode->state_rank, "of the codec low_rank");
  app->add_option("--top-k", encode->top_k,
                  "chunks that a chunk retrieves from; 0: all (default: the "
                  "encoder's)");
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option("--model", arguments->model, "model directory")->required();
  app->add_option("--text", arguments->text,
                  "file of UTF-8 text, repeated as often as needed")
      ->required();
  AddDocumentOptions(app, &arguments->document);
  app->add_option("--precision", arguments->precision,
                  "of the linear layers: fp32, bf16 or int8")
      ->capture_default_str();
  app->add_option("--ratio-tokens", arguments->ratio_tokens,
                  "length of the documents that are compared with independent "
                  "chunks; 0: no comparison")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  app->add_option("--ratio-rounds", arguments->ratio_rounds,
                  "alternate runs of that comparison")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--workspace-mib", arguments->workspace_mib,
                  "memory allowed besides 1.1 x the chunk states, MiB")
      ->check(CLI::Range(uint64_t{0}, uint64_t{1} << 30))
      ->capture_default_str();
  app->add_option("--max-working-bytes", arguments->max_working_bytes,
                  "limit of chunk states and activations; 0: half of the "
                  "memory that the machine or the cgroup allows")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app->add_option("--workers", arguments->workers,
                  "threads; 0: all that are allowed")
      ->capture_default_str();
}

}  // namespace
}  // namespace longhand::documents

int main(int argc, char** argv) {
  CLI::App app(
      "Speed along one very long document and its memory. Exits with 1 if the "
      "process grows by more than 1.1 x the chunk states + --workspace-mib.");
  longhand::documents::Arguments arguments;
  longhand::documents::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  // As the server does.
  longhand::GiveLargeBlocksTheirOwnPages();
  const absl::Status status = longhand::documents::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_long_document: " << status.message() << '\n';
  return EXIT_FAILURE;
}
