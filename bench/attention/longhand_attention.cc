// longhand_attention: what one attention mechanism costs on one document, and
// how far its vectors are from those of another run. One measurement a process,
// so that the peak of its memory is that of the document.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "bench/attention/passages.h"
#include "bench/documents/document_feed.h"
#include "bench/documents/document_run.h"
#include "bench/documents/process_memory.h"
#include "bench/quality/variants.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/engine/encoder.h"
#include "nlohmann/json.hpp"

namespace longhand::attention {
namespace {

using documents::DocumentFeed;
using documents::SourceText;

// Long enough that every buffer that does not grow with the document is there.
constexpr int64_t kWarmUpTokens = 512;

struct Arguments {
  std::string model, text, options = "{}";
  int64_t tokens = 0;
  int workers = 0;
  int rounds = 1;
  std::string passages, reference;
};

struct Measurement {
  documents::DocumentRun fastest;
  uint64_t growth_bytes = 0;
  Passages passages;
};

absl::StatusOr<EncodeOptions> ParseOptions(const std::string& text) {
  LH_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text));
  LH_ASSIGN_OR_RETURN(EncodeOptions options, quality::ParseEncodeOptions(json));
  // The vectors as they are, with nothing mixed in.
  options.anchor_weight = 0;
  options.document_weight = 0;
  return options;
}

absl::StatusOr<documents::DocumentRun> EncodePassages(Encoder& encoder,
                                                      EncodeOptions options,
                                                      const SourceText& source,
                                                      int64_t tokens,
                                                      Passages* passages) {
  const uint64_t bytes = source.tokens.end[size_t(tokens) - 1];
  options.spans = PassagesOf(bytes);
  const size_t size = size_t(encoder.model().config().output_size());
  passages->size = static_cast<int>(size);
  passages->vectors.assign(options.spans.size() * size, 0.0f);
  return documents::EncodeDocument(
      encoder, options,
      DocumentFeed(&source, documents::ContentKind::kText, tokens),
      {.on_span = [=](SpanResult span) {
        std::copy(span.vector.begin(), span.vector.end(),
                  passages->vectors.begin() + span.index * int64_t(size));
      }});
}

absl::StatusOr<Measurement> Measure(const Arguments& arguments,
                                    Encoder& encoder,
                                    const SourceText& source) {
  LH_ASSIGN_OR_RETURN(const EncodeOptions options,
                      ParseOptions(arguments.options));
  Measurement result;
  Passages warm_up;
  LH_RETURN_IF_ERROR(EncodePassages(encoder, options, source,
                                    std::min(arguments.tokens, kWarmUpTokens),
                                    &warm_up)
                         .status());
  for (int round = 0; round < arguments.rounds; ++round) {
    documents::ResetMemoryPeak();
    LH_ASSIGN_OR_RETURN(const documents::ProcessMemory before,
                        documents::ReadProcessMemory());
    LH_ASSIGN_OR_RETURN(documents::DocumentRun run,
                        EncodePassages(encoder, options, source,
                                       arguments.tokens, &result.passages));
    LH_ASSIGN_OR_RETURN(const documents::ProcessMemory after,
                        documents::ReadProcessMemory());
    // Memory that stays mapped from one round to the next does not grow again.
    if (round == 0) {
      result.growth_bytes = after.peak_resident_bytes - before.resident_bytes;
    }
    if (round == 0 || run.time.cpu < result.fastest.time.cpu) {
      result.fastest = std::move(run);
    }
  }
  return result;
}

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                      Model::Load({.directory = arguments.model}));
  LH_ASSIGN_OR_RETURN(
      const SourceText source,
      documents::ReadSourceText(arguments.text, *model->tokenizer()));
  if (arguments.tokens > int64_t(source.tokens.size())) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TEXT_TOO_SHORT",
                     absl::StrCat(arguments.text, " has ", source.tokens.size(),
                                  " tokens; give a longer text or fewer "
                                  "--tokens"));
  }
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<Encoder> encoder,
                      Encoder::Create(model, {.workers = arguments.workers}));
  LH_ASSIGN_OR_RETURN(const Measurement result,
                      Measure(arguments, *encoder, source));
  const EncodeSummary& summary = result.fastest.summary;
  nlohmann::json report = {
      {"mechanism", summary.options.mechanism},
      {"visibility", VisibilityName(*summary.options.visibility)},
      {"tokens", summary.received_tokens},
      {"chunks", summary.chunk_count},
      {"wall_seconds", absl::ToDoubleSeconds(result.fastest.time.wall)},
      {"cpu_seconds", absl::ToDoubleSeconds(result.fastest.time.cpu)},
      {"growth_bytes", result.growth_bytes},
      {"state_bytes", summary.state_bytes},
      {"workers", encoder->options().workers}};
  if (!arguments.passages.empty()) {
    LH_RETURN_IF_ERROR(WritePassages(arguments.passages, result.passages));
  }
  if (!arguments.reference.empty()) {
    LH_ASSIGN_OR_RETURN(const Passages reference,
                        ReadPassages(arguments.reference));
    LH_ASSIGN_OR_RETURN(const Agreement agreement,
                        Compare(result.passages, reference));
    report["mean_cosine"] = agreement.mean_cosine;
    report["min_cosine"] = agreement.min_cosine;
  }
  std::cout << report.dump() << std::endl;
  return absl::OkStatus();
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option("--model", arguments->model, "model directory")->required();
  app->add_option("--text", arguments->text, "file of UTF-8 text")->required();
  app->add_option("--tokens", arguments->tokens,
                  "encode the first so many tokens of the text")
      ->required()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32));
  app->add_option("--options", arguments->options,
                  "the fields of EncodeOptions as a JSON object")
      ->capture_default_str();
  app->add_option("--workers", arguments->workers,
                  "threads; 0: all that are allowed")
      ->capture_default_str();
  app->add_option("--rounds", arguments->rounds,
                  "runs, of which the one with the least processor time counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--passages", arguments->passages,
                  "write the vectors of passages here");
  app->add_option("--reference", arguments->reference,
                  "compare with the passages that another run wrote");
}

}  // namespace
}  // namespace longhand::attention

int main(int argc, char** argv) {
  CLI::App app(
      "Time, memory and vectors of one attention mechanism on one document. "
      "Prints a JSON object.");
  longhand::attention::Arguments arguments;
  longhand::attention::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = longhand::attention::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_attention: " << status.message() << '\n';
  return EXIT_FAILURE;
}
