// The chunk-to-chunk map as one HTML page that needs nothing else: no other
// file, no network. Pure functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLI_EXPLAIN_PAGE_H_
#define LONGHAND_CLIENT_CLI_EXPLAIN_PAGE_H_

#include <string>
#include <utility>
#include <vector>

#include "client/cli/retrieval_map.h"

namespace longhand::client {

// What a page says of a row's text.
struct PageText {
  std::string text;      // its beginning, of any bytes
  bool is_whole = true;  // whether that is all of it
};

struct PageContent {
  std::string name;  // of the document
  // What was done, as pairs of label and value.
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<PageText> texts;  // of each group of the map
  // The layers that retrieve, ascending: those that a mean of layers counts.
  std::vector<int> retrieving_layers;
  // What is shown first; -1: the mean.
  int layer = -1, head = -1;
};

// `map` is not empty. Nothing in the texts can become markup or a script, and
// nothing that hides or reorders text remains in them.
std::string MakePage(const RetrievalMap& map, const PageContent& content);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_EXPLAIN_PAGE_H_
