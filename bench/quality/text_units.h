// Words and sentences of plain text with their places: what queries are made
// of. ASCII letters only count as letters. Pure functions; safe from any
// thread.
#ifndef LONGHAND_BENCH_QUALITY_TEXT_UNITS_H_
#define LONGHAND_BENCH_QUALITY_TEXT_UNITS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace longhand::quality {

// Bytes [begin, end) of a document.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

struct Word {
  std::string text;  // lower case
  ByteRange range;
};

// The maximal runs of at least `min_letters` letters, in order.
std::vector<Word> FindWords(std::string_view text, size_t min_letters);

// The sentences that are prose: they end in '.', '?' or '!' before white space,
// begin where a paragraph or the sentence before ends, have `min_words` to
// `max_words` pieces between white space, and at least three quarters of these
// pieces are words.
std::vector<ByteRange> FindSentences(std::string_view text, int min_words,
                                     int max_words);

// The pieces of `text` between white space.
std::vector<std::string> SplitAtWhitespace(std::string_view text);

// The words of a heading that carry its meaning: four letters or more, cut to a
// stem so that "Indexes" and "indexing" are "index".
std::vector<std::string> HeadingStems(std::string_view heading);

// Whether `text` has a word that begins with one of the stems.
bool HasStem(std::string_view text, const std::vector<std::string>& stems);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_TEXT_UNITS_H_
