// Lines of a text and what their form says: blank, heading, list item, fence of
// a code block. Pure functions; safe from any thread. Take any bytes.
#ifndef LONGHAND_CORE_CHUNKING_LINES_H_
#define LONGHAND_CORE_CHUNKING_LINES_H_

#include <cstddef>
#include <string_view>
#include <vector>

namespace longhand {

// Spaces, tabs and what ends a line: LF, CR, CR LF, form feed, vertical tab.
bool IsAsciiSpace(char byte);
bool IsLineEnd(char byte);

// Places in the text that was given to SplitLines.
struct Line {
  size_t begin = 0;
  size_t text = 0;      // first byte that is not white space
  size_t text_end = 0;  // one past the last such byte; == text if blank
  size_t end = 0;       // one past the line end
  bool ended = false;   // there is a line end

  bool blank() const { return text == text_end; }
};

std::vector<Line> SplitLines(std::string_view text);

// Lines longer than this are never headings or underlines.
inline constexpr size_t kMaxHeadingBytes = 120;

// One line without its line end, white space after it removed, and the line
// after it in the same form (empty: blank, or the text ends).
struct LineInContext {
  std::string_view line;
  std::string_view next;
  bool after_blank = false;  // or first in the document
};

// Whether the line is a heading; docs/chunking.md gives the five forms.
bool IsHeading(const LineInContext& context);

// Three or more of one of the marks = - ~ ^ " * + #, and nothing else.
bool IsUnderline(std::string_view line);

// The mark (` or ~) if the line begins with three or more of it, else 0.
char FenceMark(std::string_view line);

// Bytes of the mark that `line` begins with, white space after it included:
// one of - * + and the bullet, or a number with "." or ")". 0 if it isn't the
// first line of a list item.
size_t ListMarkSize(std::string_view line);

// Whether the first character is a letter, but not a capital.
bool BeginsWithSmallLetter(std::string_view text);
bool BeginsWithCapitalOrDigit(std::string_view text);

// Whether the last character is one of . , ; : ! ? REQUIRES: not empty.
bool EndsLikeSentence(std::string_view text);

// Characters in `text`; other bytes count as nothing.
size_t CountCharacters(std::string_view text);

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_LINES_H_
