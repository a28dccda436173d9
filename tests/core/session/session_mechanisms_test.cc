// Sessions with every mechanism, on a model that can run it: appending in any
// pieces, with what is the same computed once, gives what the encoder gives for
// the whole, bit for bit; and so does asking. The content repeats, so that a
// chunk that is taken over where it must not be shows.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/core/session/document_harness.h"

namespace longhand {
namespace {

constexpr int kChunkTokens = 24;

struct Case {
  std::string name;
  std::string folder;  // of the model
  EncodeOptions options;
};

// Every mechanism and visibility on the first of these models that takes them.
std::vector<Case> Cases() {
  std::vector<Case> cases;
  const std::string root = LONGHAND_TESTDATA_DIR "/parity/";
  for (const std::string& mechanism : AttentionRegistry().Names()) {
    for (const Visibility visibility :
         {Visibility::kCausal, Visibility::kTwoPass}) {
      for (const char* folder : {"bert", "longformer", "big_bird", "reformer",
                                 "gau", "delta_net", "bsbr"}) {
        const auto model =
            testing::LoadModel(root + folder, /*without_tokenizer=*/true);
        const auto encoder = testing::MakeEncoder(model);
        Case test{
            .name = mechanism + "_" + std::string(VisibilityName(visibility)),
            .folder = root + folder};
        EncodeOptions& options = test.options;
        options.mechanism = mechanism;
        options.chunk_tokens = kChunkTokens;
        options.anchor_weight = 0;
        options.document_weight = 0;
        if (!encoder->ResolveOptions(options).ok()) continue;
        options.visibility = visibility;
        const absl::Status known = encoder->ResolveOptions(options).status();
        if (testing::ReasonOf(known) == "OPTION_UNUSED" &&
            visibility == Visibility::kCausal) {
          options.visibility.reset();
        } else if (!known.ok()) {
          break;
        }
        cases.push_back(test);
        options.global_tokens = {1, 30};
        if (encoder->ResolveOptions(options).ok()) {
          test.name += "_global_tokens";
          cases.push_back(test);
        }
        break;
      }
    }
  }
  return cases;
}

class SessionMechanismsTest : public ::testing::TestWithParam<Case> {
 protected:
  SessionMechanismsTest()
      : encoder_(testing::MakeEncoder(
            testing::LoadModel(GetParam().folder, /*without_tokenizer=*/true),
            {.max_batch_chunks = 3})) {}

  // In the model's vocabulary.
  std::vector<int32_t> Ids(int count, uint32_t seed) const {
    std::vector<int32_t> ids = testing::RandomIds(count, seed);
    const int32_t range = encoder_->model().config().vocab_size - 4;
    for (int32_t& id : ids) id = 4 + id % range;
    return ids;
  }

  const std::unique_ptr<Encoder> encoder_;
};

TEST_P(SessionMechanismsTest, AppendsGiveTheWhole) {
  const EncodeOptions& options = GetParam().options;
  const std::vector<int32_t> sentence = Ids(kChunkTokens / 2, 3);
  std::vector<int32_t> ids;
  for (int i = 0; i < 17; ++i) {
    ids.insert(ids.end(), sentence.begin(), sentence.end());
  }
  const auto encoder = testing::OpenEncoder(*encoder_, options);
  for (const bool caches : {false, true}) {
    testing::TestResources resources;
    resources.caches = caches;
    SessionDocument document = testing::MakeDocument(encoder);
    for (size_t begin = 0; begin < ids.size(); begin += 31) {
      const size_t end = std::min(ids.size(), begin + 31);
      testing::Append(
          document,
          std::vector<int32_t>(ids.begin() + begin, ids.begin() + end),
          resources);
      const std::vector<int32_t> so_far(ids.begin(), ids.begin() + end);
      ASSERT_TRUE(testing::SameResults(
          testing::ResultsOf(document),
          testing::EncodeWhole(*encoder_, so_far, options)))
          << "after " << end << " tokens, caches " << caches;
    }
  }
}

TEST_P(SessionMechanismsTest, AnswersQuestions) {
  const auto encoder = testing::OpenEncoder(*encoder_, GetParam().options);
  SessionDocument document = testing::MakeDocument(encoder);
  testing::Append(document, Ids(70, 5));
  const std::vector<Question> questions = {{.ids = Ids(9, 6)},
                                           {.ids = Ids(4, 7)}};
  const auto both = encoder->Ask(document.chunks(), questions, {});
  ASSERT_TRUE(both.ok()) << both.status();
  ASSERT_EQ(both->size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const auto alone = encoder->Ask(document.chunks(), {questions[i]}, {});
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_EQ((*both)[i].vector, alone->front().vector);
  }
}

INSTANTIATE_TEST_SUITE_P(Mechanisms, SessionMechanismsTest,
                         ::testing::ValuesIn(Cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace longhand
