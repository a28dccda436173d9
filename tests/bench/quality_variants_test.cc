#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/quality/report.h"
#include "bench/quality/variants.h"
#include "bench/quality/vector_cache.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand::quality {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseVariantsTest, TheCommittedFileIsValid) {
  const auto text = ReadFile(LONGHAND_VARIANTS_FILE, 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto variants = ParseVariants(*text);
  ASSERT_TRUE(variants.ok()) << variants.status();
  EXPECT_EQ(variants->front().name, "independent");
}

TEST(ParseVariantsTest, ReadsEveryKind) {
  const auto variants = ParseVariants(R"({"variants": [
    {"name": "a",
     "options": {"mechanism": "bsbr", "visibility": "two_pass", "gate": 0.25,
                 "head_gates": [0, 0.5], "retrieval_layers": [1, 3],
                 "features": "softmax", "merge": "balanced_lse", "top_k": 4,
                 "anchors": 2, "anchor_share": 0.5, "neighbors": 1,
                 "state_codec": "low_rank", "state_rank": 8,
                 "mechanism_options": {"window_tokens": 32, "seed": 0},
                 "global_tokens": [0, 5],
                 "chunker": "overlap", "chunk_tokens": 64,
                 "min_chunk_tokens": 16, "overlap_tokens": 32,
                 "pooling": "max", "anchor_weight": 1,
                 "document_weight": 0.75}},
    {"name": "b", "of": "a", "add": "document_mean", "weight": 0.5},
    {"name": "c", "of": "a", "prefix": "topic",
     "options": {"chunk_tokens": 256}}]})");
  ASSERT_TRUE(variants.ok()) << variants.status();
  const Variant& a = (*variants)[0];
  EXPECT_EQ(a.kind, VariantKind::kEncoded);
  EXPECT_EQ(a.options.mechanism, "bsbr");
  EXPECT_EQ(a.options.visibility, Visibility::kTwoPass);
  EXPECT_EQ(a.options.gate, .25f);
  EXPECT_THAT(a.options.head_gates, ElementsAre(0, .5f));
  EXPECT_THAT(a.options.retrieval_layers, ElementsAre(1, 3));
  EXPECT_EQ(a.options.features, FeatureMap::kSoftmax);
  EXPECT_EQ(a.options.merge, Merge::kBalancedLse);
  EXPECT_EQ(a.options.top_k, 4);
  EXPECT_EQ(a.options.anchors, 2);
  EXPECT_EQ(a.options.anchor_share, .5f);
  EXPECT_EQ(a.options.neighbors, 1);
  EXPECT_EQ(a.options.state_codec, "low_rank");
  EXPECT_EQ(a.options.state_rank, 8);
  EXPECT_EQ(a.options.mechanism_options,
            (MechanismOptions{.window_tokens = 32, .seed = 0}));
  EXPECT_THAT(a.options.global_tokens, ElementsAre(0, 5));
  EXPECT_EQ(a.options.chunker, "overlap");
  EXPECT_EQ(a.options.chunk_tokens, 64);
  EXPECT_EQ(a.options.min_chunk_tokens, 16);
  EXPECT_EQ(a.options.overlap_tokens, 32);
  EXPECT_EQ(a.options.pooling, "max");
  EXPECT_EQ(a.options.anchor_weight, 1);
  EXPECT_EQ(a.options.document_weight, .75f);
  const Variant& b = (*variants)[1];
  EXPECT_EQ(b.kind, VariantKind::kAdded);
  EXPECT_EQ(b.addition, Addition::kDocumentMean);
  EXPECT_EQ(b.weight, .5f);
  const Variant& c = (*variants)[2];
  EXPECT_EQ(c.kind, VariantKind::kPrefixed);
  EXPECT_EQ(c.options.chunk_tokens, 256);
}

TEST(ParseVariantsTest, RefusesMistakesAndSaysWhich) {
  const auto error = [](const std::string& variant) {
    const auto variants =
        ParseVariants("{\"variants\": [{\"name\": \"x\"}, " + variant + "]}");
    return variants.ok() ? std::string()
                         : std::string(variants.status().message());
  };
  EXPECT_EQ(error(R"({"name": "y", "of": "x", "prefix": "topic"})"), "");
  EXPECT_THAT(error(R"({"name": "y", "options": {"gates": 1}})"),
              HasSubstr("gates"));
  EXPECT_THAT(error(R"({"name": "y", "options": {"gate": "1"}})"),
              HasSubstr("gate"));
  EXPECT_THAT(error(R"({"name": "y", "options": {"visibility": "none"}})"),
              HasSubstr("visibility"));
  EXPECT_THAT(error(R"({"name": "y", "options": {"merge": "sum"}})"),
              HasSubstr("merge"));
  EXPECT_THAT(error(R"({"name": "y", "options": {"retrieval_layers": [1.5]}})"),
              HasSubstr("retrieval_layers"));
  for (const char* numbers :
       {R"({"window": 1})", R"({"seed": 1.5})", R"({"seed": "1"})", "[1]"}) {
    EXPECT_THAT(
        error(absl::StrCat(R"({"name": "y", "options": {"mechanism_options": )",
                           numbers, "}}")),
        HasSubstr("mechanism_options"))
        << numbers;
  }
  EXPECT_THAT(error(R"({"name": "x"})"), HasSubstr("two variants"));
  EXPECT_THAT(error(R"({"name": "y", "of": "z", "prefix": "topic"})"),
              HasSubstr("earlier"));
  EXPECT_THAT(error(R"({"name": "y", "of": "x"})"), HasSubstr("of goes with"));
  EXPECT_THAT(error(R"({"name": "y", "wieght": 1})"), HasSubstr("wieght"));
}

TEST(SelectVariantsTest, BringsWhatTheNamedOnesAreMadeOf) {
  const auto all = ParseVariants(R"({"variants": [
    {"name": "a"}, {"name": "b"},
    {"name": "c", "of": "b", "add": "first_chunk", "weight": 1},
    {"name": "slow", "on_request": true}]})");
  ASSERT_TRUE(all.ok()) << all.status();
  const auto selected = SelectVariants(*all, {"c"});
  ASSERT_TRUE(selected.ok());
  ASSERT_EQ(selected->size(), 2u);
  EXPECT_EQ((*selected)[0].name, "b");
  EXPECT_EQ(SelectVariants(*all, {})->size(), 3u);
  EXPECT_EQ(SelectVariants(*all, {"slow"})->size(), 1u);
  EXPECT_EQ(SelectVariants(*all, {"d"}).status().code(),
            absl::StatusCode::kNotFound);
}

class VectorCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/quality_vector_cache";
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  std::string directory_;
  const std::vector<DocumentVectors> documents_ = {
      {.spans = {{0, 5}, {5, 9}}, .vectors = {1, 2, 3, 4}, .encoded_tokens = 7},
      {}};
};

TEST_F(VectorCacheTest, GivesBackWhatWasStored) {
  const VectorCache cache(directory_);
  EXPECT_FALSE(cache.Load("key").has_value());
  ASSERT_TRUE(cache.Store("key", documents_).ok());
  const auto loaded = cache.Load("key");
  ASSERT_TRUE(loaded.has_value());
  ASSERT_EQ(loaded->size(), 2u);
  EXPECT_EQ((*loaded)[0].spans, documents_[0].spans);
  EXPECT_EQ((*loaded)[0].vectors, documents_[0].vectors);
  EXPECT_EQ((*loaded)[0].encoded_tokens, 7u);
  EXPECT_TRUE((*loaded)[1].spans.empty());
  EXPECT_FALSE(cache.Load("other").has_value());
}

TEST_F(VectorCacheTest, ADamagedFileIsNotUsed) {
  const VectorCache cache(directory_);
  ASSERT_TRUE(cache.Store("key", documents_).ok());
  const auto path = std::filesystem::directory_iterator(directory_)->path();
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put('\x7f');
  file.close();
  EXPECT_FALSE(cache.Load("key").has_value());
  std::filesystem::resize_file(path, 10);
  EXPECT_FALSE(cache.Load("key").has_value());
}

TEST(MrrDifferenceTest, IsPaired) {
  TaskResult result{.ranks = {1, 2, 0}, .groups = {0, 1, 2}};
  TaskResult baseline{.ranks = {2, 2, 4}, .groups = {0, 1, 2}};
  EXPECT_THAT(MrrDifference(result, baseline, 500).mean,
              DoubleEq((.5 + 0 - .25) / 3));
}

}  // namespace
}  // namespace longhand::quality
