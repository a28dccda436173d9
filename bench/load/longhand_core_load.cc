// longhand_core_load: the documents of `longhand load`, encoded by the core
// alone. Measures once for each line that it reads, which says in how many
// seconds the clients begin; so a driver can let it and a server take turns
// while both are warm.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bench/documents/document_feed.h"
#include "bench/load/core_load.h"
#include "client/load_corpus.h"
#include "client/load_plan.h"
#include "core/base/error.h"
#include "core/base/heap.h"
#include "core/base/status_macros.h"
#include "core/engine/encoder.h"
#include "core/model/model.h"
#include "nlohmann/json.hpp"

namespace longhand::load {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string model, text, precision = "fp32";
  std::string mix = "short:0.8:128,long:0.2:20000";
  uint64_t seed = 1;
  int workers = 0;
  CoreLoadOptions load;
};

absl::StatusOr<client::LoadCorpus> ReadCorpus(const std::string& path,
                                              const Tokenizer& tokenizer) {
  LH_ASSIGN_OR_RETURN(documents::SourceText source,
                      documents::ReadSourceText(path, tokenizer));
  client::TokenizedText text;
  text.text = std::move(source.text);
  text.ids.assign(source.tokens.ids.begin(), source.tokens.ids.end());
  text.begin = std::move(source.tokens.begin);
  text.end = std::move(source.tokens.end);
  return client::LoadCorpus::OfText(std::move(text));
}

Json ToJson(const CoreLoadResult& result, const client::LoadPlan& plan) {
  uint64_t documents = 0;
  uint64_t tokens = 0;
  Json classes = Json::array();
  for (size_t i = 0; i < result.classes.size(); ++i) {
    const ClassResult& own = result.classes[i];
    documents += own.documents;
    tokens += own.tokens;
    const auto seconds = [&own](double percent) {
      return absl::ToDoubleSeconds(own.latency.Percentile(percent));
    };
    classes.push_back({{"name", plan.mix()[i].name},
                       {"documents", own.documents},
                       {"tokens", own.tokens},
                       {"p50", seconds(50)},
                       {"p99", seconds(99)},
                       {"max", seconds(100)}});
  }
  const double wall = absl::ToDoubleSeconds(result.time.wall);
  return {{"documents", documents},
          {"tokens", tokens},
          {"seconds", wall},
          {"cpu_seconds", absl::ToDoubleSeconds(result.time.cpu)},
          {"tokens_per_second", double(tokens) / wall},
          {"classes", std::move(classes)}};
}

// A line of standard input: seconds.
absl::StatusOr<absl::Duration> ParseRampUp(const std::string& line) {
  double seconds = 0;
  if (absl::SimpleAtod(line, &seconds) && seconds >= 0 && seconds < 1e6) {
    return absl::Seconds(seconds);
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "RAMP_UP_INVALID",
                   absl::StrCat("'", line,
                                "' is no time; give the seconds in which the "
                                "clients begin"));
}

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                      Model::Load({.directory = arguments.model,
                                   .precision = arguments.precision}));
  LH_ASSIGN_OR_RETURN(const client::LoadCorpus corpus,
                      ReadCorpus(arguments.text, *model->tokenizer()));
  LH_ASSIGN_OR_RETURN(auto mix, client::ParseMix(arguments.mix));
  const client::LoadPlan plan(std::move(mix), arguments.seed);
  EncoderOptions options;
  options.workers = arguments.workers;
  options.max_concurrent_documents =
      std::max(options.max_concurrent_documents, arguments.load.clients);
  LH_ASSIGN_OR_RETURN(const std::unique_ptr<Encoder> encoder,
                      Encoder::Create(model, options));
  // As warm as a server that has answered before.
  const CoreLoadOptions warm_up = {.clients = 1, .requests = 4};
  LH_RETURN_IF_ERROR(RunCoreLoad(*encoder, plan, corpus, warm_up).status());
  std::cout << Json{{"ready", true}}.dump() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    CoreLoadOptions load = arguments.load;
    LH_ASSIGN_OR_RETURN(load.ramp_up, ParseRampUp(line));
    LH_ASSIGN_OR_RETURN(const CoreLoadResult result,
                        RunCoreLoad(*encoder, plan, corpus, load));
    std::cout << ToJson(result, plan).dump() << std::endl;
  }
  return absl::OkStatus();
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option("--model", arguments->model, "model directory")->required();
  app->add_option("--text", arguments->text,
                  "file of UTF-8 text that documents are cut from")
      ->required();
  app->add_option("--mix", arguments->mix, "as for longhand load")
      ->capture_default_str();
  app->add_option("--load-seed", arguments->seed, "as for longhand load")
      ->capture_default_str();
  app->add_option("--clients", arguments->load.clients,
                  "documents that are open at one time")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app->add_option("--requests", arguments->load.requests,
                  "documents of one measurement")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app->add_option("--precision", arguments->precision,
                  "of the linear layers: fp32, bf16 or int8")
      ->capture_default_str();
  app->add_option("--workers", arguments->workers,
                  "threads; 0: all that are allowed")
      ->capture_default_str();
}

}  // namespace
}  // namespace longhand::load

int main(int argc, char** argv) {
  CLI::App app(
      "Encodes the documents that longhand load sends, without server and "
      "gRPC. Prints {\"ready\": true} when warm, then for each line of "
      "standard input, the seconds in which the clients begin, measures once "
      "and prints the result as a line of JSON.");
  longhand::load::Arguments arguments;
  longhand::load::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  // As the server does.
  longhand::GiveLargeBlocksTheirOwnPages();
  const absl::Status status = longhand::load::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_core_load: " << status.message() << '\n';
  return EXIT_FAILURE;
}
