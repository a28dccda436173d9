// PatternAttention: softmax attention over what a TokenPattern says that each
// token sees, through all chunks that its chunk sees, as one softmax.
// Immutable; safe from many threads with distinct ComputeContexts.
//
// Special tokens, and tokens that only give a chunk context, have no place in
// the document: they see all rows of their chunk and are seen by them, and see
// nothing else unless everything sees everything.
#ifndef LONGHAND_CORE_ATTENTION_PATTERN_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_PATTERN_ATTENTION_H_

#include <memory>
#include <string_view>
#include <vector>

#include "core/attention/attention.h"
#include "core/attention/token_pattern.h"

namespace longhand {

// mechanism_options: as Attention::mechanism_options().
std::unique_ptr<const Attention> MakePatternAttention(
    const AttentionOptions& options,
    std::unique_ptr<const TokenPattern> pattern,
    std::vector<std::string_view> mechanism_options);

// Everything sees everything.
std::unique_ptr<const TokenPattern> MakeFullPattern();

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_PATTERN_ATTENTION_H_
