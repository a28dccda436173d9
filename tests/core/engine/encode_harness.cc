#include "tests/core/engine/encode_harness.h"

#include <filesystem>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/base/temp_dir.h"
#include "tests/testing/golden.h"

namespace longhand::testing {
namespace {

std::string TinyDirectory() {
  return absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/bert");
}

// Single printable ASCII characters, at the start of a word and inside.
std::string CharacterTokenizer() {
  nlohmann::json vocab;
  int next = 0;
  for (const char* special : {"[PAD]", "[UNK]", "[CLS]", "[SEP]"}) {
    vocab[special] = next++;
  }
  for (char c = '!'; c <= '~'; ++c) {
    vocab[std::string(1, c)] = next++;
    vocab[absl::StrCat("##", std::string(1, c))] = next++;
  }
  nlohmann::json special_tokens;
  special_tokens["[CLS]"] = {
      {"id", "[CLS]"}, {"ids", {2}}, {"tokens", {"[CLS]"}}};
  special_tokens["[SEP]"] = {
      {"id", "[SEP]"}, {"ids", {3}}, {"tokens", {"[SEP]"}}};
  const nlohmann::json cls = {
      {"SpecialToken", {{"id", "[CLS]"}, {"type_id", 0}}}};
  const nlohmann::json sep = {
      {"SpecialToken", {{"id", "[SEP]"}, {"type_id", 0}}}};
  const nlohmann::json a = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const nlohmann::json tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", true},
        {"strip_accents", nullptr},
        {"lowercase", false}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {cls, a, sep}},
        {"pair", {cls, a, sep}},
        {"special_tokens", special_tokens}}},
      {"decoder", nullptr},
      {"model",
       {{"type", "WordPiece"},
        {"unk_token", "[UNK]"},
        {"continuing_subword_prefix", "##"},
        {"max_input_chars_per_word", 100},
        {"vocab", vocab}}}};
  return tokenizer.dump();
}

std::shared_ptr<const Model> LoadTinyTextModel() {
  const TempDir directory;
  directory.Write("tokenizer.json", CharacterTokenizer());
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(absl::StrCat(TinyDirectory(), "/", name),
                               absl::StrCat(directory.path(), "/", name));
  }
  return LoadModel(directory.path(), /*without_tokenizer=*/false);
}

}  // namespace

std::shared_ptr<const Model> LoadModel(const std::string& directory,
                                       bool without_tokenizer) {
  ModelOptions options;
  options.directory = directory;
  options.without_tokenizer = without_tokenizer;
  auto model = Model::Load(options);
  if (!model.ok()) ADD_FAILURE() << model.status();
  LH_CHECK(model.ok());
  return *model;
}

const std::shared_ptr<const Model>& MiniLm() {
  static const auto* const model = new std::shared_ptr<const Model>(
      LoadModel(LONGHAND_MODEL_DIR, /*without_tokenizer=*/false));
  return *model;
}

const std::shared_ptr<const Model>& TinyModel() {
  static const auto* const model = new std::shared_ptr<const Model>(
      LoadModel(TinyDirectory(), /*without_tokenizer=*/true));
  return *model;
}

const std::shared_ptr<const Model>& TinyTextModel() {
  static const auto* const model =
      new std::shared_ptr<const Model>(LoadTinyTextModel());
  return *model;
}

std::unique_ptr<Encoder> MakeEncoder(std::shared_ptr<const Model> model,
                                     EncoderOptions options) {
  if (options.workers == 0) options.workers = 2;
  auto encoder = Encoder::Create(std::move(model), std::move(options));
  LH_CHECK(encoder.ok());
  return *std::move(encoder);
}

Encoded EncodePieces(Encoder& encoder, const std::vector<std::string>& pieces,
                     const EncodeOptions& options) {
  Encoded encoded;
  auto document = encoder.Open(options, absl::InfiniteFuture(), encoded.sink);
  if (!document.ok()) {
    encoded.summary = document.status();
    return encoded;
  }
  for (const std::string& piece : pieces) {
    absl::Notification consumed;
    (*document)->Append(piece, [&] { consumed.Notify(); });
    consumed.WaitForNotification();
  }
  (*document)->Finish();
  encoded.summary = encoded.sink->Wait();
  return encoded;
}

Encoded EncodeIds(Encoder& encoder, std::vector<int32_t> ids,
                  const EncodeOptions& options) {
  Encoded encoded;
  auto document = encoder.Open(options, absl::InfiniteFuture(), encoded.sink);
  if (!document.ok()) {
    encoded.summary = document.status();
    return encoded;
  }
  (*document)->AppendIds(std::move(ids));
  (*document)->Finish();
  encoded.summary = encoded.sink->Wait();
  return encoded;
}

std::vector<int32_t> RandomIds(int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> id(4, 299);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& value : ids) value = id(random);
  return ids;
}

std::vector<std::string> CutRandomly(const std::string& text, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::string> pieces;
  for (size_t begin = 0; begin < text.size();) {
    const size_t size = 1 + random() % (random() % 4 == 0 ? 2000 : 20);
    pieces.push_back(text.substr(begin, size));
    begin += size;
  }
  return pieces;
}

std::string ReasonOf(const absl::Status& status) {
  auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

void ExpectSame(const Encoded& a, const Encoded& b, double tolerance) {
  ASSERT_TRUE(a.summary.ok()) << a.summary.status();
  ASSERT_TRUE(b.summary.ok()) << b.summary.status();
  const auto chunks_a = a.chunks(), chunks_b = b.chunks();
  ASSERT_EQ(chunks_a.size(), chunks_b.size());
  for (size_t i = 0; i < chunks_a.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(chunks_a[i].begin_byte, chunks_b[i].begin_byte);
    EXPECT_EQ(chunks_a[i].end_byte, chunks_b[i].end_byte);
    EXPECT_EQ(chunks_a[i].begin_token, chunks_b[i].begin_token);
    EXPECT_EQ(chunks_a[i].end_token, chunks_b[i].end_token);
    EXPECT_EQ(chunks_a[i].mix, chunks_b[i].mix);
    ASSERT_EQ(chunks_a[i].vector.size(), chunks_b[i].vector.size());
    EXPECT_LE(
        MaxAbsDifference(chunks_a[i].vector.data(), chunks_b[i].vector.data(),
                         chunks_a[i].vector.size()),
        tolerance);
  }
  ASSERT_EQ(a.summary->document_vector.size(),
            b.summary->document_vector.size());
  EXPECT_LE(MaxAbsDifference(a.summary->document_vector.data(),
                             b.summary->document_vector.data(),
                             a.summary->document_vector.size()),
            tolerance);
}

}  // namespace longhand::testing
