// The documents of the retrieval experiment, as make_corpus.py writes them, and
// their division into halves. Values; pure functions apart from reading.
#ifndef LONGHAND_BENCH_QUALITY_CORPUS_H_
#define LONGHAND_BENCH_QUALITY_CORPUS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace longhand::quality {

struct Section {
  std::string heading;
  uint64_t begin = 0;  // byte at which the heading's line begins
  uint64_t body = 0;   // first byte of the text below it
};

struct CorpusDocument {
  std::string id;
  std::string collection;  // "pages" or "manuals"
  std::string title;
  std::string topic;  // what a query calls it
  std::string text;
  std::vector<Section> sections;  // in order
};

struct Corpus {
  std::vector<CorpusDocument> documents;
  std::string sha256;  // of the file
};

// Reads corpus.jsonl. NOT_FOUND (FILE_MISSING) or INVALID_ARGUMENT
// (CORPUS_INVALID, with the line).
absl::StatusOr<Corpus> ReadCorpus(const std::string& path);

// Options are chosen on one half of the documents and reported on the other.
enum class Half { kDev, kTest };
std::string_view HalfName(Half half);

// The half of each document: the documents in the order of a keyed hash of
// their ids, the first half (rounded up) for development. A document's half
// does not depend on the order of `ids`.
std::vector<Half> SplitHalves(absl::Span<const std::string> ids);

// The same for every collection of a corpus on its own; [documents].
std::vector<Half> SplitCorpus(const Corpus& corpus);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_CORPUS_H_
