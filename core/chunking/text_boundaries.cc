#include "core/chunking/text_boundaries.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/chunking/lines.h"

namespace longhand {
namespace {

constexpr size_t kLastCut =
    TextBoundaries::kBlockBytes - TextBoundaries::kMarginBytes;
// Each block decides at least so much, so the work is linear in the length.
constexpr size_t kFirstCut = TextBoundaries::kBlockBytes / 2;

// The last place between kFirstCut and kLastCut with `rank` or better, or 0.
size_t FindLast(const std::vector<CutRank>& ranks, CutRank rank) {
  for (size_t at = kLastCut; at > kFirstCut; --at) {
    if (ranks[at] >= rank) return at;
  }
  return 0;
}

// Where a block without any boundary ends: not inside a character, nor between
// CR and LF.
size_t ForcedCut(std::string_view text) {
  size_t at = kLastCut;
  for (int i = 0; i < 3; ++i) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) break;
    --at;
  }
  if (text[at - 1] == '\r' && text[at] == '\n') ++at;
  return at;
}

// Where the block that begins with `text` ends.
size_t ChooseCut(std::string_view text, const std::vector<CutRank>& ranks) {
  for (const CutRank rank : {CutRank::kSentence, CutRank::kWord}) {
    if (const size_t at = FindLast(ranks, rank)) return at;
  }
  return ForcedCut(text);
}

// The rank of white space that is longer than a block shows.
CutRank RankOfGap(const TextPosition& position) {
  if (position.line_ends >= 2) return CutRank::kParagraph;
  return position.line_ends == 1 ? CutRank::kLine : CutRank::kWord;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TextBoundaries>> TextBoundaries::Create() {
  LH_ASSIGN_OR_RETURN(std::unique_ptr<BreakFinder> breaks,
                      BreakFinder::Create());
  return std::unique_ptr<TextBoundaries>(new TextBoundaries(std::move(breaks)));
}

std::unique_ptr<TextBoundaries> TextBoundaries::Clone() const {
  auto clone =
      std::unique_ptr<TextBoundaries>(new TextBoundaries(breaks_->Clone()));
  clone->held_ = held_;
  clone->offset_ = offset_;
  clone->gap_begin_ = gap_begin_;
  clone->position_ = position_;
  return clone;
}

void TextBoundaries::Append(std::string_view text,
                            std::deque<TextBoundary>* out) {
  while (!text.empty()) {
    const size_t taken = std::min(text.size(), kBlockBytes - held_.size());
    held_.append(text.substr(0, taken));
    text.remove_prefix(taken);
    if (held_.size() == kBlockBytes) DecideBlock(/*last=*/false, out);
  }
}

void TextBoundaries::Finish(std::deque<TextBoundary>* out) {
  if (!held_.empty()) DecideBlock(/*last=*/true, out);
}

void TextBoundaries::DecideBlock(bool last, std::deque<TextBoundary>* out) {
  const TextBlock block(held_, position_, breaks_.get());
  const std::vector<CutRank>& ranks = block.ranks();
  const size_t cut = last ? held_.size() : ChooseCut(held_, ranks);
  for (size_t at = 0; at < cut; ++at) {
    if (IsAsciiSpace(held_[at])) continue;
    if (at > 0) HandOut(offset_ + at, ranks[at], out);
    gap_begin_ = offset_ + at + 1;
  }
  if (!last) {
    position_ = block.PositionAt(cut);
    const bool in_gap = IsAsciiSpace(held_[cut]);
    HandOut(offset_ + cut, in_gap ? RankOfGap(position_) : ranks[cut], out);
    gap_begin_ = offset_ + cut;
  }
  offset_ += cut;
  held_.erase(0, cut);
}

void TextBoundaries::HandOut(uint64_t end, CutRank rank,
                             std::deque<TextBoundary>* out) const {
  if (rank > CutRank::kInWord) out->push_back({gap_begin_, end, rank});
}

}  // namespace longhand
