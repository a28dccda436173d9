#include "core/text/utf8.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace longhand {
namespace {

// By the first byte: how many bytes follow and what the second may be. The
// second byte's range is what excludes overlong forms, surrogates and code
// points above U+10FFFF.
struct Form {
  int trailing;  // 0 if no character begins with this byte
  unsigned char second_min;
  unsigned char second_max;
  char32_t bits;  // of the first byte
};

Form FormOf(unsigned char first) {
  if (first >= 0xC2 && first <= 0xDF) return {1, 0x80, 0xBF, first & 0x1Fu};
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned char min = first == 0xE0 ? 0xA0 : 0x80;
    const unsigned char max = first == 0xED ? 0x9F : 0xBF;
    return {2, min, max, first & 0x0Fu};
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned char min = first == 0xF0 ? 0x90 : 0x80;
    const unsigned char max = first == 0xF4 ? 0x8F : 0xBF;
    return {3, min, max, first & 0x07u};
  }
  return {0, 0, 0, 0};
}

}  // namespace

Utf8Char DecodeUtf8Char(std::string_view bytes) {
  LH_DCHECK(!bytes.empty());
  const unsigned char first = bytes[0];
  if (first < 0x80) return {Utf8Char::Kind::kComplete, first, 1};
  const Form form = FormOf(first);
  if (form.trailing == 0) return {Utf8Char::Kind::kInvalid};
  char32_t code_point = form.bits;
  for (int i = 1; i <= form.trailing; ++i) {
    if (static_cast<size_t>(i) == bytes.size()) {
      return {Utf8Char::Kind::kTruncated};
    }
    const unsigned char byte = bytes[i];
    const unsigned char min = i == 1 ? form.second_min : 0x80;
    const unsigned char max = i == 1 ? form.second_max : 0xBF;
    if (byte < min || byte > max) return {Utf8Char::Kind::kInvalid};
    code_point = (code_point << 6) | (byte & 0x3Fu);
  }
  return {Utf8Char::Kind::kComplete, code_point, form.trailing + 1};
}

absl::Status InvalidUtf8Error(uint64_t byte_offset) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "INVALID_UTF8",
      absl::StrCat("the text is not valid UTF-8 at byte ", byte_offset,
                   "; convert the document to UTF-8 before sending it"),
      {{"byte_offset", absl::StrCat(byte_offset)}});
}

}  // namespace longhand
