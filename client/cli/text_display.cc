#include "client/cli/text_display.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/str_format.h"

namespace longhand::client {
namespace {

struct Character {
  char32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

// Bytes of the sequence that `lead` begins; 0 if it begins none.
size_t SequenceLength(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// The character at the front of `text`, which is not empty.
Character Decode(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const size_t length = SequenceLength(byte(0));
  if (length == 1) return {byte(0), 1, true};
  if (length == 0 || text.size() < length) return {};
  char32_t code = byte(0) & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool overlong =
      (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code > 0x10FFFF) return {};
  return {code, length, true};
}

struct Range {
  char32_t first, last;
};

bool Contains(const Range* begin, const Range* end, char32_t code) {
  const Range* found = std::lower_bound(
      begin, end, code, [](const Range& r, char32_t c) { return r.last < c; });
  return found != end && found->first <= code;
}

// Drawn on top of the character before.
constexpr Range kCombining[] = {
    {0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},   {0x610, 0x61A},
    {0x64B, 0x65F},   {0x6D6, 0x6DC},   {0x93A, 0x93A},   {0x93C, 0x93C},
    {0x941, 0x948},   {0x94D, 0x94D},   {0xE31, 0xE31},   {0xE34, 0xE3A},
    {0xE47, 0xE4E},   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x20D0, 0x20FF},
    {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};

// Unicode's East Asian wide and fullwidth blocks, and emoji.
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},
    {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},
    {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97F},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
    {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F},
    {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x1FA70, 0x1FAFF},
    {0x20000, 0x3FFFD}};

// Line separators, zero-width and bidirectional format characters.
constexpr Range kHidden[] = {
    {0xAD, 0xAD},     {0x61C, 0x61C},   {0x180E, 0x180E},
    {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},
    {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF}};

int Width(char32_t code) {
  if (Contains(std::begin(kCombining), std::end(kCombining), code)) return 0;
  return Contains(std::begin(kWide), std::end(kWide), code) ? 2 : 1;
}

bool IsSpace(char32_t code) {
  return code == ' ' || (code >= '\t' && code <= '\r') || code == 0x85 ||
         code == 0xA0 || code == 0x3000;
}

// `character` stands at the front of `text`.
void AppendPrintable(absl::string_view text, const Character& character,
                     std::string* line) {
  const char32_t code = character.code;
  if (!character.valid) {
    absl::StrAppendFormat(line, "\\x%02x", static_cast<uint8_t>(text[0]));
  } else if (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
    absl::StrAppendFormat(line, "\\x%02x", static_cast<uint32_t>(code));
  } else if (Contains(std::begin(kHidden), std::end(kHidden), code)) {
    absl::StrAppendFormat(line, "\\u{%x}", static_cast<uint32_t>(code));
  } else {
    line->append(text.data(), character.bytes);
  }
}

}  // namespace

std::string ToDisplayLine(absl::string_view text) {
  std::string line;
  bool space = false;
  while (!text.empty()) {
    const Character character = Decode(text);
    if (character.valid && IsSpace(character.code)) {
      space = true;
    } else {
      if (space && !line.empty()) line += ' ';
      space = false;
      AppendPrintable(text, character, &line);
    }
    text.remove_prefix(character.bytes);
  }
  return line;
}

std::string ToDisplayText(absl::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const Character character = Decode(text);
    const bool line_end = character.code == '\r' && text.substr(0, 2) == "\r\n";
    if (character.valid && (character.code == '\n' || character.code == '\t')) {
      shown += text[0];
    } else if (!line_end) {
      AppendPrintable(text, character, &shown);
    }
    text.remove_prefix(character.bytes);
  }
  return shown;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Character character = Decode(text);
    width += Width(character.code);
    text.remove_prefix(character.bytes);
  }
  return width;
}

std::string FitWidth(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width <= 0) return "";
  size_t kept = 0;
  int used = 1;  // the ellipsis
  while (kept < text.size()) {
    const Character character = Decode(text.substr(kept));
    used += Width(character.code);
    if (used > width) break;
    kept += character.bytes;
  }
  return std::string(text.substr(0, kept)) + "…";
}

absl::string_view TrimCutCharacter(absl::string_view text) {
  const size_t look_back = std::min<size_t>(text.size(), 3);
  for (size_t back = 1; back <= look_back; ++back) {
    const size_t length =
        SequenceLength(static_cast<unsigned char>(text[text.size() - back]));
    if (length > back) return text.substr(0, text.size() - back);
    if (length > 0) break;
  }
  return text;
}

}  // namespace longhand::client
