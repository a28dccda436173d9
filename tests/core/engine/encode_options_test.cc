// What a model can run, the numbers of mechanisms, and what they are refused
// with.

#include "core/engine/encode_options.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/attention/registry.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"

namespace longhand {
namespace {

using ::testing::Contains;
using testing::Encoded;
using testing::EncodeIds;
using ::testing::IsSubsetOf;
using testing::MakeEncoder;
using ::testing::Not;
using testing::RandomIds;
using testing::ReasonOf;
using testing::TinyModel;

TEST(AvailableMechanisms, AreThoseThatTheModelHasTheWeightsFor) {
  const std::vector<std::string> available = AvailableMechanisms(*TinyModel());
  EXPECT_THAT(available, IsSubsetOf(AttentionRegistry().Names()));
  EXPECT_THAT(available, Contains("bsbr"));
  EXPECT_THAT(available, Contains("independent"));
  // Needs a model of its own.
  EXPECT_THAT(available, Not(Contains("bsbr_reference")));
  EXPECT_TRUE(std::is_sorted(available.begin(), available.end()));
}

TEST(AvailableMechanisms, AreThoseThatRequestsGet) {
  auto encoder = MakeEncoder(TinyModel());
  const std::vector<std::string> available = AvailableMechanisms(*TinyModel());
  for (const std::string& name : AttentionRegistry().Names()) {
    EncodeOptions options;
    options.mechanism = name;
    const absl::Status status = encoder->ResolveOptions(options).status();
    EXPECT_EQ(status.ok(), std::count(available.begin(), available.end(), name))
        << name << ": " << status;
    if (!status.ok()) {
      EXPECT_EQ(ReasonOf(status), "MECHANISM_UNAVAILABLE") << name;
    }
  }
}

TEST(ResolveOptions, AnUnknownDefaultVisibilityIsNotTheCallersFault) {
  auto encoder = MakeEncoder(
      TinyModel(), {.defaults = {.visibility = Visibility::kTwoPass}});
  for (const std::string& name : AvailableMechanisms(*TinyModel())) {
    EncodeOptions options;
    options.mechanism = name;
    EXPECT_TRUE(encoder->ResolveOptions(options).ok()) << name;
  }
  EncodeOptions options;
  options.mechanism = "linear";
  options.visibility = Visibility::kTwoPass;
  EXPECT_EQ(ReasonOf(encoder->ResolveOptions(options).status()),
            "RETRIEVAL_OPTIONS");
}

TEST(MechanismOptions, GlobalSpecialTokensNeedChunksThatDoNotOverlap) {
  auto encoder = MakeEncoder(testing::LoadModel(
      LONGHAND_TESTDATA_DIR "/parity/longformer", /*without_tokenizer=*/true));
  EncodeOptions options;
  options.mechanism_options.global_special = 1;
  EXPECT_TRUE(encoder->ResolveOptions(options).ok());
  options.chunker = "overlap";
  EXPECT_EQ(ReasonOf(encoder->ResolveOptions(options).status()),
            "MECHANISM_OPTIONS");
}

TEST(MechanismOptions, OutsideTheirBoundsAreRefused) {
  auto encoder = MakeEncoder(TinyModel());
  for (const MechanismField& field : MechanismFields()) {
    for (const int value : {field.min - 1, field.max + 1}) {
      EncodeOptions options;
      options.mechanism_options.*field.value = value;
      const absl::Status status = encoder->ResolveOptions(options).status();
      EXPECT_EQ(ReasonOf(status), "MECHANISM_OPTION_OUT_OF_RANGE");
      EXPECT_EQ(GetErrorDetail(status)->metadata.at("field"), field.name);
    }
  }
}

TEST(MechanismOptions, ThatAreNotLookedAtAreNamed) {
  auto encoder = MakeEncoder(TinyModel());
  for (const MechanismField& field : MechanismFields()) {
    EncodeOptions options;
    options.mechanism = "bsbr";
    options.mechanism_options.*field.value = field.max;
    const absl::Status status = encoder->ResolveOptions(options).status();
    EXPECT_EQ(ReasonOf(status), "OPTION_UNUSED");
    EXPECT_EQ(GetErrorDetail(status)->metadata.at("field"), field.name);
  }
  EncodeOptions options;
  options.mechanism = "independent";
  options.chunker = "fixed";
  options.overlap_tokens = 5;
  EXPECT_EQ(GetErrorDetail(encoder->ResolveOptions(options).status())
                ->metadata.at("field"),
            "overlap_tokens");
}

TEST(GlobalTokens, MustAscendAndBeFewAndInADocument) {
  EncodeOptions options;
  for (const std::vector<int64_t>& tokens : std::vector<std::vector<int64_t>>{
           {-1}, {3, 3}, {4, 2}, {0, std::numeric_limits<int64_t>::max()}}) {
    options.global_tokens = tokens;
    EXPECT_EQ(ReasonOf(CheckMechanismInput(options)), "GLOBAL_TOKENS_INVALID");
  }
  options.global_tokens = {0, int64_t{1} << 40};
  EXPECT_TRUE(CheckMechanismInput(options).ok());
  options.global_tokens.resize(1024);
  for (size_t i = 0; i < 1024; ++i) options.global_tokens[i] = int64_t(i);
  EXPECT_TRUE(CheckMechanismInput(options).ok());
  options.global_tokens.push_back(1024);
  EXPECT_EQ(ReasonOf(CheckMechanismInput(options)), "TOO_MANY_GLOBAL_TOKENS");
}

// What was held at most is what the document needed: one byte less is refused.
TEST(PeakWorkingBytes, AreWhatTheDocumentNeeds) {
  const auto ids = RandomIds(300, 7);
  EncodeOptions options;
  options.mechanism = "bsbr";
  options.visibility = Visibility::kBidirectional;
  options.chunk_tokens = 32;
  const auto encode = [&](uint64_t limit) {
    auto encoder = MakeEncoder(TinyModel(), {.max_working_bytes = limit});
    return EncodeIds(*encoder, ids, options).summary;
  };
  const auto summary = encode(uint64_t{1} << 30);
  ASSERT_TRUE(summary.ok()) << summary.status();
  const uint64_t peak = summary->peak_working_bytes;
  EXPECT_GT(peak, summary->state_bytes);
  const auto exact = encode(peak);
  ASSERT_TRUE(exact.ok()) << exact.status();
  EXPECT_EQ(exact->peak_working_bytes, peak);
  EXPECT_EQ(ReasonOf(encode(peak - 1).status()), "DOCUMENT_TOO_LONG");
}

TEST(PeakWorkingBytes, AreThereWithoutStates) {
  auto encoder = MakeEncoder(TinyModel());
  EncodeOptions options;
  options.mechanism = "independent";
  const Encoded encoded = EncodeIds(*encoder, RandomIds(300, 8), options);
  ASSERT_TRUE(encoded.summary.ok()) << encoded.summary.status();
  EXPECT_EQ(encoded.summary->state_bytes, 0u);
  EXPECT_GT(encoded.summary->peak_working_bytes, 0u);
}

}  // namespace
}  // namespace longhand
