// Documents of a few MiB that give a stream no place to cut, or a tokenizer no
// place to split. Nothing is timed here: the test's time limit catches a step
// that is not linear.
#include <gtest/gtest.h>

#include "core/text/text_stream.h"
#include "tests/core/text/random_text.h"

namespace longhand {
namespace {

struct Input {
  const char* name;
  const char* unit;  // repeated
};

constexpr Input kInputs[] = {
    {"Letters", "a"},
    {"Spaces", " "},
    {"Newlines", "\n"},
    {"CombiningMarks", "\xCC\x81"},
    {"Ideographs", "\xE4\xB8\xAD"},
    {"SpecialTokens", "<mask>[MASK]"},
    {"Controls", "\x01"},
    {"Emoji", "\xF0\x9F\x98\x80"},
    {"Digits", "7"},
    {"Punctuation", "!"},
};

class LongInputTest
    : public ::testing::TestWithParam<std::tuple<const char*, Input>> {};

INSTANTIATE_TEST_SUITE_P(All, LongInputTest,
                         ::testing::Combine(::testing::Values("minilm",
                                                              "byte_bpe"),
                                            ::testing::ValuesIn(kInputs)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::get<1>(test.param).name;
                         });

TEST_P(LongInputTest, StreamsInLinearTime) {
  const auto& [name, input] = GetParam();
  const std::string path = std::string(name) == "minilm" ? LONGHAND_MODEL_DIR
                               "/tokenizer.json"
                                                         : LONGHAND_TESTDATA_DIR
                               "/tokenizers/byte_bpe.json";
  const auto tokenizer = Tokenizer::Load(path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::string_view unit = input.unit;
  std::string text;
  while (text.size() < (size_t{2} << 20)) text += unit;

  std::mt19937_64 random(7);
  const auto in_bytes = StreamText(**tokenizer, text, 65536, 1, &random);
  ASSERT_TRUE(in_bytes.ok()) << in_bytes.status();
  EXPECT_EQ(in_bytes->max_held_bytes, text.size());
  EXPECT_EQ(in_bytes->tokens_before_finish, 0u);

  TextStream stream(tokenizer->get());
  TokenSequence whole;
  ASSERT_TRUE(stream.Append(text, &whole).ok());
  ASSERT_TRUE(stream.Finish(&whole).ok());
  EXPECT_EQ(in_bytes->tokens.ids, whole.ids);
  EXPECT_EQ(in_bytes->tokens.end, whole.end);
  if (!whole.empty()) {
    EXPECT_LE(whole.end.back(), text.size());
  }
}

}  // namespace
}  // namespace longhand
