#include "core/attention/mechanism_options.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

constexpr int kMaxTokens = 1 << 20;

constexpr MechanismField kFields[] = {
    {"window_tokens", &MechanismOptions::window_tokens, 0, kMaxTokens, 128,
     "Tokens to either side that a token sees in sliding_window and "
     "global_local"},
    {"stride_tokens", &MechanismOptions::stride_tokens, 1, kMaxTokens, 128,
     "Distance of the tokens that strided attention sees; length of the "
     "stretches of fixed attention"},
    {"summary_tokens", &MechanismOptions::summary_tokens, 1, kMaxTokens, 32,
     "Tokens at the end of each stretch that all see in fixed attention"},
    {"block_tokens", &MechanismOptions::block_tokens, 1, kMaxTokens, 64,
     "Tokens of one block of random_blocks"},
    {"random_blocks", &MechanismOptions::random_blocks, 0, 128, 3,
     "Blocks chosen at random that a block of random_blocks sees"},
    {"random_features", &MechanismOptions::random_features, 0, 4096, 0,
     "Random features of the performer; 0: d ln d for heads of size d"},
    {"update_steps", &MechanismOptions::update_steps, 0, 8, 1,
     "Updates of the state pattern of hopfield before it is read out"},
    {"global_special", &MechanismOptions::global_special, 0, 1, 0,
     "1: the special tokens before a chunk's text are global in longformer"},
    {"seed", &MechanismOptions::seed, 0, (1 << 30), 0,
     "What the random choices of random_blocks, big_bird_random and performer "
     "depend on"},
};

}  // namespace

absl::Span<const MechanismField> MechanismFields() { return kFields; }

void FillMechanismOptions(const MechanismOptions& defaults,
                          MechanismOptions* options) {
  for (const MechanismField& field : kFields) {
    std::optional<int>& value = options->*field.value;
    if (!value) value = defaults.*field.value;
  }
}

MechanismOptions DefaultMechanismOptions() {
  MechanismOptions options;
  for (const MechanismField& field : kFields) {
    options.*field.value = field.default_value;
  }
  return options;
}

absl::Status CheckMechanismOptions(const MechanismOptions& options) {
  for (const MechanismField& field : kFields) {
    const std::optional<int>& value = options.*field.value;
    if (!value || (*value >= field.min && *value <= field.max)) continue;
    return MakeError(
        absl::StatusCode::kInvalidArgument, "MECHANISM_OPTION_OUT_OF_RANGE",
        absl::StrCat(ToAbsl(field.name), " is ", *value,
                     "; give a number from ", field.min, " to ", field.max),
        {{"field", std::string(field.name)},
         {"min", absl::StrCat(field.min)},
         {"max", absl::StrCat(field.max)}});
  }
  return absl::OkStatus();
}

}  // namespace longhand
