#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/peers/commands.h"
#include "bench/peers/document_batch.h"
#include "bench/peers/matmul_peak.h"
#include "bench/peers/token_documents.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/core/base/temp_dir.h"
#include "tests/core/engine/encode_harness.h"

namespace longhand::peers {
namespace {

using ::testing::HasSubstr;

std::string Bytes(const std::vector<unsigned char>& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

TEST(TokenDocuments, HaveTheFormOfTheDriver) {
  // peers_driver_test.py has the same bytes.
  const std::string bytes =
      Bytes({2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0,
             0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0});
  const TokenDocuments documents = {{263}, {8, 9}};
  EXPECT_EQ(FormatDocuments(documents), bytes);
  const auto parsed = ParseDocuments(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, documents);
}

TEST(TokenDocuments, AreRefusedIfCutOrContradictory) {
  const std::string whole = FormatDocuments({{1, 2}, {3}});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseDocuments(whole.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ParseDocuments(whole + "1234").ok());
  EXPECT_FALSE(ParseDocuments(FormatDocuments({{1}, {}})).ok());
  // Ends that fall; a count that is not there.
  EXPECT_FALSE(ParseDocuments(Bytes({2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0,
                                     0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}))
                   .ok());
  EXPECT_FALSE(ParseDocuments(std::string(8, '\xff')).ok());
  EXPECT_FALSE(ParseDocuments(std::string(8, '\x7f')).ok());
}

TEST(MatmulPeak, CountsTheLayersOfTheModel) {
  ModelConfig config;
  config.hidden_size = 384;
  config.num_layers = 6;
  config.num_heads = 12;
  config.intermediate_size = 1536;
  EXPECT_EQ(LayerShapes(config),
            (std::vector<LinearShape>{
                {384, 1152}, {384, 384}, {384, 1536}, {1536, 384}}));
  EXPECT_EQ(FlopsPerRow(config), 6 * 2 * 12 * 384 * 384);
}

TEST(MatmulPeak, GivesRowsAtTheRateOfItsFlops) {
  const ModelConfig& config = testing::TinyModel()->config();
  for (const Precision precision : {Precision::kFp32, Precision::kInt8}) {
    const auto peak = MatmulPeak::Create(config, precision);
    ASSERT_TRUE(peak.ok()) << peak.status();
    const PeakRate rate = peak->Measure({{{16, 2}, {40, 1}}}, 2, 0.01);
    EXPECT_GT(rate.rows_per_second, 0);
    EXPECT_DOUBLE_EQ(rate.flops_per_second,
                     rate.rows_per_second * double(FlopsPerRow(config)));
  }
}

TEST(PeakCommand, IsReadAndChecked) {
  const auto parse = [](const char* text) {
    return ParsePeakCommand(nlohmann::json::parse(text));
  };
  const auto command = parse(R"({"rows": [[256, 16], [3, 1]], "seconds": 1})");
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(command->seconds, 1);
  ASSERT_EQ(command->chunks.size(), 2u);
  EXPECT_EQ(command->chunks[0].rows, 256);
  EXPECT_EQ(command->chunks[0].chunks, 16);
  for (const char* text :
       {R"({"rows": [[256, 16]]})", R"({"seconds": 1})",
        R"({"rows": [], "seconds": 1})", R"({"rows": [[0, 1]], "seconds": 1})",
        R"({"rows": [[1, -1]], "seconds": 1})",
        R"({"rows": [[1, 1, 1]], "seconds": 1})",
        R"({"rows": [[1.5, 1]], "seconds": 1})",
        R"({"rows": [1, 1], "seconds": 1})",
        R"({"rows": [[1, 1]], "seconds": -1})"}) {
    EXPECT_FALSE(parse(text).ok()) << text;
  }
}

TokenDocuments SomeDocuments() {
  TokenDocuments documents;
  for (const int tokens : {30, 1, 62, 17, 30}) {
    documents.push_back(testing::RandomIds(tokens, uint32_t(tokens)));
  }
  return documents;
}

EncodeOptions OneChunkEach() {
  EncodeOptions options;
  options.chunk_tokens = 64;
  options.chunk_vectors = false;
  return options;
}

TEST(EncodeBatch, GivesWhatEachDocumentGivesAlone) {
  const auto encoder = testing::MakeEncoder(testing::TinyModel());
  const TokenDocuments documents = SomeDocuments();
  const auto batch = EncodeBatch(*encoder, OneChunkEach(), documents);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->chunks, 5);
  EXPECT_EQ(batch->content_tokens, 140u);
  std::vector<float> alone;
  for (const std::vector<int32_t>& ids : documents) {
    const auto encoded = testing::EncodeIds(*encoder, ids, OneChunkEach());
    ASSERT_TRUE(encoded.summary.ok()) << encoded.summary.status();
    const std::vector<float>& vector = encoded.summary->document_vector;
    alone.insert(alone.end(), vector.begin(), vector.end());
  }
  EXPECT_EQ(batch->vectors, alone);
}

// What the comparison with other programs rests on: a document of one chunk has
// nothing to retrieve, so the defaults give the plain encoder's vectors.
TEST(EncodeBatch, OfOneChunkEachIsThePlainEncoder) {
  const auto encoder = testing::MakeEncoder(testing::TinyModel());
  EncodeOptions independent = OneChunkEach();
  independent.mechanism = "independent";
  const auto plain = EncodeBatch(*encoder, independent, SomeDocuments());
  const auto standard = EncodeBatch(*encoder, OneChunkEach(), SomeDocuments());
  ASSERT_TRUE(plain.ok()) << plain.status();
  ASSERT_TRUE(standard.ok()) << standard.status();
  EXPECT_EQ(standard->vectors, plain->vectors);
}

TEST(EncodeBatch, ReportsTheDocumentThatFailed) {
  const auto encoder = testing::MakeEncoder(testing::TinyModel());
  const auto batch =
      EncodeBatch(*encoder, OneChunkEach(), {{5, 6}, {5, 100'000}});
  EXPECT_EQ(testing::ReasonOf(batch.status()), "DOCUMENT_FAILED");
  EXPECT_THAT(std::string(batch.status().message()), HasSubstr("document 2"));
}

TEST(CommandHandler, EncodesFilesIntoFiles) {
  const TempDir directory;
  const std::string ids = directory.path() + "/ids";
  const std::string vectors = directory.path() + "/vectors";
  ASSERT_TRUE(WriteDocuments(ids, SomeDocuments()).ok());
  CommandHandler handler(testing::MakeEncoder(testing::TinyModel()));
  const nlohmann::json command = {{"command", "encode"},
                                  {"documents", ids},
                                  {"vectors", vectors},
                                  {"options", {{"chunk_tokens", 64}}},
                                  {"repeats", 2}};
  const auto answer = handler.Handle(command.dump());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->at("chunks"), 5);
  EXPECT_EQ(answer->at("vectors"), 5);
  EXPECT_EQ(answer->at("size"), 64);
  const auto encoder = testing::MakeEncoder(testing::TinyModel());
  const auto expected = EncodeBatch(*encoder, OneChunkEach(), SomeDocuments());
  const auto written = ReadFile(vectors, 1 << 20);
  ASSERT_TRUE(expected.ok() && written.ok());
  ASSERT_EQ(written->size(), expected->vectors.size() * sizeof(float));
  EXPECT_EQ(
      std::memcmp(written->data(), expected->vectors.data(), written->size()),
      0);
}

TEST(CommandHandler, AnswersAndRefuses) {
  CommandHandler handler(testing::MakeEncoder(testing::TinyModel()));
  const auto info = handler.Handle(R"({"command": "info"})");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->at("workers"), 2);
  const auto memory = handler.Handle(R"({"command": "memory"})");
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_GT(memory->at("resident_bytes"), memory->at("weight_bytes"));
  const auto peak =
      handler.Handle(R"({"command": "peak", "rows": [[16, 1]], "seconds": 0})");
  ASSERT_TRUE(peak.ok()) << peak.status();
  EXPECT_GT(peak->at("gflops"), 0);
  for (const char* line :
       {"", "{", "[]", "{}", R"({"command": "dance"})",
        R"({"command": "encode"})", R"({"command": "tokenize"})",
        R"({"command": "tokenize", "text": "a", "documents": "b"})",
        R"({"command": "encode", "documents": "/none"})",
        R"({"command": "encode", "documents": "/none", "of": "words"})"}) {
    EXPECT_FALSE(handler.Handle(line).ok()) << line;
  }
}

}  // namespace
}  // namespace longhand::peers
