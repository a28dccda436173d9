// longhand_quality_queries: makes the queries of the retrieval experiment.
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "bench/quality/corpus.h"
#include "bench/quality/queries.h"
#include "bench/quality/query_file.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

struct Arguments {
  std::string corpus, tokenizer, output;
};

absl::Status Run(const Arguments& arguments) {
  LH_ASSIGN_OR_RETURN(const Corpus corpus, ReadCorpus(arguments.corpus));
  LH_ASSIGN_OR_RETURN(const auto tokenizer,
                      Tokenizer::Load(arguments.tokenizer));
  LH_ASSIGN_OR_RETURN(const std::vector<Query> queries,
                      MakeQueries(corpus, *tokenizer));
  LH_RETURN_IF_ERROR(WriteQueries(arguments.output, queries));
  std::map<std::string, int> counts;
  for (const Query& query : queries) {
    ++counts[query.task + " " + std::string(HalfName(query.half))];
  }
  for (const auto& [name, count] : counts) {
    std::cerr << name << ": " << count << " queries\n";
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace longhand::quality

int main(int argc, char** argv) {
  CLI::App app("Makes the queries of the retrieval experiment.");
  longhand::quality::Arguments arguments;
  app.add_option("--corpus", arguments.corpus, "corpus.jsonl")->required();
  app.add_option("--tokenizer", arguments.tokenizer, "tokenizer.json")
      ->required();
  app.add_option("--output", arguments.output, "queries.jsonl")->required();
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = longhand::quality::Run(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "longhand_quality_queries: " << status.message() << '\n';
  return EXIT_FAILURE;
}
