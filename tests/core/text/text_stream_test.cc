#include "core/text/text_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/text/utf8.h"
#include "tests/core/text/random_text.h"

namespace longhand {
namespace {

constexpr char kMiniLm[] = LONGHAND_MODEL_DIR "/tokenizer.json";
constexpr char kByteBpe[] = LONGHAND_TESTDATA_DIR "/tokenizers/byte_bpe.json";

class TextStreamTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::Load(GetParam());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  TokenSequence Encode(std::string_view text) {
    TokenSequence tokens;
    EXPECT_TRUE(tokenizer_->Encode(text, 0, &tokens).ok());
    return tokens;
  }

  std::unique_ptr<const Tokenizer> tokenizer_;
  std::mt19937_64 random_{20240131};
};

INSTANTIATE_TEST_SUITE_P(Tokenizers, TextStreamTest,
                         ::testing::Values(kMiniLm, kByteBpe),
                         [](const auto& test) {
                           return test.param == kMiniLm ? "MiniLm" : "ByteBpe";
                         });

void ExpectSame(const TokenSequence& actual, const TokenSequence& expected) {
  EXPECT_EQ(actual.ids, expected.ids);
  EXPECT_EQ(actual.begin, expected.begin);
  EXPECT_EQ(actual.end, expected.end);
}

// The "byte_offset" of INVALID_UTF8, or nullopt if `text` is accepted.
std::optional<std::string> InvalidAt(const Tokenizer& tokenizer,
                                     std::string_view text, size_t max_piece,
                                     std::mt19937_64* random) {
  const auto result = StreamText(tokenizer, text, 8, max_piece, random);
  if (result.ok()) return std::nullopt;
  const auto detail = GetErrorDetail(result.status());
  EXPECT_TRUE(detail.has_value()) << result.status();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(detail->reason, "INVALID_UTF8");
  return detail->metadata.at("byte_offset");
}

TEST_P(TextStreamTest, AnyCutsGiveTheTokensOfTheWholeText) {
  size_t early = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = RandomText(1 + i % 60, &random_);
    const size_t segment_bytes = 1 + random_() % 40;
    const auto result =
        StreamText(*tokenizer_, text, segment_bytes, 1 + i % 9, &random_);
    ASSERT_TRUE(result.ok()) << result.status();
    ExpectSame(result->tokens, Encode(text));
    early += result->tokens_before_finish;
    ASSERT_FALSE(HasFailure()) << "text " << i << ": " << text;
  }
  EXPECT_GT(early, 10000u);  // the cuts were used
}

TEST_P(TextStreamTest, OneLargeAppendIsTokenizedInSegments) {
  std::string text;
  while (text.size() < 300000) text += "some words, and more of them\n";
  TextStream stream(tokenizer_.get(), 4096);
  TokenSequence tokens;
  ASSERT_TRUE(stream.Append(text, &tokens).ok());
  EXPECT_EQ(stream.received_bytes(), text.size());
  EXPECT_LT(stream.held_bytes(), 4096u);
  EXPECT_GT(tokens.size(), 0u);
  ASSERT_TRUE(stream.Finish(&tokens).ok());
  EXPECT_EQ(stream.held_bytes(), 0u);
  ExpectSame(tokens, Encode(text));
}

TEST_P(TextStreamTest, HoldsTextWithoutAPlaceToCut) {
  // No ASCII white space follows a character of the list.
  const std::string unit = "abc\xC2\xA0\xCC\x81 \xE2\x80\x8B\n";
  std::string text;
  while (text.size() < 1000) text += unit;
  TextStream stream(tokenizer_.get(), 16);
  TokenSequence tokens;
  ASSERT_TRUE(stream.Append(text, &tokens).ok());
  EXPECT_EQ(stream.held_bytes(), text.size());
  EXPECT_TRUE(tokens.empty());
  ASSERT_TRUE(stream.Finish(&tokens).ok());
  ExpectSame(tokens, Encode(text));
}

TEST_P(TextStreamTest, UnbrokenTextHasALimitHoweverItArrives) {
  // A piece is a space and the letters that follow it.
  for (const size_t letters : {100u, 101u, 100000u}) {
    const std::string text = "some words " + std::string(letters, 'a') + " end";
    for (const size_t append_bytes : {1u, 7u, 1000000u}) {
      TextStream stream(tokenizer_.get(), 50, 101);
      TokenSequence tokens;
      absl::Status status;
      for (size_t at = 0; at < text.size() && status.ok(); at += append_bytes) {
        status = stream.Append(std::string_view(text).substr(at, append_bytes),
                               &tokens);
      }
      EXPECT_LE(stream.held_bytes(), 151u);
      if (letters == 100) {
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_TRUE(stream.Finish(&tokens).ok());
        continue;
      }
      const auto detail = GetErrorDetail(status);
      ASSERT_TRUE(detail.has_value()) << status;
      EXPECT_EQ(detail->reason, "TEXT_UNBROKEN");
      EXPECT_EQ(detail->metadata.at("limit_bytes"), "101");
      EXPECT_EQ(detail->metadata.at("byte_offset"), "10");
      EXPECT_EQ(stream.Finish(&tokens), status);
    }
  }
}

// The tokens, and the places where they can begin anew with the number of
// tokens before each, as a stream in single bytes gives them.
struct Restarts {
  TokenSequence tokens;
  std::vector<std::pair<uint64_t, size_t>> places;
};

Restarts RestartsOf(TextStream stream, std::string_view text) {
  Restarts result;
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_TRUE(stream.Append(text.substr(i, 1), &result.tokens).ok());
    const uint64_t place = stream.restart_byte();
    if (result.places.empty() || result.places.back().first != place) {
      result.places.push_back({place, result.tokens.size()});
    }
  }
  EXPECT_TRUE(stream.Finish(&result.tokens).ok());
  return result;
}

// The first `count` tokens of one sequence, then another.
TokenSequence Joined(const TokenSequence& first, size_t count,
                     TokenSequence rest) {
  rest.ids.insert(rest.ids.begin(), first.ids.begin(),
                  first.ids.begin() + int64_t(count));
  rest.begin.insert(rest.begin.begin(), first.begin.begin(),
                    first.begin.begin() + int64_t(count));
  rest.end.insert(rest.end.begin(), first.end.begin(),
                  first.end.begin() + int64_t(count));
  return rest;
}

TEST_P(TextStreamTest, GoesOnFromEveryPlaceToBeginAnew) {
  size_t tried = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string text = RandomText(1 + i % 60, &random_);
    const size_t segment_bytes = 1 + random_() % 40;
    const Restarts whole =
        RestartsOf(TextStream(tokenizer_.get(), segment_bytes), text);
    ExpectSame(whole.tokens, Encode(text));
    for (size_t p = 0; p < whole.places.size(); ++p) {
      const auto [byte, before] = whole.places[p];
      const Restarts rest =
          RestartsOf(TextStream::From(tokenizer_.get(), byte, segment_bytes),
                     std::string_view(text).substr(byte));
      ExpectSame(Joined(whole.tokens, before, rest.tokens), whole.tokens);
      // It finds the same places too.
      ASSERT_EQ(rest.places.size(), whole.places.size() - p);
      for (size_t k = 0; k < rest.places.size(); ++k) {
        EXPECT_EQ(rest.places[k].first, whole.places[p + k].first);
        EXPECT_EQ(rest.places[k].second + before, whole.places[p + k].second);
      }
      ++tried;
    }
    ASSERT_FALSE(HasFailure()) << "text " << i << ": " << text;
  }
  EXPECT_GT(tried, 1000u);
}

TEST_P(TextStreamTest, WhatIsOutDependsOnTheBytesAlone) {
  for (int i = 0; i < 300; ++i) {
    const std::string text = RandomText(1 + i % 60, &random_);
    const size_t segment_bytes = 1 + random_() % 40;
    TextStream at_once(tokenizer_.get(), segment_bytes);
    TextStream in_pieces(tokenizer_.get(), segment_bytes);
    TokenSequence all, parts;
    ASSERT_TRUE(at_once.Append(text, &all).ok());
    for (size_t at = 0, size; at < text.size(); at += size) {
      size = 1 + random_() % 50;
      ASSERT_TRUE(
          in_pieces.Append(std::string_view(text).substr(at, size), &parts)
              .ok());
    }
    ExpectSame(parts, all);
    EXPECT_EQ(in_pieces.restart_byte(), at_once.restart_byte());
  }
}

TEST_P(TextStreamTest, ACopyGoesOnOnItsOwn) {
  const std::string text = RandomText(60, &random_);
  TextStream stream(tokenizer_.get(), 20);
  TokenSequence tokens;
  ASSERT_TRUE(stream.Append(text, &tokens).ok());
  TextStream copy = stream;
  TokenSequence provisional = tokens;
  ASSERT_TRUE(copy.Finish(&provisional).ok());
  ExpectSame(provisional, Encode(text));
  const std::string more = " and more";
  ASSERT_TRUE(stream.Append(more, &tokens).ok());
  ASSERT_TRUE(stream.Finish(&tokens).ok());
  ExpectSame(tokens, Encode(text + more));
}

TEST_P(TextStreamTest, EmptyDocument) {
  TextStream stream(tokenizer_.get());
  TokenSequence tokens;
  EXPECT_TRUE(stream.Append("", &tokens).ok());
  EXPECT_TRUE(stream.Finish(&tokens).ok());
  EXPECT_TRUE(tokens.empty());
}

TEST_P(TextStreamTest, NulIsText) {
  const std::string text("a\0b \0 c", 7);
  const auto result = StreamText(*tokenizer_, text, 1, 1, &random_);
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectSame(result->tokens, Encode(text));
}

TEST_P(TextStreamTest, InvalidUtf8IsReportedAtItsFirstByte) {
  struct Case {
    const char* bytes;
    size_t valid;  // bytes before the bad sequence
  };
  const Case cases[] = {
      {"\x80", 0},                              // continuation without a start
      {"ab\xFF", 2},                            // never a byte of UTF-8
      {"a\xC0\xAF", 1},                         // overlong, two bytes
      {"a\xC1\xBF", 1},                         //
      {"\xE0\x9F\xBF", 0},                      // overlong, three bytes
      {"\xF0\x8F\xBF\xBF", 0},                  // overlong, four bytes
      {"\xED\x9F\xBF\xED\xA0\x80", 3},          // first surrogate
      {"\xED\xBF\xBF", 0},                      // last surrogate
      {"\xF4\x8F\xBF\xBF\xF4\x90\x80\x80", 4},  // above U+10FFFF
      {"\xF5\x80\x80\x80", 0},                  //
      {"\xE2\x82(", 0},     // cut short by another character
      {"\xF0\x9F\x98", 0},  // cut short by the end
      {"abc\xE2\x82", 3},   //
      {"abc\xC3", 3},       //
  };
  for (const Case& c : cases) {
    for (const std::string prefix : {"", "some words and some more words "}) {
      for (const size_t max_piece : {1u, 2u, 100u}) {
        EXPECT_EQ(InvalidAt(*tokenizer_, prefix + c.bytes, max_piece, &random_),
                  std::to_string(prefix.size() + c.valid))
            << ::testing::PrintToString(std::string(c.bytes));
      }
    }
  }
}

TEST_P(TextStreamTest, ErrorsStay) {
  TextStream stream(tokenizer_.get());
  TokenSequence tokens;
  const absl::Status first = stream.Append("a\xFF", &tokens);
  EXPECT_FALSE(first.ok());
  EXPECT_EQ(stream.Append("fine", &tokens), first);
  EXPECT_EQ(stream.Finish(&tokens), first);
}

TEST_P(TextStreamTest, RandomDamageIsFoundWhereTheTokenizerFindsIt) {
  for (int i = 0; i < 2000; ++i) {
    std::string text = RandomText(10, &random_);
    text[random_() % text.size()] = static_cast<char>(random_());
    TokenSequence tokens;
    const absl::Status whole = tokenizer_->Encode(text, 0, &tokens);
    const auto at = InvalidAt(*tokenizer_, text, 5, &random_);
    ASSERT_EQ(at.has_value(), !whole.ok());
    if (at.has_value()) {
      EXPECT_EQ(*at, GetErrorDetail(whole)->metadata.at("byte_offset"));
    }
  }
}

// Every sequence of up to three bytes, and the edges of the longer ones, by the
// table of well-formed sequences of the Unicode standard.
TEST(Utf8Test, AcceptsExactlyTheCharacters) {
  size_t complete = 0;
  size_t truncated = 0;
  std::string bytes(3, '\0');
  for (uint32_t value = 0; value < (1u << 24); ++value) {
    bytes[0] = static_cast<char>(value >> 16);
    bytes[1] = static_cast<char>(value >> 8);
    bytes[2] = static_cast<char>(value);
    const Utf8Char c = DecodeUtf8Char(bytes);
    complete += c.kind == Utf8Char::Kind::kComplete && c.size == 3;
    truncated += c.kind == Utf8Char::Kind::kTruncated;
  }
  EXPECT_EQ(complete, 0x10000u - 0x800u - 0x800u);  // less short, surrogates
  EXPECT_EQ(truncated, 0x100000u / 64u);            // the 16 higher planes
  EXPECT_EQ(DecodeUtf8Char("\xF4\x8F\xBF\xBF").code_point, 0x10FFFFu);
  EXPECT_EQ(DecodeUtf8Char("\xF0\x90\x80\x80").code_point, 0x10000u);
  EXPECT_EQ(DecodeUtf8Char("\xE2\x82\xAC").code_point, 0x20ACu);
  EXPECT_EQ(DecodeUtf8Char("\xC2\x80").code_point, 0x80u);
}

}  // namespace
}  // namespace longhand
