// Depth scores against their definition over a whole document, and where the
// semantic chunker cuts.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/chunking/depth_scorer.h"
#include "core/chunking/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rapidcheck.h"
#include "tests/core/chunking/toy_document.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;

struct ToyToken {
  int32_t id;
  bool begins_sentence;
};

// The mean vector of tokens [begin, end).
std::vector<double> Mean(const std::vector<ToyToken>& tokens,
                         const TokenTable& table, size_t begin, size_t end) {
  std::vector<double> mean(table.size);
  for (size_t t = begin; t < end; ++t) {
    for (int i = 0; i < table.size; ++i) {
      mean[i] +=
          table.rows[tokens[t].id * table.size + i] / double(end - begin);
    }
  }
  return mean;
}

double Cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

// The scores by the definition in depth_scorer.h.
std::vector<double> ScoresByDefinition(const std::vector<ToyToken>& tokens,
                                       const TokenTable& table,
                                       size_t max_unit_tokens) {
  std::vector<size_t> begins;  // of units
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (t == 0 || tokens[t].begins_sentence ||
        t - begins.back() == max_unit_tokens) {
      begins.push_back(t);
    }
  }
  const int units = int(begins.size());
  begins.push_back(tokens.size());
  std::vector<double> similarities(units);
  for (int gap = 1; gap < units; ++gap) {
    const int from = std::max(0, gap - DepthScorer::kBlockUnits);
    const int to = std::min(units, gap + DepthScorer::kBlockUnits);
    similarities[gap] = Cosine(Mean(tokens, table, begins[from], begins[gap]),
                               Mean(tokens, table, begins[gap], begins[to]));
  }
  std::vector<double> scores(tokens.size(), double(CutRank::kWord));
  for (int gap = 1; gap < units; ++gap) {
    if (!tokens[begins[gap]].begins_sentence) continue;
    int left = gap, right = gap;
    while (left > 1 && gap - left < DepthScorer::kClimbUnits &&
           similarities[left - 1] >= similarities[left]) {
      --left;
    }
    while (right + 1 < units && right - gap < DepthScorer::kClimbUnits &&
           similarities[right + 1] >= similarities[right]) {
      ++right;
    }
    scores[begins[gap]] = double(CutRank::kSentence) + similarities[left] +
                          similarities[right] - 2 * similarities[gap];
  }
  return scores;
}

TEST(DepthScorer, AgreesWithTheDefinition) {
  const std::vector<float> vectors = ToyVectors(5);
  const TokenTable table = {vectors, 5};
  EXPECT_TRUE(rc::check([&] {
    const int max_unit_tokens = *rc::gen::inRange(1, 9);
    const auto draws =
        *rc::gen::scale(3.0, rc::gen::container<std::vector<int>>(
                                 rc::gen::inRange(0, 5 * kToyVocabulary)));
    std::vector<ToyToken> tokens;
    for (int draw : draws) tokens.push_back({draw / 5, draw % 5 == 0});
    if (!tokens.empty()) tokens[0].begins_sentence = false;

    DepthScorer scorer(table, max_unit_tokens);
    std::vector<double> scores;
    for (const ToyToken& token : tokens) {
      scorer.Add(token.id,
                 token.begins_sentence ? CutRank::kParagraph : CutRank::kWord,
                 &scores);
    }
    scorer.Finish(&scores);
    const auto expected = ScoresByDefinition(tokens, table, max_unit_tokens);
    RC_ASSERT(scores.size() == expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      RC_ASSERT(std::abs(scores[i] - expected[i]) < 1e-4);
    }
  }));
}

// Two topics: a vector for the words of each, none for other tokens.
class SemanticChunkerTest : public ::testing::Test {
 protected:
  SemanticChunkerTest() : vectors_(2 * kToyVocabulary) {
    AddWords("tea leaf cup brew water hot", 0);
    AddWords("ship sail port mast anchor crew", 1);
  }

  std::vector<std::string> Cut(std::string_view text, int min_tokens,
                               int max_tokens) const {
    const auto chunker =
        (**ChunkerRegistry().Find("semantic"))({.max_tokens = max_tokens,
                                                .min_tokens = min_tokens,
                                                .token_table = {vectors_, 2}});
    EXPECT_TRUE(chunker.ok()) << chunker.status();
    const TokenSequence tokens = ToyTokenize(text);
    return Texts(text, tokens, CutAtOnce(**chunker, text, tokens));
  }

 private:
  void AddWords(std::string_view words, int topic) {
    for (int32_t id : ToyTokenize(words).ids) vectors_[2 * id + topic] = 1;
  }

  std::vector<float> vectors_;
};

TEST_F(SemanticChunkerTest, CutsWhereTheTopicChanges) {
  const std::string tea = "tea leaf cup!\n\ntea brew hot! water cup tea!";
  const std::string sea = "ship sail port! mast crew ship! anchor port sail!";
  EXPECT_THAT(Cut(tea + "\n" + sea + " ship crew!", 4, 22),
              ElementsAre(tea, sea + " ship crew!"));
}

TEST_F(SemanticChunkerTest, FillsChunksOfOneTopic) {
  EXPECT_THAT(
      Cut("tea cup! tea cup! tea cup! tea cup! tea cup!", 2, 7),
      ElementsAre("tea cup! tea cup!", "tea cup! tea cup!", "tea cup!"));
}

TEST_F(SemanticChunkerTest, CutsBetweenWordsInALongSentence) {
  EXPECT_THAT(Cut("tea leaf anchoring ship sail anchoring port", 1, 4),
              ElementsAre("tea leaf anchoring", "ship sail anchoring", "port"));
}

TEST_F(SemanticChunkerTest, TextWithoutVectorsIsCutAtSentences) {
  EXPECT_THAT(Cut("foo bar! foo bar! foo bar! foo bar!", 2, 7),
              ElementsAre("foo bar! foo bar!", "foo bar! foo bar!"));
}

TEST(SemanticChunker, IdsOutsideTheTableHaveNoVector) {
  const std::vector<float> vectors = {1, 0};
  const auto chunker = (**ChunkerRegistry().Find("semantic"))(
      {.max_tokens = 3, .token_table = {vectors, 2}});
  TokenSequence tokens = ToyTokenize("a. b. c. d.");
  tokens.ids[0] = -1;
  tokens.ids[1] = 1;
  tokens.ids[2] = 2147483647;
  EXPECT_EQ(CutAtOnce(**chunker, "a. b. c. d.", tokens).size(), 4u);
}

TEST(SemanticChunker, NeedsATable) {
  const std::vector<float> vectors = {1, 0, 1};
  for (const TokenTable& table :
       {TokenTable{}, TokenTable{vectors, 2}, TokenTable{vectors, 0}}) {
    const auto chunker = (**ChunkerRegistry().Find("semantic"))(
        {.max_tokens = 8, .token_table = table});
    ASSERT_FALSE(chunker.ok());
    EXPECT_EQ(GetErrorDetail(chunker.status())->reason, "CHUNKER_OPTIONS");
  }
}

}  // namespace
}  // namespace longhand
