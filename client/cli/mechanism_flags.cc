#include "client/cli/mechanism_flags.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace longhand::client {
namespace {

constexpr std::pair<const char*, const char*> kHelp[] = {
    {"window_tokens",
     "sliding_window, global_local: tokens to either side that\n"
     "a token sees"},
    {"stride_tokens",
     "strided: distance of the tokens that a token sees; fixed:\n"
     "length of the stretches"},
    {"summary_tokens", "fixed: tokens at the end of each stretch that all see"},
    {"block_tokens", "random_blocks: tokens of one block"},
    {"random_blocks",
     "random_blocks: blocks chosen at random that a block sees"},
    {"random_features",
     "performer: random features; 0: d ln d of them for heads\n"
     "of size d"},
    {"update_steps",
     "hopfield: updates of the state pattern before it is read\n"
     "out"},
    {"global_special",
     "longformer: 1: the special tokens before a chunk's text\n"
     "are global; 0: they are not"},
    {"seed",
     "random_blocks, big_bird_random, performer: what random\n"
     "choices depend on"}};

}  // namespace

absl::string_view MechanismOptionHelp(absl::string_view field) {
  for (const auto& [name, help] : kHelp) {
    if (field == name) return help;
  }
  return "";
}

std::string MechanismOptionFlag(absl::string_view field) {
  return absl::StrCat("--", absl::StrReplaceAll(field, {{"_", "-"}}));
}

void AddMechanismOptions(CLI::App* command, OptionFlags* flags) {
  constexpr char kGroup[] = "Numbers that single mechanisms look at";
  const auto* message = v1::MechanismOptions::descriptor();
  for (int i = 0; i < message->field_count(); ++i) {
    const std::string& name = message->field(i)->name();
    command
        ->add_option(MechanismOptionFlag(name), flags->mechanism_options[name],
                     std::string(MechanismOptionHelp(name)))
        ->type_name("N")
        ->group(kGroup);
  }
  command
      ->add_option("--global-tokens", flags->global_tokens,
                   "longformer, global_local: tokens that see all tokens and\n"
                   "that all tokens see, by their places in the document\n"
                   "(longhand tokenize shows them), from 0, ascending,\n"
                   "separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST")
      ->group(kGroup);
}

void SetMechanismOptions(const OptionFlags& flags, v1::EncodeOptions* options) {
  const auto* message = v1::MechanismOptions::descriptor();
  for (const auto& [name, value] : flags.mechanism_options) {
    if (!value) continue;
    v1::MechanismOptions* numbers = options->mutable_mechanism_options();
    numbers->GetReflection()->SetUInt32(numbers, message->FindFieldByName(name),
                                        *value);
  }
  options->mutable_global_tokens()->Add(flags.global_tokens.begin(),
                                        flags.global_tokens.end());
}

}  // namespace longhand::client
