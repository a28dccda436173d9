#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/attention/mechanism_options.h"
#include "core/attention/retrieval_options.h"
#include "core/base/strings.h"
#include "server/flag_group.h"

namespace longhand {
namespace {

// Far above any model; the encoder knows the true bounds.
constexpr int kMaxNumber = 1 << 20;

// "0,1,2"; nullopt if it is anything else.
template <typename Int>
std::optional<std::vector<Int>> ParseList(const std::string& text) {
  std::vector<Int> list;
  for (absl::string_view word : absl::StrSplit(text, ',')) {
    Int number = 0;
    if (!absl::SimpleAtoi(word, &number) || number < 0) return std::nullopt;
    list.push_back(number);
  }
  return list;
}

// The names of an enumeration as a transformation of text.
template <typename Value>
CLI::Validator OneOf(const std::vector<std::string_view>& names,
                     std::optional<Value> (*from_name)(std::string_view)) {
  std::map<std::string, Value> values;
  for (std::string_view name : names) {
    values[std::string(name)] = *from_name(name);
  }
  return CLI::CheckedTransformer(values).description("");
}

class DefaultFlags {
 public:
  DefaultFlags(CLI::App* app, EncodeOptions* defaults)
      : group_(app,
               "What a request leaves open (GetModel shows what is in effect)"),
        defaults_(*defaults) {}

  void AddAll() {
    AddRetrieval();
    AddSelection();
    AddStates();
    AddMechanisms();
    AddChunks();
    AddVectors();
  }

 private:
  void AddName(const char* flag, std::string* value, const char* help) {
    group_.Add(flag, value, help)->type_name("NAME");
  }
  void AddNumber(const char* flag, std::optional<int>* value, int min,
                 const char* help) {
    group_.Add(flag, value, help)
        ->check(Between(min, kMaxNumber))
        ->type_name("INT");
  }
  void AddShare(const char* flag, std::optional<float>* value, double max,
                const char* help) {
    AddFloat(flag, value, 0, max, help);
  }
  void AddFloat(const char* flag, std::optional<float>* value, double min,
                double max, const char* help) {
    group_.Add(flag, value, help)->check(Between(min, max))->type_name("FLOAT");
  }

  void AddRetrieval() {
    AddName("--default-mechanism", &defaults_.mechanism,
            "Attention mechanism, such as bsbr");
    static const std::map<std::string, Visibility> kVisibilities = {
        {"causal", Visibility::kCausal},
        {"bidirectional", Visibility::kBidirectional},
        {"two_pass", Visibility::kTwoPass}};
    group_
        .Add("--default-visibility", &defaults_.visibility,
             "Chunks that a chunk retrieves from: causal (earlier ones), "
             "bidirectional (all others) or two_pass (all others, as each was "
             "on its own)")
        ->transform(CLI::CheckedTransformer(kVisibilities).description(""))
        ->type_name("NAME");
    AddShare("--default-gate", &defaults_.gate, 1,
             "Share of the retrieved part in each attention output, 0 to 1");
    AddLayers();
    group_
        .Add("--default-features", &defaults_.features,
             "Feature map of the chunk states: elu or softmax")
        ->transform(OneOf(FeatureMapNames(), FeatureMapFromName))
        ->type_name("NAME");
    group_
        .Add("--default-merge", &defaults_.merge,
             "How the retrieved part joins a chunk's own: gate, lse (by "
             "attention mass) or balanced_lse (the same per token)")
        ->transform(OneOf(MergeNames(), MergeFromName))
        ->type_name("NAME");
  }

  void AddLayers() {
    AddList("--default-retrieval-layers", &defaults_.retrieval_layers,
            "Layers that retrieve, from 0, ascending, separated by commas "
            "[all]");
  }

  template <typename Int>
  void AddList(const char* flag, std::vector<Int>* list, const char* help) {
    group_
        .AddFunction(
            flag,
            [list](const std::string& text) {
              *list = ParseList<Int>(text).value_or(std::vector<Int>());
            },
            help)
        ->check(CLI::Validator(
            [](std::string& text) {
              return ParseList<Int>(text).has_value()
                         ? std::string()
                         : absl::StrCat(text, " is not a list such as 2,3,4");
            },
            ""))
        ->type_name("LIST");
  }

  // One for each number that single mechanisms have.
  void AddMechanisms() {
    for (const MechanismField& field : MechanismFields()) {
      const std::string name =
          absl::StrReplaceAll(ToAbsl(field.name), {{"_", "-"}});
      group_
          .Add(absl::StrCat("--default-", name),
               &(defaults_.mechanism_options.*field.value),
               absl::StrCat(ToAbsl(field.help), " [", field.default_value, "]"))
          ->check(Between(field.min, field.max))
          ->type_name("INT");
    }
    AddList("--default-global-tokens", &defaults_.global_tokens,
            "Tokens that see all tokens and that all tokens see in longformer "
            "and global_local: places in the document, from 0, ascending, "
            "separated by commas [none]");
  }

  void AddSelection() {
    AddNumber("--default-top-k", &defaults_.top_k, 0,
              "Chunks that one chunk retrieves from besides anchors and "
              "neighbours, the best by score; 0: all that it may");
    AddNumber("--default-anchors", &defaults_.anchors, 0,
              "First chunks of the document that top-k never leaves out");
    AddShare("--default-anchor-share", &defaults_.anchor_share, 1,
             "Share of every retrieval that the anchors get beforehand, 0 to "
             "1");
    AddNumber("--default-neighbors", &defaults_.neighbors, 0,
              "Chunks to either side that top-k never leaves out");
  }

  void AddStates() {
    AddName("--default-state-codec", &defaults_.state_codec,
            "How chunk states are kept: f32, bf16, int8 or low_rank");
    AddNumber("--default-state-rank", &defaults_.state_rank, 1,
              "Directions that low_rank keeps of each state matrix");
  }

  void AddChunks() {
    AddName("--default-chunker", &defaults_.chunker, "Chunker, such as fixed");
    AddNumber("--default-chunk-tokens", &defaults_.chunk_tokens, 1,
              "Tokens per chunk, special tokens included");
    AddNumber("--default-min-chunk-tokens", &defaults_.min_chunk_tokens, 0,
              "Tokens per chunk at least, for chunkers that look for "
              "boundaries; 0: the chunker's choice");
    AddNumber("--default-overlap-tokens", &defaults_.overlap_tokens, 0,
              "Tokens that neighbouring chunks share as context, for chunkers "
              "whose windows overlap; 0: the chunker's choice");
  }

  void AddVectors() {
    AddName("--default-pooling", &defaults_.pooling,
            "Pooling: mean, cls or max [the model's own]");
    AddShare("--default-anchor-weight", &defaults_.anchor_weight, 100,
             "How much of the first chunk's vector is added to the vector of "
             "every chunk and span; 0: nothing");
    AddFloat("--default-document-weight", &defaults_.document_weight, -100, 100,
             "The same for the mean of all chunks' vectors; below 0 it is "
             "taken away. Chunks then come when the document has ended; 0: "
             "nothing, chunks come at once");
  }

  FlagGroup group_;
  EncodeOptions& defaults_;
};

}  // namespace

void AddDefaultFlags(CLI::App* app, EncodeOptions* defaults) {
  DefaultFlags(app, defaults).AddAll();
}

}  // namespace longhand
