#include "core/chunking/text_block.h"

#include <algorithm>
#include <string>

namespace longhand {

TextBlock::TextBlock(std::string_view text, const TextPosition& position,
                     BreakFinder* breaks)
    : text_(text),
      lines_(SplitLines(text)),
      positions_{position},
      ranks_(text.size(), CutRank::kInWord) {
  ClassifyLines();
  FindWrappedLines();
  RankBreaks(breaks);
  for (size_t i = 0; i < lines_.size(); ++i) RankLineBegin(i);
}

std::string_view TextBlock::TextOf(const Line& line) const {
  return text_.substr(line.text, line.text_end - line.text);
}

TextBlock::LineKind TextBlock::KindOf(size_t index,
                                      const TextPosition& position) const {
  const Line& line = lines_[index];
  if (line.blank()) return LineKind::kBlank;
  if (position.in_line) return LineKind::kRest;
  const std::string_view text = TextOf(line);
  const char fence = FenceMark(text);
  if (position.fence != 0) {
    const bool ends = fence == position.fence &&
                      text.find_first_not_of(fence) == std::string_view::npos;
    return ends ? LineKind::kFenceEnd : LineKind::kCode;
  }
  if (fence != 0) return LineKind::kFenceBegin;
  if (position.after_heading && position.line_ends == 1 && IsUnderline(text)) {
    return LineKind::kUnderline;
  }
  LineInContext context;
  // From the line's begin: the indentation counts.
  context.line = text_.substr(line.begin, line.text_end - line.begin);
  if (index + 1 < lines_.size()) context.next = TextOf(lines_[index + 1]);
  context.after_blank = position.line_ends >= 2;
  if (position.column == 0 && IsHeading(context)) return LineKind::kHeading;
  return ListMarkSize(text) > 0 ? LineKind::kListItem : LineKind::kText;
}

void TextBlock::ClassifyLines() {
  for (size_t i = 0; i < lines_.size(); ++i) {
    TextPosition position = positions_.back();
    const Line& line = lines_[i];
    const LineKind kind = KindOf(i, position);
    kinds_.push_back(kind);
    if (kind != LineKind::kBlank) {
      position.line_ends = 0;
      if (kind != LineKind::kRest) {
        position.after_heading =
            kind == LineKind::kHeading || kind == LineKind::kUnderline;
      }
    }
    if (kind == LineKind::kFenceBegin) position.fence = TextOf(line)[0];
    if (kind == LineKind::kFenceEnd) position.fence = 0;
    if (line.ended) {
      position.line_ends = std::min(2, position.line_ends + 1);
      position.in_line = false;
      position.column = 0;
    }
    positions_.push_back(position);
  }
}

bool TextBlock::CanGoOn(LineKind kind) {
  return kind == LineKind::kText || kind == LineKind::kListItem ||
         kind == LineKind::kRest;
}

// A line is full if the next one's first word would not have found room in it.
// What there is room for is taken from the longest line of the paragraph: the
// lines between two blank ones, as far as the block shows them. A program that
// fills lines leaves all of them full but the last, and most of the next ones
// begin inside a sentence. So the full lines of a paragraph go on in the next
// one if more of its lines speak for this than against it. For: a full line
// before a small letter (or one of a script without capitals). Against: a line
// that isn't full, and a full line before a capital or a digit, unless it ends
// as sentences do.
void TextBlock::FindWrappedLines() {
  goes_on_.assign(lines_.size(), false);
  for (size_t begin = 0, end; begin < lines_.size(); begin = end + 1) {
    end = begin;
    while (end < lines_.size() && !lines_[end].blank()) ++end;
    FindWrappedLines(begin, end);
  }
}

void TextBlock::FindWrappedLines(size_t begin, size_t end) {
  size_t room = 0;
  for (size_t i = begin; i < end; ++i) room = std::max(room, LengthOf(i));
  int votes = 0;
  for (size_t i = begin; i + 1 < end; ++i) {
    if (!CanGoOn(kinds_[i]) || kinds_[i + 1] != LineKind::kText) continue;
    const std::string_view next = TextOf(lines_[i + 1]);
    const std::string_view word = next.substr(0, next.find_first_of(" \t"));
    goes_on_[i] = LengthOf(i) + 1 + CountCharacters(word) > room;
    if (goes_on_[i] && BeginsWithSmallLetter(next)) ++votes;
    const bool capital =
        BeginsWithCapitalOrDigit(next) && !EndsLikeSentence(TextOf(lines_[i]));
    if (!goes_on_[i] || capital) --votes;
  }
  if (votes > 0) return;
  std::fill(goes_on_.begin() + begin, goes_on_.begin() + end, false);
}

size_t TextBlock::LengthOf(size_t index) const {
  const Line& line = lines_[index];
  return positions_[index].column +
         CountCharacters(text_.substr(line.begin, line.text_end - line.begin));
}

void TextBlock::RankBreaks(BreakFinder* breaks) {
  for (const int32_t at : breaks->Words(text_)) {
    if (!IsAsciiSpace(text_[at])) ranks_[at] = CutRank::kWord;
  }
  // Sentences run across line ends where the line goes on.
  std::string unwrapped(text_);
  for (size_t i = 0; i < lines_.size(); ++i) {
    const Line& line = lines_[i];
    if (!line.ended) continue;
    for (size_t at = line.text_end; at < line.end; ++at) {
      if (!IsLineEnd(text_[at])) continue;
      unwrapped[at] = goes_on_[i] ? ' ' : '\n';
    }
  }
  for (const int32_t at : breaks->Sentences(unwrapped)) {
    if (!IsAsciiSpace(text_[at])) ranks_[at] = CutRank::kSentence;
  }
}

void TextBlock::RankLineBegin(size_t index) {
  const Line& line = lines_[index];
  const LineKind kind = kinds_[index];
  const TextPosition& position = positions_[index];
  if (kind == LineKind::kBlank) return;
  const bool is_heading = kind == LineKind::kHeading ||
                          kind == LineKind::kUnderline ||
                          (kind == LineKind::kRest && position.after_heading);
  const bool is_code = position.fence != 0;
  if (is_heading || is_code) {
    KeepOnlyWords(line.text, line.text_end);
  } else {
    // "1." is not a sentence.
    const size_t mark = line.text + ListMarkSize(TextOf(line));
    KeepOnlyWords(line.text + 1, std::min(mark + 1, line.text_end));
  }
  if (kind == LineKind::kRest) return;

  CutRank& rank = ranks_[line.text];
  const bool after_blank = position.line_ends >= 2;
  if (position.after_heading || kind == LineKind::kFenceEnd) {
    rank = CutRank::kLine;
  } else if (is_code) {
    rank = after_blank ? CutRank::kLineEnd : CutRank::kLine;
  } else if (kind == LineKind::kHeading) {
    rank = CutRank::kHeading;
  } else if (after_blank) {
    rank = CutRank::kParagraph;
  } else {
    const bool wrapped = index > 0 && goes_on_[index - 1];
    const bool in_sentence = wrapped && rank != CutRank::kSentence;
    rank = in_sentence ? CutRank::kLine : CutRank::kLineEnd;
  }
}

void TextBlock::KeepOnlyWords(size_t begin, size_t end) {
  for (size_t at = begin; at < end; ++at) {
    ranks_[at] = std::min(ranks_[at], CutRank::kWord);
  }
}

TextPosition TextBlock::PositionAt(size_t at) const {
  size_t index = 0;
  while (lines_[index].end <= at) ++index;
  const Line& line = lines_[index];
  const bool in_text = !line.blank() && at >= line.text;
  TextPosition position = positions_[index];
  if (in_text) {
    // What the line is holds for its rest; its line end is still to come.
    const TextPosition& after = positions_[index + 1];
    position.after_heading = after.after_heading;
    position.fence = after.fence;
    position.line_ends = 0;
    position.in_line = true;
  }
  position.column += CountCharacters(text_.substr(line.begin, at - line.begin));
  return position;
}

}  // namespace longhand
