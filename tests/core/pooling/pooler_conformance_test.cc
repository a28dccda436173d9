// What every registered pooler must keep. Loops over the registry; the values
// of each are checked by hand-made cases below.

#include <random>
#include <string>
#include <vector>

#include "core/pooling/pooler.h"
#include "core/pooling/registry.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

std::unique_ptr<const Pooler> Make(const std::string& name) {
  return *(**PoolerRegistry().Find(name))();
}

class PoolerConformance : public ::testing::TestWithParam<std::string> {};

TEST_P(PoolerConformance, OneChunkIsTheDocumentBitForBit) {
  const auto pooler = Make(GetParam());
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int rows : {1, 3, 7, 128, 511}) {
    std::vector<float> hidden(size_t(rows) * 33), pooled(33), document(33);
    for (float& value : hidden) value = normal(random);
    pooler->PoolChunk(hidden.data(), rows, absl::MakeSpan(pooled));
    PoolState state;
    pooler->AddChunk(pooled, rows, &state);
    pooler->Finish(state, absl::MakeSpan(document));
    EXPECT_EQ(document, pooled);
  }
}

TEST_P(PoolerConformance, EqualRowsPoolToThatRow) {
  const auto pooler = Make(GetParam());
  const std::vector<float> hidden = {1, 2, 1, 2, 1, 2, 1, 2};
  std::vector<float> pooled(2), document(2);
  pooler->PoolChunk(hidden.data(), 4, absl::MakeSpan(pooled));
  PoolState state;
  pooler->AddChunk(pooled, 4, &state);
  pooler->AddChunk(pooled, 2, &state);
  pooler->Finish(state, absl::MakeSpan(document));
  EXPECT_EQ(document, (std::vector<float>{1, 2}));
}

INSTANTIATE_TEST_SUITE_P(Poolers, PoolerConformance,
                         ::testing::ValuesIn(PoolerRegistry().Names()),
                         [](const auto& parameter) { return parameter.param; });

// Two chunks: {1, 5}, {3, 1} and {8, -1}.
std::vector<float> PoolTwoChunks(const std::string& name) {
  const auto pooler = Make(name);
  const std::vector<float> first = {1, 5, 3, 1}, second = {8, -1};
  std::vector<float> pooled(2), document(2);
  PoolState state;
  pooler->PoolChunk(first.data(), 2, absl::MakeSpan(pooled));
  pooler->AddChunk(pooled, 2, &state);
  pooler->PoolChunk(second.data(), 1, absl::MakeSpan(pooled));
  pooler->AddChunk(pooled, 1, &state);
  pooler->Finish(state, absl::MakeSpan(document));
  return document;
}

TEST(Poolers, DocumentValues) {
  EXPECT_FLOAT_EQ(PoolTwoChunks("mean")[0], 4);
  EXPECT_FLOAT_EQ(PoolTwoChunks("mean")[1], 5.0f / 3);
  EXPECT_EQ(PoolTwoChunks("cls"), (std::vector<float>{4.5, 2}));
  EXPECT_EQ(PoolTwoChunks("max"), (std::vector<float>{8, 5}));
}

TEST(NormalizeL2, ScalesAndKeepsZero) {
  std::vector<float> vector = {3, 4}, zero = {0, 0};
  EXPECT_FLOAT_EQ(NormalizeL2(absl::MakeSpan(vector)), 5);
  EXPECT_FLOAT_EQ(vector[0], 0.6f);
  EXPECT_EQ(NormalizeL2(absl::MakeSpan(zero)), 0);
  EXPECT_EQ(zero, (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace longhand
