// TextBoundaries: finds where a text may be cut, and how well, while it streams
// by: at headings, paragraphs, lines, sentences and words. The text is looked
// at in blocks of kBlockBytes whose places depend on the text alone, so how it
// arrives has no influence. Holds one block of text. One per document; not
// thread-safe.
#ifndef LONGHAND_CORE_CHUNKING_TEXT_BOUNDARIES_H_
#define LONGHAND_CORE_CHUNKING_TEXT_BOUNDARIES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "core/chunking/break_finder.h"
#include "core/chunking/cut_rank.h"
#include "core/chunking/text_block.h"

namespace longhand {

// A place for a cut is the white space between two texts; a token that begins
// in it, or where it ends, can be the first after the cut.
struct TextBoundary {
  uint64_t begin = 0;  // bytes from the document's first
  uint64_t end = 0;
  CutRank rank = CutRank::kInWord;
};

class TextBoundaries {
 public:
  // Bytes that are looked at together.
  static constexpr size_t kBlockBytes = 1280;
  // Nothing nearer to a block's end is decided by that block.
  static constexpr size_t kMarginBytes = 256;

  // INTERNAL (ICU_DATA), see BreakFinder.
  static absl::StatusOr<std::unique_ptr<TextBoundaries>> Create();

  // Goes on from here on its own.
  std::unique_ptr<TextBoundaries> Clone() const;

  // Takes the next bytes; appends the boundaries that are decided, in order.
  // They don't overlap, but one may begin where the one before ends.
  void Append(std::string_view text, std::deque<TextBoundary>* out);

  // Ends the text.
  void Finish(std::deque<TextBoundary>* out);

  // All boundaries that end here or before have been handed out.
  uint64_t decided() const { return offset_; }

 private:
  explicit TextBoundaries(std::unique_ptr<BreakFinder> breaks)
      : breaks_(std::move(breaks)) {}

  // Decides the beginning of held_, or all of it if it is the last block: hands
  // out its boundaries and lets go of its text.
  void DecideBlock(bool last, std::deque<TextBoundary>* out);
  void HandOut(uint64_t end, CutRank rank, std::deque<TextBoundary>* out) const;

  const std::unique_ptr<BreakFinder> breaks_;
  std::string held_;        // not decided
  uint64_t offset_ = 0;     // of held_[0] in the document
  uint64_t gap_begin_ = 0;  // of the white space before held_[0], or offset_
  TextPosition position_;   // at held_[0]
};

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_TEXT_BOUNDARIES_H_
