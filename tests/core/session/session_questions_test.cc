// Questions: what a document's encoder answers is what the engine gives for the
// question as the last chunk of the document, alone or with other questions.

#include <numeric>
#include <string>
#include <vector>

#include "core/session/session_document.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/core/session/document_harness.h"

namespace longhand {
namespace {

using testing::Append;
using testing::EncodeWhole;
using testing::MakeDocument;
using testing::MakeEncoder;
using testing::MiniLm;
using testing::OpenEncoder;
using testing::RandomIds;
using testing::ReasonOf;
using testing::TinyModel;

Encoder& IdEncoder() {
  static Encoder* const encoder =
      MakeEncoder(TinyModel(), {.max_batch_chunks = 3}).release();
  return *encoder;
}

// TinyModel has no special tokens.
constexpr int kChunkTokens = 20;

// Mechanisms and choices of chunks, in either visibility.
std::vector<testing::NamedOptions> AskOptions() {
  std::vector<testing::NamedOptions> all;
  for (const Visibility visibility :
       {Visibility::kCausal, Visibility::kTwoPass}) {
    const std::string name(VisibilityName(visibility));
    EncodeOptions options;
    options.chunk_tokens = kChunkTokens;
    options.visibility = visibility;
    for (const char* mechanism : {"bsbr", "bsbr_cumulant", "bsbr_exact"}) {
      options.mechanism = mechanism;
      all.push_back({name + "_" + mechanism, options});
    }
    options.mechanism = "bsbr";
    options.top_k = 2;
    all.push_back({name + "_top_k", options});
    options.neighbors = 2;
    all.push_back({name + "_neighbors", options});
    options.anchors = 1;
    options.anchor_share = 0.5f;
    options.state_codec = "bf16";
    options.merge = Merge::kBalancedLse;
    all.push_back({name + "_anchors", options});
  }
  EncodeOptions independent;
  independent.mechanism = "independent";
  independent.chunk_tokens = kChunkTokens;
  all.push_back({"independent", independent});
  return all;
}

std::vector<Question> Questions(int count) {
  std::vector<Question> questions;
  for (int i = 0; i < count; ++i) {
    questions.push_back({RandomIds(1 + i % kChunkTokens % 17, 100 + i)});
  }
  return questions;
}

std::vector<Answer> Ask(const DocumentEncoder& encoder,
                        const ChunkRecords& chunks,
                        const std::vector<Question>& questions) {
  auto answers = encoder.Ask(chunks, questions, {});
  EXPECT_TRUE(answers.ok()) << answers.status();
  return answers.ok() ? *std::move(answers) : std::vector<Answer>();
}

// The chunks of a document of full chunks.
ChunkRecords FullChunks(std::shared_ptr<const DocumentEncoder> encoder,
                        int chunks) {
  SessionDocument document = MakeDocument(std::move(encoder));
  Append(document, RandomIds(kChunkTokens * chunks, 3));
  testing::TestResources resources;
  auto records = document.WithTail(resources, {});
  EXPECT_TRUE(records.ok()) << records.status();
  return *records;
}

class AskTest : public ::testing::TestWithParam<testing::NamedOptions> {};

INSTANTIATE_TEST_SUITE_P(Options, AskTest, ::testing::ValuesIn(AskOptions()),
                         [](const auto& test) { return test.param.name; });

TEST_P(AskTest, AloneAndTogetherAreTheSame) {
  const auto encoder = OpenEncoder(IdEncoder(), GetParam().options);
  for (int chunks : {0, 1, 2, 9}) {
    SCOPED_TRACE(chunks);
    const ChunkRecords records = FullChunks(encoder, chunks);
    const std::vector<Question> questions = Questions(7);
    const std::vector<Answer> together = Ask(*encoder, records, questions);
    ASSERT_EQ(together.size(), questions.size());
    for (size_t i = 0; i < questions.size(); ++i) {
      const std::vector<Answer> alone = Ask(*encoder, records, {questions[i]});
      ASSERT_EQ(alone.size(), 1u);
      EXPECT_EQ(together[i].vector, alone[0].vector);
      EXPECT_EQ(together[i].own_vector, alone[0].own_vector);
      EXPECT_EQ(together[i].chunk_weights, alone[0].chunk_weights);
    }
  }
}

TEST_P(AskTest, WithoutADocumentThereIsNoContext) {
  const auto encoder = OpenEncoder(IdEncoder(), GetParam().options);
  for (const Answer& answer : Ask(*encoder, {}, Questions(3))) {
    EXPECT_EQ(answer.vector, answer.own_vector);
    EXPECT_TRUE(answer.chunk_weights.empty());
  }
}

TEST_P(AskTest, AQuestionIsTheLastChunkOfTheDocument) {
  const EncodeOptions& options = GetParam().options;
  const auto encoder = OpenEncoder(IdEncoder(), options);
  for (int chunks : {1, 2, 9}) {
    SCOPED_TRACE(chunks);
    const ChunkRecords records = FullChunks(encoder, chunks);
    const std::vector<Question> questions = Questions(4);
    const std::vector<Answer> answers = Ask(*encoder, records, questions);
    for (size_t i = 0; i < questions.size(); ++i) {
      std::vector<int32_t> ids = RandomIds(kChunkTokens * chunks, 3);
      ids.insert(ids.end(), questions[i].ids.begin(), questions[i].ids.end());
      EncodeOptions oracle = options;
      oracle.anchor_weight = 0;
      oracle.document_weight = 0;
      oracle.retrieval_weights = options.mechanism != "independent";
      const ChunkResult last = EncodeWhole(IdEncoder(), ids, oracle).back();
      EXPECT_EQ(answers[i].vector, last.vector);
      std::vector<float> weights = last.retrieval_weights;
      if (weights.empty()) {
        weights.assign(size_t(chunks), 0.0f);
      } else {
        weights.pop_back();  // of the chunk itself: 0
      }
      EXPECT_EQ(answers[i].chunk_weights, weights);
      const ChunkResult alone = EncodeWhole(IdEncoder(), questions[i].ids, [&] {
        EncodeOptions own = oracle;
        own.retrieval_weights = false;
        return own;
      }())[0];
      EXPECT_EQ(answers[i].own_vector, alone.vector);
    }
  }
}

TEST_P(AskTest, WeightsSumToOne) {
  const auto encoder = OpenEncoder(IdEncoder(), GetParam().options);
  const ChunkRecords records = FullChunks(encoder, 5);
  for (const Answer& answer : Ask(*encoder, records, Questions(4))) {
    ASSERT_EQ(answer.chunk_weights.size(), 5u);
    const double sum = std::accumulate(answer.chunk_weights.begin(),
                                       answer.chunk_weights.end(), 0.0);
    EXPECT_NEAR(sum, GetParam().name == "independent" ? 0 : 1, 1e-5);
  }
}

TEST(Ask, TwoPassQuestionsSeeTheStatesOfTheFirst) {
  // With one chunk there is nothing that the first pass could have left out:
  // it is the first chunk of a causal document.
  EncodeOptions causal, two_pass;
  causal.mechanism = two_pass.mechanism = "bsbr";
  causal.chunk_tokens = two_pass.chunk_tokens = kChunkTokens;
  two_pass.visibility = Visibility::kTwoPass;
  const auto a = OpenEncoder(IdEncoder(), causal);
  const auto b = OpenEncoder(IdEncoder(), two_pass);
  const auto questions = Questions(5);
  const auto answers_a = Ask(*a, FullChunks(a, 1), questions);
  const auto answers_b = Ask(*b, FullChunks(b, 1), questions);
  for (size_t i = 0; i < questions.size(); ++i) {
    EXPECT_EQ(answers_a[i].vector, answers_b[i].vector);
    EXPECT_NE(answers_a[i].vector, answers_a[i].own_vector);
  }
  // With more, the order of the chunks is nothing to it.
  ChunkRecords records = FullChunks(b, 4);
  const auto before = Ask(*b, records, questions);
  std::swap(records[1], records[3]);
  const auto after = Ask(*b, records, questions);
  for (size_t i = 0; i < questions.size(); ++i) {
    for (size_t k = 0; k < before[i].vector.size(); ++k) {
      EXPECT_NEAR(before[i].vector[k], after[i].vector[k], 1e-4);
    }
    EXPECT_NEAR(before[i].chunk_weights[0], after[i].chunk_weights[0], 1e-5);
    EXPECT_NEAR(before[i].chunk_weights[1], after[i].chunk_weights[3], 1e-5);
  }
}

TEST(Ask, RefusesQuestionsThatAreNone) {
  EncodeOptions options;
  options.chunk_tokens = kChunkTokens;
  const auto encoder = OpenEncoder(IdEncoder(), options);
  const auto ask = [&](std::vector<int32_t> ids) {
    return ReasonOf(
        encoder->Ask({}, std::vector<Question>{{std::move(ids)}}, {}).status());
  };
  EXPECT_EQ(ask(RandomIds(kChunkTokens, 1)), "");
  EXPECT_EQ(ask(RandomIds(kChunkTokens + 1, 1)), "QUESTION_TOO_LONG");
  EXPECT_EQ(ask({}), "QUESTION_EMPTY");
  EXPECT_EQ(ask({1 << 30}), "TOKEN_ID_OUT_OF_RANGE");
}

TEST(Ask, AMechanismThatIsCausalAlone) {
  // Its chunks also know where in the document they stand.
  auto encoder = MakeEncoder(testing::BsbrModel(), {.max_batch_chunks = 3});
  EncodeOptions options;
  options.mechanism = "bsbr_causal";
  options.chunk_tokens = kChunkTokens;
  const auto session = OpenEncoder(*encoder, options);
  const std::vector<Question> questions = Questions(5);
  for (const int chunks : {1, 2, 6}) {
    const auto answers = Ask(*session, FullChunks(session, chunks), questions);
    for (size_t i = 0; i < questions.size(); ++i) {
      std::vector<int32_t> ids = RandomIds(kChunkTokens * chunks, 3);
      ids.insert(ids.end(), questions[i].ids.begin(), questions[i].ids.end());
      EncodeOptions oracle = options;
      oracle.anchor_weight = 0;
      EXPECT_EQ(answers[i].vector,
                EncodeWhole(*encoder, ids, oracle).back().vector);
      EXPECT_EQ(answers[i].own_vector,
                EncodeWhole(*encoder, questions[i].ids, oracle)[0].vector);
    }
  }
}

TEST(Ask, MiniLm) {
  auto encoder = MakeEncoder(MiniLm());
  EncodeOptions options;
  options.mechanism = "bsbr";
  options.chunk_tokens = 32;
  const auto session = OpenEncoder(*encoder, options);
  SessionDocument document = MakeDocument(session);
  Append(document, RandomIds(30 * 4 + 1, 1));
  const ChunkRecords& chunks = document.chunks();
  ASSERT_EQ(chunks.size(), 4u);
  std::vector<int32_t> ids = RandomIds(30 * 4 + 1, 1);
  ids.pop_back();
  const Question question{RandomIds(9, 2)};
  ids.insert(ids.end(), question.ids.begin(), question.ids.end());
  EncodeOptions oracle = options;
  oracle.anchor_weight = 0;
  const auto answers = Ask(*session, chunks, {question, {RandomIds(20, 3)}});
  EXPECT_EQ(answers[0].vector,
            EncodeWhole(*encoder, ids, oracle).back().vector);
}

}  // namespace
}  // namespace longhand
