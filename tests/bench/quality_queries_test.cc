#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/quality/corpus.h"
#include "bench/quality/metrics.h"
#include "bench/quality/queries.h"
#include "bench/quality/text_units.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand::quality {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Ids(int count) {
  std::vector<std::string> ids;
  for (int i = 0; i < count; ++i) ids.push_back(absl::StrCat("document-", i));
  return ids;
}

TEST(SplitHalvesTest, HalvesAreEvenAndDisjoint) {
  const std::vector<Half> halves = SplitHalves(Ids(151));
  EXPECT_EQ(std::count(halves.begin(), halves.end(), Half::kDev), 76);
  EXPECT_EQ(std::count(halves.begin(), halves.end(), Half::kTest), 75);
}

TEST(SplitHalvesTest, ADocumentsHalfDoesNotDependOnTheOrder) {
  std::vector<std::string> ids = Ids(40);
  const std::vector<Half> forward = SplitHalves(ids);
  std::reverse(ids.begin(), ids.end());
  std::vector<Half> backward = SplitHalves(ids);
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);
}

TEST(SplitHalvesTest, TheSplitIsFixed) {
  // Figures of different versions are compared: the split must not change.
  std::string split;
  for (const Half half : SplitHalves(Ids(12))) {
    split += half == Half::kDev ? 'd' : 't';
  }
  EXPECT_EQ(split, "ttdddddtdttt");
}

TEST(SplitCorpusTest, EachCollectionIsSplitOnItsOwn) {
  Corpus corpus;
  for (const std::string& id : Ids(30)) {
    CorpusDocument document;
    document.id = id;
    document.collection = corpus.documents.size() < 10 ? "pages" : "manuals";
    corpus.documents.push_back(document);
  }
  const std::vector<Half> halves = SplitCorpus(corpus);
  EXPECT_EQ(std::count(halves.begin(), halves.begin() + 10, Half::kDev), 5);
  EXPECT_EQ(std::count(halves.begin() + 10, halves.end(), Half::kDev), 10);
}

TEST(FindWordsTest, RunsOfLettersInLowerCase) {
  const std::vector<Word> words = FindWords("An_Index of B-trees, naïve", 5);
  ASSERT_EQ(words.size(), 2u);
  EXPECT_EQ(words[0].text, "index");
  EXPECT_EQ(words[0].range, (ByteRange{3, 8}));
  EXPECT_EQ(words[1].text, "trees");
}

TEST(FindSentencesTest, ProseOnly) {
  const std::string text =
      "A heading without an end\n\nThis sentence has six words. Short one. "
      "x = f(1) + g[2]; y += 3 * 4.\n\nAnother\n sentence across two lines!";
  const std::vector<ByteRange> found = FindSentences(text, 4, 10);
  std::vector<std::string> sentences;
  for (const ByteRange& range : found) {
    sentences.push_back(text.substr(range.begin, range.size()));
  }
  EXPECT_THAT(sentences, ElementsAre("This sentence has six words.",
                                     "Another\n sentence across two lines!"));
}

TEST(HeadingStemsTest, RepeatedInAnyForm) {
  const std::vector<std::string> stems = HeadingStems("Building the Indexes");
  EXPECT_THAT(stems, ElementsAre("build", "index"));
  EXPECT_TRUE(HasStem("an index is", stems));
  EXPECT_TRUE(HasStem("it builds", stems));
  EXPECT_FALSE(HasStem("a reindexed table", stems));
  EXPECT_THAT(HeadingStems("What is it?"), IsEmpty());
}

TEST(ReferenceWindowsTest, OfTokensFromByteToByte) {
  TokenSequence tokens;
  for (uint64_t i = 0; i < 5; ++i) {
    tokens.ids.push_back(1);
    tokens.begin.push_back(10 * i);
    tokens.end.push_back(10 * i + 4);
  }
  EXPECT_THAT(
      ReferenceWindows(tokens, 2),
      ElementsAre(ByteRange{0, 14}, ByteRange{20, 34}, ByteRange{40, 44}));
  EXPECT_THAT(ReferenceWindows({}, 2), IsEmpty());
}

TEST(ShortestCoverTest, OneOfEachWord) {
  // a b a c b: the shortest range with all three is the last three words.
  const std::vector<Word> words = {{"a", {0, 1}},
                                   {"b", {10, 11}},
                                   {"a", {20, 21}},
                                   {"c", {22, 23}},
                                   {"b", {25, 26}}};
  EXPECT_EQ(ShortestCover(words), (ByteRange{20, 26}));
  EXPECT_EQ(ShortestCover({{"a", {5, 9}}}), (ByteRange{5, 9}));
}

// A tokenizer of single words, so that windows can be seen.
constexpr char kTokenizer[] = R"({
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
  "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
  "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
})";

// `count` words of five letters, different in each document.
std::string Filler(int document, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    std::string word = "aaaaa";
    for (int n = i + 1000 * document, at = 0; at < 5; ++at, n /= 26) {
      word[at] = static_cast<char>('a' + n % 26);
    }
    text += word + (i % 20 == 19 ? ". " : " ");
  }
  return text;
}

class MakeQueriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::FromJson(kTokenizer);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    // Two of 24 documents share the words: frequent enough, and distinctive.
    for (int i = 0; i < 24; ++i) {
      CorpusDocument document;
      document.id = absl::StrCat("page-", i);
      document.collection = "pages";
      document.topic = absl::StrCat("topic ", i);
      document.text = Filler(i / 2, 700);
      corpus_.documents.push_back(document);
      document.id = absl::StrCat("manual-", i);
      document.collection = "manuals";
      const std::string front = Filler(i / 2, 200);
      const std::string heading = absl::StrCat("Zzzzz", i, "\n\n");
      document.sections = {{absl::StrCat("Zzzzz", i), front.size(),
                            front.size() + heading.size()}};
      document.text = front + heading + Filler(100 + i / 2, 600);
      corpus_.documents.push_back(document);
    }
  }

  // The queries of one task with the windows of their documents.
  struct Made {
    Query query;
    std::vector<ByteRange> windows;
    std::string text;
    const CorpusDocument* document = nullptr;
  };
  std::vector<Made> Make(const std::string& task) {
    const auto queries = MakeQueries(corpus_, *tokenizer_);
    EXPECT_TRUE(queries.ok()) << queries.status();
    std::vector<Made> made;
    for (const Query& query : *queries) {
      if (query.task != task) continue;
      for (const CorpusDocument& document : corpus_.documents) {
        if (document.id != query.document) continue;
        TokenSequence tokens;
        EXPECT_TRUE(tokenizer_->Encode(document.text, 0, &tokens).ok());
        made.push_back(
            {query, ReferenceWindows(tokens, 126),
             document.text.substr(query.gold.begin, query.gold.size()),
             &document});
      }
    }
    return made;
  }

  Corpus corpus_;
  std::unique_ptr<const Tokenizer> tokenizer_;
};

TEST_F(MakeQueriesTest, OneReferenceWindowHoldsEachAnswer) {
  for (const char* task : {"title", "heading", "bare"}) {
    const std::vector<Made> made = Make(task);
    EXPECT_GT(made.size(), 40u) << task;
    for (const Made& m : made) {
      const CorrectChunks correct = FindCorrectChunks(m.query.gold, m.windows);
      ASSERT_EQ(correct.indices.size(), 1u);
      const ByteRange& window = m.windows[correct.indices[0]];
      EXPECT_LE(window.begin, m.query.gold.begin);
      EXPECT_LE(m.query.gold.end, window.end);
    }
  }
}

TEST_F(MakeQueriesTest, TitleIsTheTopicAndThreeWordsOfTheAnswer) {
  for (const Made& m : Make("title")) {
    const std::string topic = m.document->topic + ": ";
    ASSERT_TRUE(m.query.text.starts_with(topic));
    const auto words = SplitAtWhitespace(m.query.text.substr(topic.size()));
    ASSERT_EQ(words.size(), 3u);
    for (const std::string& word : words) {
      EXPECT_NE(m.text.find(word), std::string::npos);
      // Found there only.
      EXPECT_EQ(m.document->text.find(word), m.document->text.rfind(word));
    }
  }
}

TEST_F(MakeQueriesTest, HeadingStandsAboveTheAnswersWindow) {
  for (const Made& m : Make("heading")) {
    const Section& section = m.document->sections[0];
    ASSERT_TRUE(m.query.text.starts_with(section.heading + ": "));
    const int window = FindCorrectChunks(m.query.gold, m.windows).indices[0];
    EXPECT_LE(section.body, m.windows[window].begin);
    EXPECT_GE(section.begin, m.windows[0].end);
  }
}

TEST_F(MakeQueriesTest, InDocumentIsHalfOfASentence) {
  const std::vector<Made> made = Make("in_document");
  EXPECT_GT(made.size(), 100u);
  for (const Made& m : made) {
    const auto all = SplitAtWhitespace(m.text);
    const auto kept = SplitAtWhitespace(m.query.text);
    EXPECT_EQ(kept.size(), (all.size() + 1) / 2);
    auto next = all.begin();
    for (const std::string& word : kept) {
      next = std::find(next, all.end(), word);
      ASSERT_NE(next, all.end()) << "not in order: " << word;
      ++next;
    }
  }
}

TEST_F(MakeQueriesTest, NoDocumentIsInBothHalvesAndTheResultIsTheSameAgain) {
  const auto first = MakeQueries(corpus_, *tokenizer_);
  const auto second = MakeQueries(corpus_, *tokenizer_);
  ASSERT_TRUE(first.ok() && second.ok());
  const std::vector<Half> halves = SplitCorpus(corpus_);
  ASSERT_EQ(first->size(), second->size());
  for (size_t i = 0; i < first->size(); ++i) {
    EXPECT_EQ((*first)[i].text, (*second)[i].text);
    for (size_t d = 0; d < halves.size(); ++d) {
      if (corpus_.documents[d].id != (*first)[i].document) continue;
      EXPECT_EQ((*first)[i].half, halves[d]);
    }
  }
}

}  // namespace
}  // namespace longhand::quality
