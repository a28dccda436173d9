// BreakFinder: sentence ends and places between words by the rules of Unicode
// (UAX 29 and UAX 14), through ICU with the root locale: no language is
// assumed. Takes any bytes; what isn't UTF-8 counts as unknown characters. Not
// thread-safe: one per document.
#ifndef LONGHAND_CORE_CHUNKING_BREAK_FINDER_H_
#define LONGHAND_CORE_CHUNKING_BREAK_FINDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace longhand {

class BreakFinder {
 public:
  // INTERNAL (ICU_DATA) if ICU's rules can't be loaded.
  static absl::StatusOr<std::unique_ptr<BreakFinder>> Create();

  // Another one, for another document.
  std::unique_ptr<BreakFinder> Clone() const;

  ~BreakFinder();
  BreakFinder(const BreakFinder&) = delete;
  BreakFinder& operator=(const BreakFinder&) = delete;

  // Where sentences begin, ascending, 0 and text.size() left out. A line end is
  // the end of a sentence.
  const std::vector<int32_t>& Sentences(std::string_view text);

  // Where a word ends and a line may be broken, ascending, 0 and text.size()
  // left out: neither before a full stop nor inside a Japanese or Thai word.
  const std::vector<int32_t>& Words(std::string_view text);

 private:
  struct Iterators;

  explicit BreakFinder(std::unique_ptr<Iterators> iterators);

  const std::unique_ptr<Iterators> iterators_;
  std::vector<int32_t> result_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_BREAK_FINDER_H_
