// MechanismOptions: the numbers that single mechanisms have, such as the width
// of a window. Plain values; which of them a mechanism looks at is its own to
// say (Attention::mechanism_options). The fields below, the message
// MechanismOptions of the proto and the flags of the programs have the same
// names and are tied together by MechanismFields() alone.
#ifndef LONGHAND_CORE_ATTENTION_MECHANISM_OPTIONS_H_
#define LONGHAND_CORE_ATTENTION_MECHANISM_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace longhand {

struct MechanismOptions {
  std::optional<int> window_tokens;
  std::optional<int> stride_tokens;
  std::optional<int> summary_tokens;
  std::optional<int> block_tokens;
  std::optional<int> random_blocks;
  std::optional<int> random_features;
  std::optional<int> update_steps;
  std::optional<int> global_special;
  std::optional<int> seed;

  bool operator==(const MechanismOptions&) const = default;
};

// One of them: what it is for everything that has it by name.
struct MechanismField {
  std::string_view name;
  std::optional<int> MechanismOptions::*value;
  int min;
  int max;
  int default_value;
  std::string_view help;  // one line, without a full stop
};

// All of them, in the order of the struct.
absl::Span<const MechanismField> MechanismFields();

// Takes what `options` leave open from `defaults`.
void FillMechanismOptions(const MechanismOptions& defaults,
                          MechanismOptions* options);
// Those that nothing else gives.
MechanismOptions DefaultMechanismOptions();
// INVALID_ARGUMENT (MECHANISM_OPTION_OUT_OF_RANGE) for a number outside its
// bounds.
absl::Status CheckMechanismOptions(const MechanismOptions& options);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_MECHANISM_OPTIONS_H_
