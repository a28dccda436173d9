// Texts that find tokenizer and stream bugs, and streams over them. Test-only.
#ifndef LONGHAND_TESTS_CORE_TEXT_RANDOM_TEXT_H_
#define LONGHAND_TESTS_CORE_TEXT_RANDOM_TEXT_H_

#include <cstddef>
#include <random>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/text/token_sequence.h"
#include "core/text/tokenizer.h"

namespace longhand {

// `parts` parts, each a word, white space of any kind, a control character,
// combining marks, ideographs, emoji sequences, a special token's literal or
// any code point.
std::string RandomText(size_t parts, std::mt19937_64* random);

struct StreamResult {
  TokenSequence tokens;
  size_t tokens_before_finish = 0;
  size_t max_held_bytes = 0;
};

// Sends `text` through a TextStream in pieces of 1 to `max_piece` bytes.
absl::StatusOr<StreamResult> StreamText(const Tokenizer& tokenizer,
                                        std::string_view text,
                                        size_t segment_bytes, size_t max_piece,
                                        std::mt19937_64* random);

}  // namespace longhand

#endif  // LONGHAND_TESTS_CORE_TEXT_RANDOM_TEXT_H_
