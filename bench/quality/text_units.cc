#include "bench/quality/text_units.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"

namespace longhand::quality {
namespace {

bool IsLetter(char c) { return absl::ascii_isalpha(c); }
bool IsSpace(char c) { return absl::ascii_isspace(c); }

// Where the next paragraph begins: behind an empty line.
size_t ParagraphEnd(std::string_view text, size_t begin) {
  const size_t end = text.find("\n\n", begin);
  return end == std::string_view::npos ? text.size() : end;
}

// One past the sentence's last byte, or `end` if it does not end before.
size_t SentenceEnd(std::string_view text, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    const bool stop = text[i] == '.' || text[i] == '?' || text[i] == '!';
    if (stop && (i + 1 == end || IsSpace(text[i + 1]))) return i + 1;
  }
  return end;
}

bool IsWord(std::string_view piece) {
  const auto letters = std::count_if(piece.begin(), piece.end(), IsLetter);
  // A word with a mark at its end, or a dash in it, is still one.
  return letters > 0 && static_cast<size_t>(letters) + 2 >= piece.size();
}

bool IsProse(std::string_view sentence, int min_words, int max_words) {
  const char last = sentence.empty() ? '\0' : sentence.back();
  if (last != '.' && last != '?' && last != '!') return false;
  const std::vector<std::string> pieces = SplitAtWhitespace(sentence);
  const int count = static_cast<int>(pieces.size());
  if (count < min_words || count > max_words) return false;
  const auto words = std::count_if(pieces.begin(), pieces.end(), IsWord);
  return 4 * words >= 3 * count;
}

}  // namespace

std::vector<Word> FindWords(std::string_view text, size_t min_letters) {
  std::vector<Word> words;
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i;
    while (end < text.size() && IsLetter(text[end])) ++end;
    if (end - i >= min_letters && end > i) {
      Word word{std::string(text.substr(i, end - i)), {i, end}};
      absl::AsciiStrToLower(&word.text);
      words.push_back(std::move(word));
    }
    i = end + 1;
  }
  return words;
}

std::vector<ByteRange> FindSentences(std::string_view text, int min_words,
                                     int max_words) {
  std::vector<ByteRange> sentences;
  size_t i = 0;
  while (i < text.size()) {
    if (IsSpace(text[i])) {
      ++i;
      continue;
    }
    const size_t end = SentenceEnd(text, i, ParagraphEnd(text, i));
    if (IsProse(text.substr(i, end - i), min_words, max_words)) {
      sentences.push_back({i, end});
    }
    i = end;
  }
  return sentences;
}

std::vector<std::string> SplitAtWhitespace(std::string_view text) {
  std::vector<std::string> pieces;
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i;
    while (end < text.size() && !IsSpace(text[end])) ++end;
    if (end > i) pieces.emplace_back(text.substr(i, end - i));
    i = end + 1;
  }
  return pieces;
}

std::vector<std::string> HeadingStems(std::string_view heading) {
  constexpr std::array<std::string_view, 6> kEndings = {"ing", "ions", "ion",
                                                        "es",  "ed",   "s"};
  // Words of four letters and more that say nothing on their own.
  constexpr std::array<std::string_view, 12> kEmpty = {
      "with", "from", "that", "this", "what", "when",
      "your", "have", "does", "into", "than", "using"};
  std::vector<std::string> stems;
  for (const Word& word : FindWords(heading, 4)) {
    std::string_view stem = word.text;
    if (std::find(kEmpty.begin(), kEmpty.end(), stem) != kEmpty.end()) continue;
    for (const std::string_view ending : kEndings) {
      if (stem.size() >= ending.size() + 3 && stem.ends_with(ending)) {
        stem.remove_suffix(ending.size());
        break;
      }
    }
    stems.emplace_back(stem);
  }
  return stems;
}

bool HasStem(std::string_view text, const std::vector<std::string>& stems) {
  for (const Word& word : FindWords(text, 1)) {
    for (const std::string& stem : stems) {
      if (word.text.starts_with(stem)) return true;
    }
  }
  return false;
}

}  // namespace longhand::quality
