// Tokenizer::splits_at_whitespace over many pipelines: each that claims it must
// give the same tokens for any cuts, and each that is known not to have the
// property must not claim it.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/text/tokenizer.h"
#include "tests/core/text/random_text.h"

namespace longhand {
namespace {

using Json = nlohmann::json;

Json ReadJson(const char* path) {
  return Json::parse(std::ifstream(path, std::ios::binary));
}

const Json& MiniLm() {
  static const Json* const json =
      new Json(ReadJson(LONGHAND_MODEL_DIR "/tokenizer.json"));
  return *json;
}

const Json& ByteBpe() {
  static const Json* const json =
      new Json(ReadJson(LONGHAND_TESTDATA_DIR "/tokenizers/byte_bpe.json"));
  return *json;
}

Json With(Json json, const std::vector<std::pair<std::string, Json>>& changes) {
  for (const auto& [key, value] : changes) json[key] = value;
  return json;
}

// `json` with a non-special added token that has `fields`.
Json WithToken(Json json, const Json& fields) {
  Json token = {{"id", 0},         {"content", "zebra"}, {"single_word", false},
                {"lstrip", false}, {"rstrip", false},    {"normalized", true},
                {"special", false}};
  token.update(fields);
  int id = 0;
  for (const auto& [content, value] : json["model"]["vocab"].items()) {
    id = std::max(id, value.get<int>() + 1);
    if (token["content"] == content) token["id"] = value;
  }
  if (token["id"] == 0) token["id"] = id;
  json["added_tokens"].push_back(token);
  return json;
}

Json Step(const char* type) { return {{"type", type}}; }

Json ByteLevel(bool add_prefix_space, bool use_regex = true) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json Bert(bool clean, bool chinese, const Json& accents, bool lowercase) {
  return {{"type", "BertNormalizer"},
          {"clean_text", clean},
          {"handle_chinese_chars", chinese},
          {"strip_accents", accents},
          {"lowercase", lowercase}};
}

Json Normalizers(const std::vector<Json>& steps) {
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json PreTokenizers(const std::vector<Json>& steps) {
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

Json Roberta(bool trim, bool add_prefix_space) {
  Json json = ByteBpe()["post_processor"];
  json["trim_offsets"] = trim;
  json["add_prefix_space"] = add_prefix_space;
  return json;
}

Json WordLevel(const Json& base) {
  return With(base, {{"model",
                      {{"type", "WordLevel"},
                       {"unk_token", "[UNK]"},
                       {"vocab", base["model"]["vocab"]}}}});
}

const Json kPunctuation = {{"type", "Punctuation"}, {"behavior", "Isolated"}};
const Json kDigits = {{"type", "Digits"}, {"individual_digits", true}};

std::vector<Json> SplittingPipelines() {
  std::vector<Json> pipelines = {
      MiniLm(),
      ByteBpe(),
      WordLevel(MiniLm()),
      With(MiniLm(), {{"normalizer", Bert(false, false, false, true)}}),
      With(MiniLm(), {{"normalizer", Bert(true, true, true, false)}}),
      // MPNet's <mask> swallows the white space before it.
      WithToken(MiniLm(), {{"content", "<mask>"},
                           {"lstrip", true},
                           {"normalized", false},
                           {"special", true}}),
      WithToken(MiniLm(), {{"single_word", true}}),
      WithToken(ByteBpe(), {{"lstrip", true}}),
      With(MiniLm(),
           {{"pre_tokenizer",
             PreTokenizers({Step("WhitespaceSplit"), kPunctuation, kDigits})}}),
      With(ByteBpe(),
           {{"pre_tokenizer",
             PreTokenizers({Step("Whitespace"), ByteLevel(true, false)})}}),
      With(ByteBpe(),
           {{"pre_tokenizer", PreTokenizers({ByteLevel(false), kDigits})}}),
      With(ByteBpe(), {{"post_processor", Roberta(false, true)}}),
      With(ByteBpe(), {{"post_processor", ByteLevel(false)}}),
      With(ByteBpe(), {{"post_processor", nullptr}}),
      With(ByteBpe(),
           {{"post_processor",
             {{"type", "Sequence"},
              {"processors", {ByteLevel(false), Roberta(false, false)}}}}}),
  };
  const std::vector<Json> normalizers = {
      nullptr,
      Step("NFC"),
      Step("NFD"),
      Step("NFKC"),
      Step("NFKD"),
      Step("Lowercase"),
      Step("StripAccents"),
      Normalizers({Step("NFKD"), Step("StripAccents"), Step("Lowercase")}),
      Normalizers({}),
  };
  for (const Json& normalizer : normalizers) {
    pipelines.push_back(With(ByteBpe(), {{"normalizer", normalizer}}));
    pipelines.push_back(WithToken(pipelines.back(), {{"lstrip", true}}));
    pipelines.push_back(With(MiniLm(), {{"normalizer", normalizer}}));
  }
  for (const char* type : {"Whitespace", "WhitespaceSplit"}) {
    pipelines.push_back(With(MiniLm(), {{"pre_tokenizer", Step(type)}}));
  }
  return pipelines;
}

std::string Describe(Json json) {
  json.erase("model");
  return json.dump();
}

TEST(PipelinesTest, CutsDoNotShowWhereTheyAreAllowed) {
  std::mt19937_64 random(11);
  for (const Json& json : SplittingPipelines()) {
    const auto tokenizer = Tokenizer::FromJson(json.dump());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status() << Describe(json);
    ASSERT_TRUE((*tokenizer)->splits_at_whitespace()) << Describe(json);
    size_t early = 0;
    for (int i = 0; i < 400; ++i) {
      std::string text = RandomText(1 + i % 40, &random);
      if (i % 3 == 0) text += "\n zebra" + RandomText(5, &random) + " zebra";
      TokenSequence whole;
      ASSERT_TRUE((*tokenizer)->Encode(text, 0, &whole).ok());
      const auto result = StreamText(**tokenizer, text, 1, 4, &random);
      ASSERT_TRUE(result.ok()) << result.status();
      ASSERT_EQ(result->tokens.ids, whole.ids) << Describe(json) << text;
      ASSERT_EQ(result->tokens.begin, whole.begin) << Describe(json) << text;
      ASSERT_EQ(result->tokens.end, whole.end) << Describe(json) << text;
      early += result->tokens_before_finish;
    }
    EXPECT_GT(early, 500u) << Describe(json);
  }
}

TEST(PipelinesTest, PipelinesThatSeeAcrossACutSaySo) {
  Json dropout = ByteBpe();
  dropout["model"]["dropout"] = 0.1;
  const Json unigram = {{"type", "Unigram"},
                        {"unk_id", 0},
                        {"vocab", Json::array({Json::array({"<unk>", 0.0}),
                                               Json::array({"a", -1.0})})}};
  const std::vector<Json> pipelines = {
      dropout,
      With(MiniLm(), {{"model", unigram}, {"added_tokens", Json::array()}}),
      With(MiniLm(), {{"pre_tokenizer", nullptr}}),
      With(MiniLm(), {{"pre_tokenizer", kDigits}}),
      With(MiniLm(), {{"pre_tokenizer", PreTokenizers({})}}),
      With(MiniLm(), {{"pre_tokenizer",
                       PreTokenizers({kPunctuation, Step("Whitespace")})}}),
      With(MiniLm(), {{"pre_tokenizer",
                       {{"type", "Metaspace"},
                        {"replacement", "\xE2\x96\x81"},
                        {"prepend_scheme", "always"},
                        {"split", true}}}}),
      With(
          MiniLm(),
          {{"normalizer",
            {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}}}),
      With(MiniLm(), {{"normalizer", Normalizers({Step("NFC"),
                                                  {{"type", "Prepend"},
                                                   {"prepend", "x"}}})}}),
      With(MiniLm(), {{"normalizer",
                       {{"type", "Replace"},
                        {"pattern", {{"String", " "}}},
                        {"content", "_"}}}}),
      With(ByteBpe(), {{"pre_tokenizer", ByteLevel(true)}}),
      With(ByteBpe(), {{"pre_tokenizer", ByteLevel(false, false)}}),
      With(ByteBpe(), {{"normalizer", Bert(true, true, nullptr, true)}}),
      With(ByteBpe(), {{"post_processor", Roberta(true, true)}}),
      With(ByteBpe(), {{"post_processor", ByteLevel(true)}}),
      WithToken(MiniLm(), {{"rstrip", true}}),
      WithToken(MiniLm(), {{"lstrip", true}}),
      WithToken(MiniLm(), {{"content", "new york"}}),
      WithToken(MiniLm(), {{"content", "\xE4\xB8\xAD"}}),  // gets spaces
      WithToken(MiniLm(), {{"content", "\x01"}}),          // normalizes away
  };
  for (const Json& json : pipelines) {
    const auto tokenizer = Tokenizer::FromJson(json.dump());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status() << Describe(json);
    EXPECT_FALSE((*tokenizer)->splits_at_whitespace()) << Describe(json);
  }
}

// Without the property the whole document is held, and is still exact.
TEST(PipelinesTest, OtherPipelinesHoldTheDocument) {
  const Json json = WithToken(MiniLm(), {{"rstrip", true}});
  const auto tokenizer = Tokenizer::FromJson(json.dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::mt19937_64 random(13);
  for (int i = 0; i < 200; ++i) {
    const std::string text =
        RandomText(10, &random) + " zebra \n x" + RandomText(10, &random);
    TokenSequence whole;
    ASSERT_TRUE((*tokenizer)->Encode(text, 0, &whole).ok());
    const auto result = StreamText(**tokenizer, text, 1, 4, &random);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->tokens_before_finish, 0u);
    EXPECT_EQ(result->max_held_bytes, text.size());
    EXPECT_EQ(result->tokens.ids, whole.ids);
    EXPECT_EQ(result->tokens.end, whole.end);
  }
}

}  // namespace
}  // namespace longhand
