// Full attention: one softmax over all tokens that are visible, special tokens
// of other chunks excepted. A document of one chunk is exactly the source
// model.

#include "core/attention/pattern_attention.h"

namespace longhand {

absl::StatusOr<std::unique_ptr<const Attention>> MakeFullAttention(
    const AttentionOptions& options) {
  return MakePatternAttention(options, MakeFullPattern(), {});
}

}  // namespace longhand
