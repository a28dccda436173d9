// longhand_peer: this encoder as one of the processes that compare.py compares.
// Loads a model once, then reads a JSON command per line from standard input
// and answers each with a line of JSON on standard output.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/peers/commands.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/engine/encoder.h"
#include "core/model/model.h"
#include "nlohmann/json.hpp"

namespace longhand::peers {
namespace {

// Documents that a command may encode at once.
constexpr int kMaxDocuments = 4096;

struct Arguments {
  ModelOptions model;
  int workers = 0;
};

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model,
                      Model::Load(arguments.model));
  LH_ASSIGN_OR_RETURN(
      std::unique_ptr<Encoder> encoder,
      Encoder::Create(std::move(model),
                      {.workers = arguments.workers,
                       .max_concurrent_documents = kMaxDocuments}));
  CommandHandler handler(std::move(encoder));
  std::string line;
  while (std::getline(std::cin, line)) {
    absl::StatusOr<nlohmann::json> answer = handler.Handle(line);
    if (!answer.ok()) {
      answer = nlohmann::json{{"error", ToStd(answer.status().message())}};
    }
    std::cout << answer->dump() << std::endl;
  }
  return absl::OkStatus();
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option("--model", arguments->model.directory, "model directory")
      ->required();
  app->add_option("--precision", arguments->model.precision,
                  "of the linear layers: fp32, bf16 or int8")
      ->capture_default_str();
  app->add_option("--workers", arguments->workers,
                  "threads; 0: all that are allowed")
      ->capture_default_str();
  app->add_flag("--without-tokenizer", arguments->model.without_tokenizer,
                "the model directory has no tokenizer.json");
}

}  // namespace
}  // namespace longhand::peers

int main(int argc, char** argv) {
  CLI::App app(
      "Encodes on request, to be compared: reads a JSON command per line, see "
      "bench/peers/commands.h, and ends with its input.");
  longhand::peers::Arguments arguments;
  longhand::peers::AddOptions(&app, &arguments);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = longhand::peers::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_peer: " << status.message() << '\n';
  return EXIT_FAILURE;
}
