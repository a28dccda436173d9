// What the chunkers' tests feed: a tokenizer that needs no model, and documents
// that arrive in pieces. Pure functions over values.
#ifndef LONGHAND_TESTS_CORE_CHUNKING_TOY_DOCUMENT_H_
#define LONGHAND_TESTS_CORE_CHUNKING_TOY_DOCUMENT_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/chunking/chunker.h"
#include "core/chunking/lines.h"
#include "core/text/token_sequence.h"
#include "core/text/utf8.h"

namespace longhand {

inline constexpr int kToyVocabulary = 97;

// Words in pieces of up to 6 ASCII letters and digits, every other character a
// token of its own, two tokens with the same place if it has four bytes (as
// byte-level tokenizers give them). White space is a token, run by run, if
// `keep_spaces`; it is left out otherwise. Takes any bytes.
inline TokenSequence ToyTokenize(std::string_view text,
                                 bool keep_spaces = false) {
  TokenSequence tokens;
  const auto add = [&](size_t begin, size_t end) {
    uint32_t hash = 0;
    for (size_t i = begin; i < end; ++i) {
      hash = 31 * hash + static_cast<unsigned char>(text[i]);
    }
    tokens.ids.push_back(int32_t(hash % kToyVocabulary));
    tokens.begin.push_back(begin);
    tokens.end.push_back(end);
  };
  const auto is_word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
  };
  for (size_t begin = 0, end; begin < text.size(); begin = end) {
    end = begin + 1;
    if (IsAsciiSpace(text[begin])) {
      while (end < text.size() && IsAsciiSpace(text[end])) ++end;
      if (keep_spaces) add(begin, end);
      continue;
    }
    if (is_word(text[begin])) {
      while (end < text.size() && end < begin + 6 && is_word(text[end])) ++end;
    } else {
      const Utf8Char character = DecodeUtf8Char(text.substr(begin));
      if (character.kind == Utf8Char::Kind::kComplete) {
        end = begin + size_t(character.size);
      }
      if (character.size == 4) add(begin, end);
    }
    add(begin, end);
  }
  return tokens;
}

inline TokenSequence Slice(const TokenSequence& tokens, size_t begin,
                           size_t end) {
  TokenSequence slice;
  slice.ids.assign(tokens.ids.begin() + begin, tokens.ids.begin() + end);
  slice.begin.assign(tokens.begin.begin() + begin, tokens.begin.begin() + end);
  slice.end.assign(tokens.end.begin() + begin, tokens.end.begin() + end);
  return slice;
}

// All chunks of a document that comes at once.
inline std::vector<Chunk> CutAtOnce(Chunker& chunker, std::string_view text,
                                    const TokenSequence& tokens) {
  std::vector<Chunk> chunks;
  chunker.Push(text, tokens, &chunks);
  chunker.Flush(&chunks);
  return chunks;
}

// The text of each chunk, from its first token to its last.
inline std::vector<std::string> Texts(std::string_view text,
                                      const TokenSequence& tokens,
                                      const std::vector<Chunk>& chunks) {
  std::vector<std::string> texts;
  for (const Chunk& chunk : chunks) {
    const uint64_t begin = tokens.begin[chunk.begin];
    texts.emplace_back(text.substr(begin, tokens.end[chunk.end - 1] - begin));
  }
  return texts;
}

// Vectors for the toy vocabulary in which nothing is like anything else.
inline std::vector<float> ToyVectors(int size) {
  std::vector<float> rows(size_t(kToyVocabulary) * size);
  uint32_t state = 1;
  for (float& value : rows) {
    state = state * 1664525u + 1013904223u;
    value = float(int32_t(state)) / 2147483648.0f;
  }
  return rows;
}

}  // namespace longhand

#endif  // LONGHAND_TESTS_CORE_CHUNKING_TOY_DOCUMENT_H_
