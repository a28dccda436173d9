#include "core/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/error.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kMiniLm[] = LONGHAND_MODEL_DIR "/tokenizer.json";
constexpr char kByteBpe[] = LONGHAND_TESTDATA_DIR "/tokenizers/byte_bpe.json";

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::unique_ptr<const Tokenizer> LoadOrDie(const std::string& path) {
  auto tokenizer = Tokenizer::Load(path);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TokenSequence EncodeOrDie(const Tokenizer& tokenizer, std::string_view text,
                          uint64_t base_offset = 0) {
  TokenSequence tokens;
  const absl::Status status = tokenizer.Encode(text, base_offset, &tokens);
  EXPECT_TRUE(status.ok()) << status;
  return tokens;
}

void ExpectError(const absl::Status& status, absl::StatusCode code,
                 std::string_view reason) {
  EXPECT_EQ(status.code(), code) << status;
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value()) << status;
  EXPECT_EQ(detail->reason, reason);
}

void ExpectInvalid(std::string_view json) {
  const auto tokenizer = Tokenizer::FromJson(json);
  ExpectError(tokenizer.status(), absl::StatusCode::kInvalidArgument,
              "TOKENIZER_INVALID");
}

// The byte-level tokenizer with `change` made to its JSON.
template <typename Change>
absl::StatusOr<std::unique_ptr<const Tokenizer>> Changed(Change change) {
  nlohmann::json json = nlohmann::json::parse(ReadAll(kByteBpe));
  change(&json);
  return Tokenizer::FromJson(json.dump());
}

TEST(TokenizerTest, MiniLmKnownTokens) {
  const auto tokenizer = LoadOrDie(kMiniLm);
  EXPECT_EQ(tokenizer->vocab_size(), 30522);
  EXPECT_THAT(tokenizer->prefix_ids(), ElementsAre(101));
  EXPECT_THAT(tokenizer->suffix_ids(), ElementsAre(102));
  EXPECT_TRUE(tokenizer->splits_at_whitespace());
  EXPECT_EQ(tokenizer->IdToToken(101), "[CLS]");
  EXPECT_EQ(tokenizer->IdToToken(30522), "");
  EXPECT_EQ(tokenizer->IdToToken(-1), "");

  // "ï" is two bytes in the text and loses its accent before the model.
  const TokenSequence tokens =
      EncodeOrDie(*tokenizer, "Hello, na\xC3\xAFve [MASK]!", 100);
  EXPECT_THAT(tokens.ids, ElementsAre(7592, 1010, 15743, 103, 999));
  EXPECT_THAT(tokens.begin, ElementsAre(100, 105, 107, 114, 120));
  EXPECT_THAT(tokens.end, ElementsAre(105, 106, 113, 120, 121));
}

// The file asks for 128 tokens, both as truncation and as padding.
TEST(TokenizerTest, IgnoresTruncationAndPaddingOfTheFile) {
  const nlohmann::json json = nlohmann::json::parse(ReadAll(kMiniLm));
  ASSERT_FALSE(json["truncation"].is_null());
  ASSERT_FALSE(json["padding"].is_null());
  const auto tokenizer = LoadOrDie(kMiniLm);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "word ";
  EXPECT_EQ(EncodeOrDie(*tokenizer, text).size(), 1000u);
  EXPECT_EQ(EncodeOrDie(*tokenizer, "word").size(), 1u);
}

TEST(TokenizerTest, ByteBpeTrimsOffsetsByCharacters) {
  const auto tokenizer = LoadOrDie(kByteBpe);
  EXPECT_THAT(tokenizer->prefix_ids(), ElementsAre(0));
  EXPECT_THAT(tokenizer->suffix_ids(), ElementsAre(2));
  EXPECT_TRUE(tokenizer->splits_at_whitespace());
  // <mask> swallows the ideographic space before it, three bytes long, and the
  // post-processor takes it out of the offsets again.
  const TokenSequence tokens =
      EncodeOrDie(*tokenizer, "a\xE3\x80\x80<mask> the");
  EXPECT_THAT(tokens.begin, ElementsAre(0, 4, 11));
  EXPECT_THAT(tokens.end, ElementsAre(1, 10, 14));
}

TEST(TokenizerTest, AppendsAndTakesEmptyText) {
  const auto tokenizer = LoadOrDie(kMiniLm);
  TokenSequence tokens;
  ASSERT_TRUE(tokenizer->Encode("one", 0, &tokens).ok());
  ASSERT_TRUE(tokenizer->Encode("", 3, &tokens).ok());
  ASSERT_TRUE(tokenizer->Encode(" two", 3, &tokens).ok());
  EXPECT_THAT(tokens.begin, ElementsAre(0, 4));
  EXPECT_THAT(tokens.end, ElementsAre(3, 7));
}

TEST(TokenizerTest, EncodeRefusesTextThatIsNotUtf8) {
  const auto tokenizer = LoadOrDie(kMiniLm);
  TokenSequence tokens;
  const absl::Status status = tokenizer->Encode("ab\xFFz", 1000, &tokens);
  ExpectError(status, absl::StatusCode::kInvalidArgument, "INVALID_UTF8");
  EXPECT_EQ(GetErrorDetail(status)->metadata.at("byte_offset"), "1002");
  EXPECT_TRUE(tokens.empty());
}

TEST(TokenizerTest, CountsAddedTokensBeyondTheModel) {
  const int32_t before = LoadOrDie(kByteBpe)->vocab_size();
  const auto tokenizer = Changed([&](nlohmann::json* json) {
    nlohmann::json token = (*json)["added_tokens"][0];
    token["content"] = "<extra>";
    token["id"] = before;
    (*json)["added_tokens"].push_back(token);
  });
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), before + 1);
  EXPECT_EQ((*tokenizer)->IdToToken(before), "<extra>");
  EXPECT_THAT(EncodeOrDie(**tokenizer, "<extra>").ids, ElementsAre(before));
}

TEST(TokenizerTest, LearnsAnyFrame) {
  const auto none = Changed(
      [](nlohmann::json* json) { (*json)["post_processor"] = nullptr; });
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_THAT((*none)->prefix_ids(), IsEmpty());
  EXPECT_THAT((*none)->suffix_ids(), IsEmpty());

  const auto special = [](const char* id) {
    return nlohmann::json{{"SpecialToken", {{"id", id}, {"type_id", 0}}}};
  };
  const nlohmann::json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const auto template_of = [&](const nlohmann::json& single) {
    return [single](nlohmann::json* json) {
      nlohmann::json tokens;
      for (const auto& [name, id] : {std::pair("<s>", 0), {"</s>", 2}}) {
        tokens[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
      }
      (*json)["post_processor"] = {{"type", "TemplateProcessing"},
                                   {"single", single},
                                   {"pair", single},
                                   {"special_tokens", tokens}};
    };
  };
  const auto suffix_only =
      Changed(template_of({sequence, special("</s>"), special("</s>")}));
  ASSERT_TRUE(suffix_only.ok()) << suffix_only.status();
  EXPECT_THAT((*suffix_only)->prefix_ids(), IsEmpty());
  EXPECT_THAT((*suffix_only)->suffix_ids(), ElementsAre(2, 2));

  // A sequence that is doubled or dropped has no place in a document.
  for (const nlohmann::json& single :
       {nlohmann::json{sequence, special("<s>"), sequence},
        nlohmann::json{special("<s>")}}) {
    ExpectError(Changed(template_of(single)).status(),
                absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID");
  }
}

TEST(TokenizerTest, MissingFile) {
  const auto tokenizer = Tokenizer::Load("no/such/tokenizer.json");
  ExpectError(tokenizer.status(), absl::StatusCode::kNotFound,
              "TOKENIZER_MISSING");
  EXPECT_THAT(tokenizer.status().message(), HasSubstr("needs tokenizer.json"));
}

TEST(TokenizerTest, PathThatIsNoRegularFile) {
  for (const char* path : {LONGHAND_TESTDATA_DIR, "/dev/null", "/dev/zero"}) {
    ExpectError(Tokenizer::Load(path).status(),
                absl::StatusCode::kInvalidArgument, "TOKENIZER_INVALID");
  }
}

TEST(TokenizerTest, FileOverTheLimit) {
  const std::string path = ::testing::TempDir() + "/huge_tokenizer.json";
  std::ofstream(path).put('{');
  std::filesystem::resize_file(path, (uint64_t{256} << 20) + 1);  // sparse
  const auto tokenizer = Tokenizer::Load(path);
  std::filesystem::remove(path);
  ExpectError(tokenizer.status(), absl::StatusCode::kInvalidArgument,
              "TOKENIZER_INVALID");
  EXPECT_THAT(tokenizer.status().message(), HasSubstr("256 MiB"));
}

TEST(TokenizerTest, GarbageIsRefused) {
  for (const std::string_view json :
       {"", "{", "null", "[]", "{}", "\xFF\xFE", "{\"model\":{}}",
        "{\"version\":\"1.0\",\"model\":{\"type\":\"Nonsense\"}}"}) {
    ExpectInvalid(json);
  }
}

TEST(TokenizerTest, DeepJsonIsRefused) {
  ExpectInvalid(std::string(100000, '['));
  std::string nested = "null";
  for (int i = 0; i < 10000; ++i) {
    nested = "{\"type\":\"Sequence\",\"normalizers\":[" + nested + "]}";
  }
  std::string json = ReadAll(kByteBpe);
  const std::string before = "\"normalizer\":null";
  json.replace(json.find(before), before.size(), "\"normalizer\":" + nested);
  ExpectInvalid(json);
}

TEST(TokenizerTest, TruncatedFileIsRefused) {
  const std::string json = ReadAll(kByteBpe);
  for (size_t size = 0; size + 2 < json.size(); size += 997) {
    ExpectInvalid(std::string_view(json).substr(0, size));
  }
}

TEST(TokenizerTest, UnusableVocabularyIsRefused) {
  const auto word_level = [](const nlohmann::json& vocab) {
    return Changed([&](nlohmann::json* json) {
      (*json)["model"] = {
          {"type", "WordLevel"}, {"vocab", vocab}, {"unk_token", "[UNK]"}};
      (*json)["added_tokens"] = nlohmann::json::array();
      (*json)["post_processor"] = nullptr;
    });
  };
  EXPECT_TRUE(word_level({{"[UNK]", 0}, {"a", 5}}).ok());
  for (const nlohmann::json& vocab :
       {nlohmann::json::object(), nlohmann::json{{"a", 0}},
        nlohmann::json{{"[UNK]", 4294967295}},
        nlohmann::json{{"[UNK]", 2147483647}},
        nlohmann::json{{"[UNK]", 4294967296}}, nlohmann::json{{"[UNK]", -1}}}) {
    ExpectError(word_level(vocab).status(), absl::StatusCode::kInvalidArgument,
                "TOKENIZER_INVALID");
  }
}

// Ids above the number of entries happen in real files.
TEST(TokenizerTest, SparseIdsCountByTheHighest) {
  const auto tokenizer = Changed([](nlohmann::json* json) {
    (*json)["model"]["vocab"]["~~unused~~"] = 70000;
  });
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 70001);
}

TEST(TokenizerTest, ThreadsGetTheSameTokens) {
  const auto tokenizer = LoadOrDie(kByteBpe);
  const std::string text = ReadAll(kByteBpe);
  const TokenSequence expected = EncodeOrDie(*tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<TokenSequence> results(4);
  for (TokenSequence& result : results) {
    threads.emplace_back([&] { result = EncodeOrDie(*tokenizer, text); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const TokenSequence& result : results) {
    EXPECT_EQ(result.ids, expected.ids);
    EXPECT_EQ(result.begin, expected.begin);
    EXPECT_EQ(result.end, expected.end);
  }
}

}  // namespace
}  // namespace longhand
