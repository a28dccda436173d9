#include "tests/core/text/random_text.h"

#include <algorithm>
#include <array>

#include "core/base/status_macros.h"
#include "core/text/text_stream.h"

namespace longhand {
namespace {

using Random = std::mt19937_64;

size_t Below(size_t limit, Random* random) { return (*random)() % limit; }

void AppendUtf8(char32_t c, std::string* text) {
  const auto byte = [&](char32_t value) {
    text->push_back(static_cast<char>(value));
  };
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xC0 | (c >> 6));
    byte(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    byte(0xE0 | (c >> 12));
    byte(0x80 | ((c >> 6) & 0x3F));
    byte(0x80 | (c & 0x3F));
  } else {
    byte(0xF0 | (c >> 18));
    byte(0x80 | ((c >> 12) & 0x3F));
    byte(0x80 | ((c >> 6) & 0x3F));
    byte(0x80 | (c & 0x3F));
  }
}

struct Range {
  char32_t first;
  char32_t last;
};

void AppendFrom(Range range, size_t max_count, Random* random,
                std::string* text) {
  for (size_t n = 1 + Below(max_count, random); n > 0; --n) {
    AppendUtf8(range.first + Below(range.last - range.first + 1, random), text);
  }
}

// Unicode White_Space and the invisible characters that resemble it.
constexpr std::array kSpaces = {
    U' ',      U'\t',     U'\n',     U'\r',     U'\v',     U'\f',
    U'\u0085', U'\u00A0', U'\u1680', U'\u2003', U'\u2009', U'\u200B',
    U'\u2028', U'\u2029', U'\u202F', U'\u205F', U'\u3000', U'\uFEFF',
    U'\u180E', U'\u200D', U'\u00AD', U'\u0000'};

constexpr std::array<std::string_view, 16> kLiterals = {
    "[MASK]",
    "[SEP]",
    "[CLS]",
    "[UNK]",
    "[PAD]",
    "<mask>",
    "<s>",
    "</s>",
    "it's",
    "don't",
    "they'll",
    " <mask>",
    "\n[MASK]",
    "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7",  // woman, joiner, girl
    "\xC2\xA8",                                      // NFKC gives a space
    "\xEF\xB7\xBA"};                                 // NFKC gives four words

void AppendPart(Random* random, std::string* text) {
  switch (Below(14, random)) {
    case 0:
    case 1:
      return AppendFrom({'a', 'z'}, 9, random, text);
    case 2:
      return AppendFrom({'!', '~'}, 4, random, text);
    case 3:
    case 4:
      text->append(1 + Below(3, random), ' ');
      return;
    case 5:
      return text->push_back("\n\t\r\n"[Below(4, random)]);
    case 6:
      return AppendUtf8(kSpaces[Below(kSpaces.size(), random)], text);
    case 7:
      return AppendFrom({0xC0, 0x24F}, 6, random, text);
    case 8:
      return AppendFrom({0x300, 0x36F}, 3, random, text);
    case 9:
      return AppendFrom({0x4E00, 0x9FFF}, 4, random, text);
    case 10:
      return AppendFrom({0x0, 0x1F}, 1, random, text);
    case 11:
      text->append(kLiterals[Below(kLiterals.size(), random)]);
      return;
    case 12:
      return AppendFrom({0x900, 0xD7FF}, 2, random, text);
    default:
      return AppendFrom({0xE000, 0x10FFFF}, 1, random, text);
  }
}

}  // namespace

std::string RandomText(size_t parts, Random* random) {
  std::string text;
  for (size_t i = 0; i < parts; ++i) AppendPart(random, &text);
  return text;
}

absl::StatusOr<StreamResult> StreamText(const Tokenizer& tokenizer,
                                        std::string_view text,
                                        size_t segment_bytes, size_t max_piece,
                                        Random* random) {
  TextStream stream(&tokenizer, segment_bytes);
  StreamResult result;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, 1 + Below(max_piece, random));
    text.remove_prefix(piece.size());
    LH_RETURN_IF_ERROR(stream.Append(piece, &result.tokens));
    result.max_held_bytes =
        std::max(result.max_held_bytes, stream.held_bytes());
  }
  result.tokens_before_finish = result.tokens.size();
  LH_RETURN_IF_ERROR(stream.Finish(&result.tokens));
  return result;
}

}  // namespace longhand
