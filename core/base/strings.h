// Between std::string_view, which this code base uses, and absl::string_view,
// which Abseil's functions take: the same type or not, depending on how Abseil
// was built (Debian 12: not). Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_BASE_STRINGS_H_
#define LONGHAND_CORE_BASE_STRINGS_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace longhand {

// For an argument: absl::StrCat(ToAbsl(name), " is missing").
inline absl::string_view ToAbsl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

// For a result: ToStd(status.message()).
inline std::string_view ToStd(absl::string_view text) {
  return std::string_view(text.data(), text.size());
}

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_STRINGS_H_
