// UTF-8 as the Unicode standard defines it: no overlong forms, surrogates or
// code points above U+10FFFF. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_TEXT_UTF8_H_
#define LONGHAND_CORE_TEXT_UTF8_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace longhand {

struct Utf8Char {
  enum class Kind {
    kComplete,
    kTruncated,  // the bytes end inside what may become a character
    kInvalid,    // no continuation makes it a character
  };
  Kind kind;
  char32_t code_point = 0;  // if complete
  int size = 0;             // bytes, if complete
};

// The character that `bytes` begins with. REQUIRES: `bytes` is not empty.
Utf8Char DecodeUtf8Char(std::string_view bytes);

// INVALID_ARGUMENT, reason INVALID_UTF8, metadata "byte_offset": the first byte
// of a document that is not part of a whole character.
absl::Status InvalidUtf8Error(uint64_t byte_offset);

}  // namespace longhand

#endif  // LONGHAND_CORE_TEXT_UTF8_H_
