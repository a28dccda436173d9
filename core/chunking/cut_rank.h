// CutRank: how good a place in a text is for a cut. A value.
#ifndef LONGHAND_CORE_CHUNKING_CUT_RANK_H_
#define LONGHAND_CORE_CHUNKING_CUT_RANK_H_

#include <cstdint>

namespace longhand {

// The larger the better.
enum class CutRank : uint8_t {
  kInCharacter,  // the tokens on both sides share a character
  kInWord,
  kWord,
  kLine,      // the line goes on in the next one, or a heading before its text
  kSentence,  // inside a line
  kLineEnd,   // a line that doesn't go on; also a sentence's and a line's end
  kParagraph,
  kHeading,  // before a heading
};

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_CUT_RANK_H_
