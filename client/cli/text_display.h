// Text of unknown origin for a terminal: nothing in it may move the cursor,
// reorder the line or be cut inside a character. Pure functions; safe from any
// thread.
#ifndef LONGHAND_CLIENT_CLI_TEXT_DISPLAY_H_
#define LONGHAND_CLIENT_CLI_TEXT_DISPLAY_H_

#include <string>

#include "absl/strings/string_view.h"

namespace longhand::client {

// One printable line of valid UTF-8: runs of white space become one space and
// those at the ends vanish; other control characters become \xNN, characters
// that hide or reorder text \u{N}, bytes that are not UTF-8 \xNN.
std::string ToDisplayLine(absl::string_view text);

// The same with white space as it is, for a place that shows several lines;
// lines end with \n.
std::string ToDisplayText(absl::string_view text);

// Columns that valid UTF-8 without control characters takes: 2 for East Asian
// wide characters and emoji, 0 for combining marks.
int DisplayWidth(absl::string_view text);

// `text` cut to at most `width` columns; the last one is then "…".
std::string FitWidth(absl::string_view text, int width);

// `text` without the UTF-8 sequence that its end cuts, if it cuts one.
absl::string_view TrimCutCharacter(absl::string_view text);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_TEXT_DISPLAY_H_
