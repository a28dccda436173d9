// The queries of the four tasks and how they are made from documents. A query's
// answer is a range of bytes of its document, so it does not depend on how a
// system cuts documents into chunks; README.md gives the definitions. Values
// and pure functions.
#ifndef LONGHAND_BENCH_QUALITY_QUERIES_H_
#define LONGHAND_BENCH_QUALITY_QUERIES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "bench/quality/corpus.h"
#include "bench/quality/text_units.h"
#include "core/text/tokenizer.h"

namespace longhand::quality {

struct Query {
  std::string task;      // a name from Tasks()
  std::string document;  // id
  Half half = Half::kDev;
  std::string text;
  ByteRange gold;  // of the document
};

struct Task {
  std::string_view name;
  std::string_view collection;
  bool within_document = false;  // ranked against the query's document only
};
absl::Span<const Task> Tasks();

// Windows of `tokens_per_window` tokens (the last has the rest), each from its
// first token's first byte to its last token's last byte.
std::vector<ByteRange> ReferenceWindows(const TokenSequence& tokens,
                                        int tokens_per_window);

// The shortest range that holds at least one of the `words` for each distinct
// text among them; whole words. REQUIRES: `words` is not empty and in order.
ByteRange ShortestCover(absl::Span<const Word> words);

// All queries of all tasks, in the order of tasks and documents. Needs the
// tokenizer for the reference windows; the same corpus and tokenizer give the
// same queries. Errors are the tokenizer's.
absl::StatusOr<std::vector<Query>> MakeQueries(const Corpus& corpus,
                                               const Tokenizer& tokenizer);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_QUERIES_H_
