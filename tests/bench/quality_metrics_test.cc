#include <cmath>
#include <vector>

#include "bench/quality/answering.h"
#include "bench/quality/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand::quality {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::IsEmpty;

TEST(FindCorrectChunksTest, TheChunkThatHoldsTheWholeRange) {
  const std::vector<ByteRange> chunks = {{0, 100}, {100, 200}, {200, 300}};
  const CorrectChunks correct = FindCorrectChunks({120, 180}, chunks);
  EXPECT_THAT(correct.indices, ElementsAre(1));
  EXPECT_TRUE(correct.majority);
}

TEST(FindCorrectChunksTest, MoreThanHalfIsNeeded) {
  const std::vector<ByteRange> chunks = {{0, 151}, {151, 300}};
  EXPECT_THAT(FindCorrectChunks({100, 200}, chunks).indices, ElementsAre(0));
  // Exactly half each: none holds most, both hold the most that one does.
  const std::vector<ByteRange> even = {{0, 150}, {150, 300}};
  const CorrectChunks halves = FindCorrectChunks({100, 200}, even);
  EXPECT_THAT(halves.indices, ElementsAre(0, 1));
  EXPECT_FALSE(halves.majority);
}

TEST(FindCorrectChunksTest, SmallChunksThatCutTheRangeToPieces) {
  const std::vector<ByteRange> chunks = {{0, 20}, {20, 60}, {60, 90}};
  const CorrectChunks correct = FindCorrectChunks({0, 90}, chunks);
  EXPECT_THAT(correct.indices, ElementsAre(1));
  EXPECT_FALSE(correct.majority);
}

TEST(FindCorrectChunksTest, OverlappingChunksMayAllBeRight) {
  const std::vector<ByteRange> chunks = {{0, 100}, {50, 150}, {100, 200}};
  EXPECT_THAT(FindCorrectChunks({60, 90}, chunks).indices, ElementsAre(0, 1));
}

TEST(FindCorrectChunksTest, ARangeBetweenChunksHasNone) {
  const std::vector<ByteRange> chunks = {{0, 10}, {20, 30}};
  EXPECT_THAT(FindCorrectChunks({10, 20}, chunks).indices, IsEmpty());
  EXPECT_THAT(FindCorrectChunks({10, 20}, {}).indices, IsEmpty());
}

TEST(RankOfBestTest, CountsTheBetterOnes) {
  const std::vector<float> scores = {.9f, .2f, .5f, .7f};
  EXPECT_EQ(RankOfBest(scores, {0}), 1);
  EXPECT_EQ(RankOfBest(scores, {2}), 3);
  EXPECT_EQ(RankOfBest(scores, {1}), 4);
}

TEST(RankOfBestTest, ATieCountsAgainstTheAnswer) {
  const std::vector<float> scores = {.5f, .5f, .5f, .1f};
  EXPECT_EQ(RankOfBest(scores, {0}), 3);
  EXPECT_EQ(RankOfBest(scores, {2}), 3);
  // Equal vectors may score differently in the last bits.
  const std::vector<float> nearly = {std::nextafter(.5f, 0.f), .5f};
  EXPECT_EQ(RankOfBest(nearly, {1}), 2);
}

TEST(RankOfBestTest, TheBestOfSeveralAnswersCountsAndTheOthersDoNotCompete) {
  const std::vector<float> scores = {.8f, .9f, .7f, .7f};
  EXPECT_EQ(RankOfBest(scores, {0, 1}), 1);
  EXPECT_EQ(RankOfBest(scores, {0, 3}), 2);
  EXPECT_EQ(RankOfBest(scores, {2, 3}), 3);
}

TEST(RankOfBestTest, NoAnswerIsNeverFound) {
  EXPECT_EQ(RankOfBest({.1f, .2f}, {}), 0);
  EXPECT_EQ(ReciprocalRank(0), 0);
}

TEST(ComputeMetricsTest, ByHand) {
  const RetrievalMetrics metrics = ComputeMetrics({1, 2, 10, 11, 0});
  EXPECT_EQ(metrics.queries, 5);
  EXPECT_DOUBLE_EQ(metrics.mrr, (1 + .5 + .1 + 1. / 11) / 5);
  EXPECT_DOUBLE_EQ(metrics.recall_at_1, .2);
  EXPECT_DOUBLE_EQ(metrics.recall_at_10, .6);
  EXPECT_EQ(ComputeMetrics({}).mrr, 0);
}

TEST(BootstrapMeanTest, EqualDifferencesHaveNoSpread) {
  const Interval interval = BootstrapMean({.25, .25, .25}, {0, 1, 2}, 100, 1);
  EXPECT_DOUBLE_EQ(interval.mean, .25);
  EXPECT_DOUBLE_EQ(interval.low, .25);
  EXPECT_DOUBLE_EQ(interval.high, .25);
  EXPECT_EQ(BootstrapMean({}, {}, 100, 1).high, 0);
}

TEST(BootstrapMeanTest, OneGroupIsOneObservation) {
  // Every sample of one group is that group: no spread, though values differ.
  const Interval interval = BootstrapMean({0, 1, 2, 3}, {5, 5, 5, 5}, 100, 1);
  EXPECT_DOUBLE_EQ(interval.low, 1.5);
  EXPECT_DOUBLE_EQ(interval.high, 1.5);
}

TEST(BootstrapMeanTest, IntervalOfIndependentValuesIsNearTheNormalOne) {
  // 400 values, half 0 and half 1: standard error 0.5 / 20 = 0.025.
  std::vector<double> values(400);
  std::vector<int> groups(400);
  for (int i = 0; i < 400; ++i) {
    values[i] = i % 2;
    groups[i] = i;
  }
  const Interval interval = BootstrapMean(values, groups, 4000, 7);
  EXPECT_DOUBLE_EQ(interval.mean, .5);
  EXPECT_NEAR(interval.low, .5 - 1.96 * .025, .005);
  EXPECT_NEAR(interval.high, .5 + 1.96 * .025, .005);
  const Interval again = BootstrapMean(values, groups, 4000, 7);
  EXPECT_EQ(interval.low, again.low);
}

// Two documents of two chunks, hidden size 2.
class RankAnswersTest : public ::testing::Test {
 protected:
  const DocumentVectors first_ = {.spans = {{0, 10}, {10, 20}},
                                  .vectors = {1, 0, 0, 1}};
  const DocumentVectors second_ = {.spans = {{0, 15}, {15, 20}},
                                   .vectors = {.8f, .6f, .6f, .8f}};
  const std::vector<const DocumentVectors*> pool_ = {&first_, &second_};
};

TEST_F(RankAnswersTest, OverAllDocuments) {
  const std::vector<float> query = {1, 0};  // scores 1, 0, .8, .6
  const std::vector<Question> questions = {
      {query, 0, {2, 8}}, {query, 0, {12, 18}}, {query, 1, {2, 8}}};
  const Answers answers = RankAnswers(pool_, questions, false);
  EXPECT_THAT(answers.ranks, ElementsAre(1, 4, 2));
  EXPECT_EQ(answers.undivided, 3);
}

TEST_F(RankAnswersTest, WithinTheDocument) {
  const std::vector<float> query = {0, 1};  // scores 0, 1, .6, .8
  const std::vector<Question> questions = {
      {query, 0, {2, 8}}, {query, 1, {14, 20}}, {query, 1, {0, 20}}};
  const Answers answers = RankAnswers(pool_, questions, true);
  EXPECT_THAT(answers.ranks, ElementsAre(2, 1, 2));
}

TEST_F(RankAnswersTest, DocumentVectorsAreAddedAndNormalised) {
  const DocumentVectors added =
      AddDocumentVector(first_, Addition::kFirstChunk, 1);
  const float half = std::sqrt(.5f);
  EXPECT_THAT(added.vectors,
              ElementsAre(1, 0, FloatNear(half, 1e-6), FloatNear(half, 1e-6)));
  const DocumentVectors mean =
      AddDocumentVector(first_, Addition::kDocumentMean, 2);
  // (1, 0) + 2 (.5, .5) = (2, 1), scaled.
  EXPECT_NEAR(mean.vectors[0], 2 / std::sqrt(5.), 1e-6);
  EXPECT_NEAR(mean.vectors[1], 1 / std::sqrt(5.), 1e-6);
  const DocumentVectors none =
      AddDocumentVector(second_, Addition::kFirstChunk, 0);
  EXPECT_NEAR(none.vectors[2], .6, 1e-6);
}

}  // namespace
}  // namespace longhand::quality
