// longhand_quality: retrieval quality and speed of variants of the encoder.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "bench/quality/experiment.h"
#include "bench/quality/report.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

constexpr uint64_t kMaxVariantsBytes = uint64_t{1} << 20;

struct Arguments {
  std::string model, corpus, queries, variants_file, cache, output;
  std::vector<std::string> variants;
  std::string half = "both";
  std::string baseline = "independent";
  int workers = 0;
  ExperimentOptions experiment;
};

absl::StatusOr<std::vector<Variant>> ReadVariants(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const std::string text,
                      ReadFile(arguments.variants_file, kMaxVariantsBytes));
  LH_ASSIGN_OR_RETURN(const std::vector<Variant> all, ParseVariants(text));
  return SelectVariants(all, arguments.variants);
}

ReportOptions MakeReportOptions(const Arguments& arguments) {
  ReportOptions options;
  options.baseline = arguments.baseline;
  if (arguments.half != "test") options.halves.push_back(Half::kDev);
  if (arguments.half != "dev") options.halves.push_back(Half::kTest);
  return options;
}

absl::Status WriteReport(const std::string& path,
                         const nlohmann::json& report) {
  std::ofstream out(path, std::ios::binary);
  out << report.dump(1) << '\n';
  out.close();
  if (out) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInternal, "FILE_UNWRITABLE",
                   absl::StrCat(path, " could not be written"));
}

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const std::vector<Variant> variants,
                      ReadVariants(arguments));
  LH_ASSIGN_OR_RETURN(const Corpus corpus, ReadCorpus(arguments.corpus));
  LH_ASSIGN_OR_RETURN(const QueryFile queries, ReadQueries(arguments.queries));
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                      Model::Load({.directory = arguments.model}));
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<DocumentEncoder> encoder,
                      DocumentEncoder::Create(model, arguments.workers));
  const VectorCache cache(arguments.cache);
  Experiment experiment(&corpus, &queries, encoder.get(),
                        arguments.cache.empty() ? nullptr : &cache,
                        arguments.experiment);
  LH_RETURN_IF_ERROR(experiment.Prepare());
  std::vector<VariantResult> results;
  for (const Variant& variant : variants) {
    std::cerr << "variant " << variant.name << '\n';
    LH_ASSIGN_OR_RETURN(VariantResult result, experiment.Run(variant));
    results.push_back(std::move(result));
  }
  const ReportOptions options = MakeReportOptions(arguments);
  std::cout << FormatTables(results, options) << std::flush;
  if (arguments.output.empty()) return absl::OkStatus();
  return WriteReport(
      arguments.output,
      MakeReport(results, options, model->info(), corpus, queries));
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option("--model", arguments->model, "model directory")->required();
  app->add_option("--corpus", arguments->corpus, "corpus.jsonl")->required();
  app->add_option("--queries", arguments->queries, "queries.jsonl")->required();
  app->add_option("--variants-file", arguments->variants_file, "variants.json")
      ->required();
  app->add_option("--variants", arguments->variants,
                  "names of variants, separated by commas (default: all)")
      ->delimiter(',');
  app->add_option("--half", arguments->half, "dev, test or both")
      ->check(CLI::IsMember({"dev", "test", "both"}))
      ->capture_default_str();
  app->add_option("--baseline", arguments->baseline,
                  "variant that differences are taken to")
      ->capture_default_str();
  app->add_option("--cache", arguments->cache,
                  "existing directory for vectors (default: none kept)");
  app->add_option("--output", arguments->output, "write a JSON report here");
  app->add_option("--workers", arguments->workers,
                  "threads; 0: all that are allowed")
      ->capture_default_str();
  const std::map<std::string, SpeedPolicy> policies = {
      {"never", SpeedPolicy::kNever},
      {"new", SpeedPolicy::kNewVectors},
      {"always", SpeedPolicy::kAlways}};
  app->add_option("--speed", arguments->experiment.speed,
                  "measure speed: never, of new vectors (new), always")
      ->transform(CLI::CheckedTransformer(policies));
  app->add_option("--speed-rounds", arguments->experiment.speed_rounds,
                  "turns of four documents per variant")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_flag("--refresh", arguments->experiment.refresh,
                "encode anew what the cache holds");
}

}  // namespace
}  // namespace longhand::quality

int main(int argc, char** argv) {
  CLI::App app("Retrieval quality and speed of variants of the encoder.");
  longhand::quality::Arguments arguments;
  longhand::quality::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = longhand::quality::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_quality: " << status.message() << '\n';
  return EXIT_FAILURE;
}
