// The chunk-to-chunk map as an SVG picture. Pure functions; safe from any
// thread.
#ifndef LONGHAND_CLIENT_CLI_EXPLAIN_SVG_H_
#define LONGHAND_CLIENT_CLI_EXPLAIN_SVG_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/cli/retrieval_map.h"

namespace longhand::client {

// What a picture shows. All texts are display lines (text_display.h).
struct MapPicture {
  std::string title;
  std::vector<std::string> notes;  // lines below the title
  std::vector<MapGroup> groups;
  std::vector<std::string> words;  // the beginning of each group's text
  // [rows][columns]: how much of what `row` retrieved came from `column`. Rows
  // end where chunks see no further.
  std::vector<std::vector<float>> plane;
  // Whether a row is one chunk, which retrieves nothing from itself.
  bool single_chunks = true;
};

// Text for XML and HTML: & < > " ' as references, characters that XML does not
// allow as U+FFFD. The text is UTF-8 without control characters.
std::string EscapeMarkup(absl::string_view text);

// A standalone SVG 1.1 document: cells coloured by weight, a legend, the byte
// offsets and first words of chunks along both sides.
std::string DrawSvg(const MapPicture& picture);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_EXPLAIN_SVG_H_
