// longhand_state_codecs: bytes, error and time of the codecs of chunk states.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
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
#include "bench/documents/state_codecs.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace longhand::documents {
namespace {

struct Arguments {
  std::string model, text, output;
  std::string precision = "fp32";
  CodecOptions codecs = {.mechanisms = {"bsbr", "bsbr_cumulant", "bsbr_exact"},
                         .ranks = {2, 4, 8},
                         .tokens = 30'000,
                         .rounds = 3};
  int workers = 0;
  uint64_t max_working_bytes = 0;
};

absl::Status WriteReport(const std::string& path,
                         const nlohmann::json& report) {
  std::ofstream out(path, std::ios::binary);
  out << report.dump(1) << '\n';
  out.close();
  if (out) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInternal, "FILE_UNWRITABLE",
      absl::StrCat(path, " could not be written; check folder and space"));
}

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                      Model::Load({.directory = arguments.model,
                                   .precision = arguments.precision}));
  LH_ASSIGN_OR_RETURN(const SourceText source,
                      ReadSourceText(arguments.text, *model->tokenizer()));
  CodecOptions codecs = arguments.codecs;
  EncoderOptions options;
  options.workers = arguments.workers;
  options.max_working_bytes = arguments.max_working_bytes;
  options.max_document_bytes =
      std::max(options.max_document_bytes,
               DocumentBytes(source, ContentKind::kText, codecs.tokens));
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<Encoder> encoder,
                      Encoder::Create(model, options));
  LH_ASSIGN_OR_RETURN(const CodecReport report,
                      MeasureStateCodecs(*encoder, source, codecs));
  const EncodeOptions& defaults = encoder->options().defaults;
  const EncodeOptions& chosen = codecs.encode;
  const float anchor_weight =
      chosen.anchor_weight.value_or(*defaults.anchor_weight);
  const float document_weight =
      chosen.document_weight.value_or(*defaults.document_weight);
  std::cout << absl::StreamFormat(
      "%s, %s, %d tokens of %s, %d chunks; anchor weight %g, document weight "
      "%g\n",
      model->info().name, model->info().effective_precision, report.tokens,
      arguments.text, report.chunks, anchor_weight, document_weight);
  std::cout << FormatTable(report) << std::flush;
  if (arguments.output.empty()) return absl::OkStatus();
  nlohmann::json json = ToJson(report);
  json["model"] = model->info().name;
  json["model_fingerprint"] = model->info().fingerprint;
  json["precision"] = model->info().effective_precision;
  json["text"] = arguments.text;
  json["anchor_weight"] = anchor_weight;
  json["document_weight"] = document_weight;
  return WriteReport(arguments.output, json);
}

void AddEncodeOptions(CLI::App* app, CodecOptions* codecs) {
  static const std::map<std::string, Visibility> kVisibilities = {
      {"causal", Visibility::kCausal},
      {"bidirectional", Visibility::kBidirectional},
      {"two_pass", Visibility::kTwoPass}};
  EncodeOptions* const encode = &codecs->encode;
  app->add_option("--mechanisms", codecs->mechanisms,
                  "names, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--ranks", codecs->ranks,
                  "of the codec low_rank, separated by commas")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app->add_option("--visibility", encode->visibility,
                  "causal, bidirectional or two_pass (default: the encoder's)")
      ->transform(CLI::CheckedTransformer(kVisibilities));
  app->add_option("--top-k", encode->top_k,
                  "chunks that a chunk retrieves from; 0: all (default: the "
                  "encoder's, and --exact-top-k)");
  app->add_option("--exact-top-k", codecs->exact_top_k,
                  "the same for bsbr_exact, whose time over all chunks grows "
                  "with the square of the length")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app->add_option("--anchor-weight", encode->anchor_weight,
                  "of the first chunk in every vector (default: the encoder's; "
                  "0: chunk vectors as pooled)");
  app->add_option("--document-weight", encode->document_weight,
                  "of the document's mean in every vector (default: the "
                  "encoder's)");
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option("--model", arguments->model, "model directory")->required();
  app->add_option("--text", arguments->text, "file of UTF-8 text")->required();
  app->add_option("--tokens", arguments->codecs.tokens,
                  "tokens of the document; a shorter text is repeated")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  AddEncodeOptions(app, &arguments->codecs);
  app->add_option("--rounds", arguments->codecs.rounds,
                  "alternate runs, of which times are medians")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--precision", arguments->precision,
                  "of the linear layers: fp32, bf16 or int8")
      ->capture_default_str();
  app->add_option("--output", arguments->output, "write a JSON report here");
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
  CLI::App app("Bytes, error and time of the codecs of chunk states.");
  longhand::documents::Arguments arguments;
  longhand::documents::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = longhand::documents::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_state_codecs: " << status.message() << '\n';
  return EXIT_FAILURE;
}
