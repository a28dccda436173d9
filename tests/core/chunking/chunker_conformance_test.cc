// What every registered chunker must keep, whatever the text: chunks tile the
// tokens, windows contain their chunks and keep the limit, and neither the cut
// of the text nor the arrival of the tokens matters. Loops over the registry.

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/chunking/registry.h"
#include "core/chunking/text_boundaries.h"
#include "gtest/gtest.h"
#include "rapidcheck.h"
#include "tests/core/chunking/toy_document.h"

namespace longhand {

bool operator==(const Chunk& a, const Chunk& b) {
  return a.begin == b.begin && a.end == b.end &&
         a.window_begin == b.window_begin && a.window_end == b.window_end;
}

std::ostream& operator<<(std::ostream& out, const Chunk& chunk) {
  return out << "[" << chunk.begin << ", " << chunk.end << ") in ["
             << chunk.window_begin << ", " << chunk.window_end << ")";
}

namespace {

// Pieces of text that lead into every corner of the rules.
const std::vector<std::string>& Fragments() {
  static const std::vector<std::string> fragments = {
      "word ",
      "Another ",
      "e.g. ",
      "end. ",
      "Really? ",
      "a",
      "7",
      "3.14 ",
      "\n",
      "\n\n",
      "\r\n",
      "\r",
      "\r\n\r\n",
      "\n   \n",
      "\t",
      "\f",
      "\v",
      "# Heading\n",
      "### More\n\n",
      "Title\n=====\n",
      "NAME\n       ",
      "\n\n2.1 Scope\n\n",
      "- item\n",
      "1. First\n",
      "```\n",
      "~~~~\n",
      "    int x = 0;\n",
      "https://example.org/a/b?c=d ",
      std::string("\x00\x01\x1b", 3),
      "\xE6\x9D\xB1\xE4\xBA\xAC\xE3\x81\xA7\xE3\x81\x99\xE3\x80\x82",
      "\xF0\x9F\x98\x80",
      "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB",
      "\xC3\xA9t\xC3\xA9 ",
      "\xE0\xB8\x81\xE0\xB8\xB2",
      "\xE2\x80\xA2 point\n",
      "\xFF",
      "\xC3",
      "\xF0\x9F",
      "\x80\x80\x80\x80\x80",
      std::string(700, 'x'),
      std::string(1500, ' '),
      std::string(400, '\n'),
      std::string(100, '-') + "\n",
      "A sentence that a program has filled to the width of a page, broken\n"
      "where the next word did not fit. It has another one behind it, and\n"
      "so on. ",
  };
  return fragments;
}

rc::Gen<std::string> AnyText() {
  return rc::gen::map(
      rc::gen::scale(3.0, rc::gen::container<std::vector<std::string>>(
                              rc::gen::elementOf(Fragments()))),
      [](const std::vector<std::string>& parts) {
        std::string text;
        for (const std::string& part : parts) text += part;
        return text;
      });
}

// A text, its tokens, and options that fit together.
struct Case {
  std::string text;
  TokenSequence tokens;
  ChunkerOptions options;
  int min_tokens = 0;  // in force
};

class ChunkerConformance : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Chunker> Make(ChunkerOptions options) const {
    if (options.token_table.size == 0) options.token_table = {vectors_, 4};
    auto chunker = (**ChunkerRegistry().Find(GetParam()))(options);
    EXPECT_TRUE(chunker.ok()) << chunker.status();
    return *std::move(chunker);
  }

  static Case AnyCase() {
    Case result;
    result.text = *AnyText();
    result.tokens = ToyTokenize(result.text, *rc::gen::arbitrary<bool>());
    ChunkerOptions& options = result.options;
    options.max_tokens = *rc::gen::inRange(1, 50);
    options.min_tokens = *rc::gen::inRange(0, options.max_tokens);
    options.overlap_tokens = *rc::gen::inRange(0, options.max_tokens);
    result.min_tokens = options.min_tokens > 0
                            ? options.min_tokens
                            : std::max(1, options.max_tokens / 4);
    return result;
  }

  // Feeds the text in random pieces and each token at a random time after its
  // text. What has been handed out must be final.
  std::vector<Chunk> CutInPieces(const Case& c) const {
    const auto chunker = Make(c.options);
    std::vector<Chunk> chunks;
    size_t bytes = 0, tokens = 0;
    while (bytes < c.text.size()) {
      const size_t size = *rc::gen::inRange<size_t>(1, 600);
      const auto piece = std::string_view(c.text).substr(bytes, size);
      bytes += piece.size();
      const size_t lag = *rc::gen::inRange<size_t>(0, 900);
      size_t end = tokens;
      while (end < c.tokens.size() && c.tokens.end[end] + lag <= bytes) ++end;
      chunker->Push(piece, Slice(c.tokens, tokens, end), &chunks);
      tokens = end;
      if (!chunks.empty()) {
        RC_ASSERT(chunks.back().window_end < int64_t(tokens));
      }
    }
    chunker->Push("", Slice(c.tokens, tokens, c.tokens.size()), &chunks);
    chunker->Flush(&chunks);
    return chunks;
  }

  const std::vector<float> vectors_ = ToyVectors(4);
};

TEST_P(ChunkerConformance, ChunksTileTheTokensWithinTheirWindows) {
  EXPECT_TRUE(rc::check([&] {
    const Case c = AnyCase();
    const auto chunker = Make(c.options);
    const auto chunks = CutAtOnce(*chunker, c.text, c.tokens);
    Chunk last;
    for (const Chunk& chunk : chunks) {
      RC_ASSERT(chunk.begin == last.end);
      RC_ASSERT(chunk.size() >= 1);
      RC_ASSERT(chunk.window_begin <= chunk.begin);
      RC_ASSERT(chunk.window_end >= chunk.end);
      RC_ASSERT(chunk.window_size() <= c.options.max_tokens);
      if (last.end > 0) RC_ASSERT(chunk.window_begin > last.window_begin);
      RC_ASSERT(chunk.window_end > last.window_end);
      if (chunker->needs_text() && &chunk != &chunks.back()) {
        RC_ASSERT(chunk.size() >= c.min_tokens);
      }
      last = chunk;
    }
    RC_ASSERT(last.end == int64_t(c.tokens.size()));
    RC_ASSERT(last.window_end == int64_t(c.tokens.size()));
  }));
}

TEST_P(ChunkerConformance, PiecesDoNotMatter) {
  EXPECT_TRUE(rc::check([&] {
    const Case c = AnyCase();
    const auto whole = CutAtOnce(*Make(c.options), c.text, c.tokens);
    RC_ASSERT(CutInPieces(c) == whole);
  }));
}

TEST_P(ChunkerConformance, SingleBytesAreFine) {
  std::string text;
  for (const std::string& fragment : Fragments()) text += fragment + "So. ";
  const TokenSequence tokens = ToyTokenize(text);
  const ChunkerOptions options = {.max_tokens = 20};
  const auto whole = CutAtOnce(*Make(options), text, tokens);
  const auto chunker = Make(options);
  std::vector<Chunk> chunks;
  size_t next = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    size_t end = next;
    while (end < tokens.size() && tokens.end[end] <= i + 1) ++end;
    chunker->Push(std::string_view(text).substr(i, 1), Slice(tokens, next, end),
                  &chunks);
    next = end;
  }
  chunker->Flush(&chunks);
  EXPECT_EQ(chunks, whole);
}

// The look-ahead is bounded, in tokens and in bytes of text.
TEST_P(ChunkerConformance, ChunksComeWithoutTheEnd) {
  EXPECT_TRUE(rc::check([&] {
    const Case c = AnyCase();
    const auto chunker = Make(c.options);
    std::vector<Chunk> chunks;
    chunker->Push(c.text, c.tokens, &chunks);
    const size_t done = chunks.empty() ? 0 : size_t(chunks.back().end);
    const size_t ahead = done + 3 * size_t(c.options.max_tokens) + 8;
    if (ahead < c.tokens.size()) {
      RC_ASSERT(c.tokens.begin[ahead] + TextBoundaries::kBlockBytes >
                c.text.size());
    }
  }));
}

// A copy at any moment and the original both go on as if they were alone.
TEST_P(ChunkerConformance, ACloneGoesOnOnItsOwn) {
  EXPECT_TRUE(rc::check([&] {
    const Case c = AnyCase();
    const std::string other = *AnyText();
    const auto whole = CutAtOnce(*Make(c.options), c.text, c.tokens);
    const size_t bytes = *rc::gen::inRange<size_t>(0, c.text.size() + 1);
    size_t tokens = 0;
    while (tokens < c.tokens.size() && c.tokens.end[tokens] <= bytes) ++tokens;
    const auto text = std::string_view(c.text);
    const auto original = Make(c.options);
    std::vector<Chunk> chunks;
    original->Push(text.substr(0, bytes), Slice(c.tokens, 0, tokens), &chunks);
    const auto clone = original->Clone();
    const auto ended = original->Clone();
    const auto strange = original->Clone();
    std::vector<Chunk> cloned = chunks, unused;
    const auto rest = Slice(c.tokens, tokens, c.tokens.size());
    // What others do in between is nothing to it.
    ended->Flush(&unused);
    strange->Push(other, {}, &unused);
    clone->Push(text.substr(bytes), rest, &cloned);
    clone->Flush(&cloned);
    RC_ASSERT(cloned == whole);
    original->Push(text.substr(bytes), rest, &chunks);
    original->Flush(&chunks);
    RC_ASSERT(chunks == whole);
  }));
}

// Texts without any place for a cut, or with nothing else.
TEST_P(ChunkerConformance, MonotonousTextsKeepTheLimit) {
  for (const std::string& unit :
       {std::string("a"), std::string("QmFzZTY0"), std::string("\xE6\x9D\xB1"),
        std::string("\xF0\x9F\x98\x80"), std::string("\r\n"), std::string("\t"),
        std::string("\f"), std::string("\x01", 1), std::string("\xFF"),
        std::string("A. "), std::string("# H\n"), std::string("\xCC\x81"),
        std::string("-"), std::string("\"")}) {
    std::string text;
    while (text.size() < 100000) text += unit;
    for (const bool keep_spaces : {false, true}) {
      const TokenSequence tokens = ToyTokenize(text, keep_spaces);
      const auto chunker = Make({.max_tokens = 126});
      int64_t next = 0;
      for (const Chunk& chunk : CutAtOnce(*chunker, text, tokens)) {
        ASSERT_EQ(chunk.begin, next) << unit;
        ASSERT_LE(chunk.window_size(), 126) << unit;
        next = chunk.end;
      }
      ASSERT_EQ(next, int64_t(tokens.size())) << unit;
    }
  }
}

// Documents of token ids: no text, no offsets.
TEST_P(ChunkerConformance, TokenIdsAreEnoughUnlessItNeedsText) {
  const auto chunker = Make({.max_tokens = 126});
  if (chunker->needs_text()) GTEST_SKIP() << GetParam() << " needs the text";
  TokenSequence tokens;
  tokens.ids.resize(1000);
  tokens.begin.resize(1000);
  tokens.end.resize(1000);
  const auto chunks = CutAtOnce(*chunker, "", tokens);
  ASSERT_FALSE(chunks.empty());
  EXPECT_EQ(chunks.back().end, 1000);
}

TEST_P(ChunkerConformance, NoTokensGiveNoChunks) {
  EXPECT_TRUE(CutAtOnce(*Make({.max_tokens = 126}), "", {}).empty());
  EXPECT_TRUE(CutAtOnce(*Make({.max_tokens = 126}), " \n ", {}).empty());
}

INSTANTIATE_TEST_SUITE_P(Chunkers, ChunkerConformance,
                         ::testing::ValuesIn(ChunkerRegistry().Names()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace longhand
