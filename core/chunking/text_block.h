// TextBlock: the ranks of all places for a cut in one block of a text, from the
// form of its lines and from Unicode's rules for sentences and words. A value
// made in one go; borrows its text. Not thread-safe.
#ifndef LONGHAND_CORE_CHUNKING_TEXT_BLOCK_H_
#define LONGHAND_CORE_CHUNKING_TEXT_BLOCK_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "core/chunking/break_finder.h"
#include "core/chunking/cut_rank.h"
#include "core/chunking/lines.h"

namespace longhand {

// What is known about a text at the place where a block begins.
struct TextPosition {
  bool in_line = false;        // past the first text of its line
  int line_ends = 2;           // since the last text; the start counts as 2
  bool after_heading = false;  // the line here, or the last text, is a heading
  char fence = 0;              // the mark of the code block, 0 outside
  size_t column = 0;           // characters since the line's begin
};

class TextBlock {
 public:
  // `position` is that of text[0].
  TextBlock(std::string_view text, const TextPosition& position,
            BreakFinder* breaks);

  // For each byte that isn't white space: the rank of a cut before it. kInWord
  // for all others, and where there is no boundary.
  const std::vector<CutRank>& ranks() const { return ranks_; }

  // The position of text[at], 0 < at < text.size().
  TextPosition PositionAt(size_t at) const;

 private:
  enum class LineKind {
    kBlank,
    kRest,  // of a line that began before the block
    kText,
    kHeading,
    kUnderline,  // of the heading in the line before
    kListItem,
    kCode,  // in a fenced block
    kFenceBegin,
    kFenceEnd,
  };

  std::string_view TextOf(const Line& line) const;
  LineKind KindOf(size_t index, const TextPosition& position) const;
  static bool CanGoOn(LineKind kind);
  // Fills kinds_ and positions_.
  void ClassifyLines();
  // Fills goes_on_.
  void FindWrappedLines();
  // The same for one paragraph, lines [begin, end).
  void FindWrappedLines(size_t begin, size_t end);
  // In characters, from the line's begin, which may lie before the block.
  size_t LengthOf(size_t index) const;
  void RankBreaks(BreakFinder* breaks);
  void RankLineBegin(size_t index);
  // Takes away what ICU found in [begin, end), words left.
  void KeepOnlyWords(size_t begin, size_t end);

  const std::string_view text_;
  const std::vector<Line> lines_;
  std::vector<LineKind> kinds_;          // [lines]
  std::vector<TextPosition> positions_;  // [lines + 1], at their begins
  std::vector<bool> goes_on_;            // [lines], in the line after it
  std::vector<CutRank> ranks_;           // [bytes]
};

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_TEXT_BLOCK_H_
