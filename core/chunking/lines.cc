#include "core/chunking/lines.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "core/text/utf8.h"

namespace longhand {
namespace {

bool IsDigit(char byte) { return byte >= '0' && byte <= '9'; }

std::string_view SkipSpaces(std::string_view text) {
  while (!text.empty() && IsAsciiSpace(text[0])) text.remove_prefix(1);
  return text;
}

size_t CountSame(std::string_view text) {
  const size_t other = text.find_first_not_of(text[0]);
  return other == std::string_view::npos ? text.size() : other;
}

struct Letters {
  int capital = 0;
  int small = 0;
};

Letters CountLetters(std::string_view text) {
  Letters letters;
  while (!text.empty()) {
    const Utf8Char decoded = DecodeUtf8Char(text);
    if (decoded.kind != Utf8Char::Kind::kComplete) {
      text.remove_prefix(1);
      continue;
    }
    text.remove_prefix(decoded.size);
    letters.capital += u_isupper(static_cast<UChar32>(decoded.code_point));
    letters.small += u_islower(static_cast<UChar32>(decoded.code_point));
  }
  return letters;
}

// The first character, 0 if the text does not begin with a whole one.
UChar32 FirstCharacter(std::string_view text) {
  if (text.empty()) return 0;
  return static_cast<UChar32>(DecodeUtf8Char(text).code_point);
}

// Markdown: # to ######, then a space or nothing.
bool IsAtxHeading(std::string_view text) {
  if (text[0] != '#') return false;
  const size_t marks = CountSame(text);
  return marks <= 6 && (marks == text.size() || IsAsciiSpace(text[marks]));
}

// As in manual pages: at the left margin, without a small letter.
bool IsCapitalsHeading(std::string_view line) {
  if (EndsLikeSentence(line)) return false;
  if (!u_isupper(FirstCharacter(line))) return false;
  const Letters letters = CountLetters(line);
  return letters.capital >= 2 && letters.small == 0;
}

// "2 Scope", "3. Terms", "4.1.2 Roles".
bool IsNumberedHeading(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && IsDigit(text[at])) {
    const size_t digits_begin = at;
    while (at < text.size() && IsDigit(text[at])) ++at;
    if (at - digits_begin > 3) return false;
    if (at < text.size() && text[at] == '.') ++at;
  }
  if (at == 0 || at == text.size() || !IsAsciiSpace(text[at])) return false;
  if (EndsLikeSentence(text)) return false;
  const UChar32 first = FirstCharacter(SkipSpaces(text.substr(at)));
  return u_isalpha(first) && !u_islower(first);
}

}  // namespace

bool IsLineEnd(char byte) {
  return byte == '\n' || byte == '\r' || byte == '\f' || byte == '\v';
}

bool IsAsciiSpace(char byte) {
  return byte == ' ' || byte == '\t' || IsLineEnd(byte);
}

std::vector<Line> SplitLines(std::string_view text) {
  std::vector<Line> lines;
  for (size_t begin = 0; begin < text.size();) {
    Line line;
    line.begin = line.text = begin;
    size_t stop = begin;
    while (stop < text.size() && !IsLineEnd(text[stop])) ++stop;
    while (line.text < stop && IsAsciiSpace(text[line.text])) ++line.text;
    line.text_end = stop;
    while (line.text_end > line.text && IsAsciiSpace(text[line.text_end - 1])) {
      --line.text_end;
    }
    line.ended = stop < text.size();
    line.end = stop + line.ended;
    if (line.ended && text[stop] == '\r' && line.end < text.size() &&
        text[line.end] == '\n') {
      ++line.end;
    }
    begin = line.end;
    lines.push_back(line);
  }
  return lines;
}

bool IsHeading(const LineInContext& context) {
  const std::string_view line = context.line;
  const std::string_view text = SkipSpaces(line);
  if (text.empty() || line.size() > kMaxHeadingBytes) return false;
  const size_t indent = line.size() - text.size();
  if (indent <= 3 && IsAtxHeading(text)) return true;
  if (!context.after_blank) return false;
  if (indent == 0 && IsCapitalsHeading(line)) return true;
  if (context.next.empty()) return IsNumberedHeading(text);
  return IsUnderline(context.next) && !IsUnderline(line);
}

bool IsUnderline(std::string_view line) {
  return line.size() >= 3 && line.size() <= kMaxHeadingBytes &&
         std::string_view("=-~^\"*+#").find(line[0]) !=
             std::string_view::npos &&
         CountSame(line) == line.size();
}

char FenceMark(std::string_view line) {
  const std::string_view text = SkipSpaces(line);
  if (text.empty() || (text[0] != '`' && text[0] != '~')) return 0;
  const size_t marks = CountSame(text);
  if (marks < 3) return 0;
  // Code inside a line, not a block.
  if (text[0] == '`' && text.find('`', marks) != std::string_view::npos) {
    return 0;
  }
  return text[0];
}

size_t ListMarkSize(std::string_view line) {
  constexpr std::string_view kBullet = "\xE2\x80\xA2";
  size_t at = 0;
  if (line.substr(0, kBullet.size()) == kBullet) {
    at = kBullet.size();
  } else if (!line.empty() &&
             (line[0] == '-' || line[0] == '*' || line[0] == '+')) {
    at = 1;
  } else {
    while (at < line.size() && at < 3 && IsDigit(line[at])) ++at;
    if (at == 0 || at == line.size()) return 0;
    if (line[at] != '.' && line[at] != ')') return 0;
    ++at;
  }
  const size_t mark = at;
  while (at < line.size() && IsAsciiSpace(line[at])) ++at;
  return at > mark ? at : 0;
}

bool BeginsWithSmallLetter(std::string_view text) {
  const UChar32 first = FirstCharacter(text);
  return u_isalpha(first) && !u_isupper(first);
}

bool BeginsWithCapitalOrDigit(std::string_view text) {
  const UChar32 first = FirstCharacter(text);
  return u_isupper(first) || u_isdigit(first);
}

bool EndsLikeSentence(std::string_view text) {
  return std::string_view(".,;:!?").find(text.back()) != std::string_view::npos;
}

size_t CountCharacters(std::string_view text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  }));
}

}  // namespace longhand
