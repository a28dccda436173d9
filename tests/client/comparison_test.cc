// `longhand compare` without server and process: how vectors agree, what is
// left out, what a failure ends, and the outputs.
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/comparison_text.h"
#include "client/cli/exit_code.h"
#include "client/cli/mechanism_comparison.h"
#include "client/cli/vector_agreement.h"
#include "client/client_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand::client {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

// An encoding whose chunks have these vectors, ten tokens each.
EncodeResult Encoded(std::vector<float> document,
                     const std::vector<std::vector<float>>& chunks) {
  EncodeResult result;
  result.document_vector = std::move(document);
  for (const std::vector<float>& vector : chunks) {
    Chunk& chunk = result.chunks.emplace_back();
    chunk.begin_token = 10 * (result.chunks.size() - 1);
    chunk.end_token = chunk.begin_token + 10;
    chunk.vector = vector;
  }
  result.summary.set_chunk_count(static_cast<uint32_t>(chunks.size()));
  result.summary.set_received_bytes(4);
  result.summary.set_received_tokens(10 * chunks.size());
  return result;
}

TEST(NearestOthersTest, IsTheHighestCosineWhateverTheLength) {
  const EncodeResult encoded =
      Encoded({}, {{1, 0}, {0, 9}, {0.1F, 1}, {5, 1}, {-1, 0}});
  EXPECT_THAT(NearestOthers(encoded.chunks), ElementsAre(3, 2, 1, 0, 1));
  EXPECT_THAT(NearestOthers(Encoded({}, {{1}}).chunks), IsEmpty());
  EXPECT_THAT(NearestOthers(Encoded({}, {{1}, {1, 2}}).chunks), IsEmpty());
  // The first of several, and zeros are no nearer than anything else.
  EXPECT_THAT(NearestOthers(Encoded({}, {{2}, {3}, {1}}).chunks),
              ElementsAre(1, 0, 0));
  EXPECT_THAT(NearestOthers(Encoded({}, {{0}, {3}, {-1}}).chunks),
              ElementsAre(1, 0, 0));
}

// Longer than the lanes, against the plain definition.
TEST(NearestOthersTest, LongVectorsAreTheSame) {
  std::vector<std::vector<float>> rows(23, std::vector<float>(37));
  uint32_t state = 1;
  for (auto& row : rows) {
    for (float& value : row) {
      state = state * 1664525 + 1013904223;
      value = static_cast<float>(state >> 8) / (1 << 23) - 1;
    }
  }
  std::vector<size_t> expected;
  for (size_t i = 0; i < rows.size(); ++i) {
    size_t best = i == 0 ? 1 : 0;
    double most = -2;
    for (size_t j = 0; j < rows.size(); ++j) {
      if (j == i) continue;
      double dot = 0, a = 0, b = 0;
      for (size_t k = 0; k < rows[i].size(); ++k) {
        dot += double{rows[i][k]} * rows[j][k];
        a += double{rows[i][k]} * rows[i][k];
        b += double{rows[j][k]} * rows[j][k];
      }
      if (dot / std::sqrt(a * b) > most) {
        most = dot / std::sqrt(a * b);
        best = j;
      }
    }
    expected.push_back(best);
  }
  EXPECT_EQ(NearestOthers(Encoded({}, rows).chunks), expected);
}

TEST(ReferenceVectorsTest, MeasuresWhatCanBeCompared) {
  const EncodeResult reference = Encoded({3, 4}, {{1, 0}, {0, 1}, {1, 1}});
  const ReferenceVectors vectors(&reference);
  VectorAgreement same = vectors.Compare(reference);
  EXPECT_THAT(same.document_cosine, Optional(DoubleNear(1, 1e-12)));
  EXPECT_THAT(same.mean_cosine, Optional(DoubleNear(1, 1e-12)));
  EXPECT_THAT(same.min_cosine, Optional(DoubleNear(1, 1e-12)));
  EXPECT_THAT(same.same_nearest_share, Optional(1.0));
  // Cosines 1, 0 and -1; the second is nearest to the first, not to the third.
  const VectorAgreement other =
      vectors.Compare(Encoded({-4, 3}, {{2, 0}, {1, 0}, {-1, -1}}));
  EXPECT_THAT(other.document_cosine, Optional(DoubleNear(0, 1e-12)));
  EXPECT_THAT(other.mean_cosine, Optional(DoubleNear(0, 1e-12)));
  EXPECT_THAT(other.min_cosine, Optional(DoubleNear(-1, 1e-12)));
  EXPECT_THAT(other.same_nearest_share, Optional(DoubleNear(1 / 3.0, 1e-12)));
}

TEST(ReferenceVectorsTest, SaysNothingOfWhatCannotBeCompared) {
  const EncodeResult reference = Encoded({1}, {{1, 0}, {0, 1}});
  const ReferenceVectors vectors(&reference);
  EncodeResult moved = Encoded({1}, {{1, 0}, {0, 1}});
  moved.chunks[1].end_token += 1;
  for (const EncodeResult& other :
       {Encoded({1}, {{1, 0}}), Encoded({1}, {{1}, {1}}), moved}) {
    const VectorAgreement agreement = vectors.Compare(other);
    EXPECT_THAT(agreement.document_cosine, Optional(1.0));
    EXPECT_EQ(agreement.mean_cosine, std::nullopt);
    EXPECT_EQ(agreement.min_cosine, std::nullopt);
    EXPECT_EQ(agreement.same_nearest_share, std::nullopt);
  }
  EXPECT_EQ(vectors.Compare(Encoded({1, 2}, {})).document_cosine, std::nullopt);
  // A document of one chunk has no other.
  const EncodeResult single = Encoded({1}, {{1, 0}});
  const VectorAgreement alone = ReferenceVectors(&single).Compare(single);
  EXPECT_THAT(alone.mean_cosine, Optional(1.0));
  EXPECT_EQ(alone.same_nearest_share, std::nullopt);
}

TEST(MedianTest, IsTheMiddle) {
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({5, 1, 3}), 3);
  EXPECT_EQ(Median({4, 1, 2, 100}), 3);
}

TEST(ClearOptionTest, FindsOptionsOfBothMessages) {
  v1::EncodeOptions options;
  options.set_gate(0.5F);
  options.add_global_tokens(3);
  options.mutable_mechanism_options()->set_seed(0);
  EXPECT_FALSE(ClearOption("top_k", &options));
  EXPECT_FALSE(ClearOption("window_tokens", &options));
  EXPECT_FALSE(ClearOption("none", &options));
  EXPECT_TRUE(ClearOption("gate", &options));
  EXPECT_FALSE(ClearOption("gate", &options));
  EXPECT_TRUE(ClearOption("global_tokens", &options));
  EXPECT_TRUE(ClearOption("seed", &options));
  EXPECT_FALSE(ClearOption("seed", &options));
  EXPECT_FALSE(options.has_gate());
  EXPECT_EQ(options.global_tokens_size(), 0);
  EXPECT_FALSE(options.mechanism_options().has_seed());
}

absl::Status Unused(const std::string& field) {
  return MakeClientError(absl::StatusCode::kInvalidArgument, "OPTION_UNUSED",
                         "not looked at", {{"field", field}});
}

// Answers with what `answer` says, once the text is read.
class ScriptedClient : public EncoderClient {
 public:
  using Answer =
      std::function<absl::StatusOr<EncodeResult>(const v1::EncodeOptions&)>;
  explicit ScriptedClient(Answer answer) : answer_(std::move(answer)) {}

  absl::StatusOr<EncodeResult> EncodeStream(const StreamRequest& request,
                                            const StreamCallbacks&,
                                            const CallOptions&) override {
    std::string text(100, '\0');
    auto count = request.text->Read(absl::MakeSpan(text.data(), text.size()));
    if (!count.ok()) return count.status();
    text.resize(*count);
    texts.push_back(text);
    calls.push_back(request.options);
    return answer_(request.options);
  }

  absl::StatusOr<EncodeResult> Encode(const Document&,
                                      const CallOptions&) override {
    return absl::UnimplementedError("");
  }
  std::vector<absl::StatusOr<EncodeResult>> EncodeBatch(
      absl::Span<const Document>, const CallOptions&) override {
    return {};
  }
  absl::StatusOr<v1::Model> GetModel(absl::string_view,
                                     const CallOptions&) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest&,
                                                const CallOptions&) override {
    return absl::UnimplementedError("");
  }

  std::vector<v1::EncodeOptions> calls;
  std::vector<std::string> texts;

 private:
  const Answer answer_;
};

ComparisonRequest Request(ContentSource* text) {
  ComparisonRequest request;
  request.mechanisms = {"a", "b", "c"};
  request.reference = "b";
  request.text = text;
  return request;
}

TEST(CompareMechanismsTest, ReadsTheDocumentForEachAndTakesMedians) {
  const double seconds[] = {5, 1, 3};
  int run = 0;
  ScriptedClient client([&](const v1::EncodeOptions& options) {
    EncodeResult result = Encoded(
        {1, 0}, {{1, 0}, {options.mechanism() == "b" ? 0.0F : 1.0F, 1}});
    result.summary.mutable_timings()->mutable_total()->set_seconds(
        static_cast<int64_t>(seconds[run % 3]));
    result.summary.mutable_timings()->mutable_compute()->set_seconds(
        static_cast<int64_t>(10 * seconds[run++ % 3]));
    return result;
  });
  StringSource text("text");
  ComparisonRequest request = Request(&text);
  request.repeat = 3;
  std::vector<std::string> started;
  ComparisonHooks hooks;
  hooks.on_run = [&](const std::string& name) { started.push_back(name); };
  const auto results = CompareMechanisms(&client, request, hooks);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_THAT(started,
              ElementsAre("a", "a", "a", "b", "b", "b", "c", "c", "c"));
  EXPECT_THAT(client.texts, ::testing::Each("text"));
  ASSERT_EQ(results->size(), 3U);
  for (const MechanismResult& result : *results) {
    EXPECT_TRUE(result.status.ok());
    EXPECT_EQ(result.total_seconds, 3);
    EXPECT_EQ(result.compute_seconds, 30);
  }
  EXPECT_THAT((*results)[1].agreement.min_cosine, Optional(1.0));
  EXPECT_THAT((*results)[2].agreement.min_cosine,
              Optional(DoubleNear(std::sqrt(0.5), 1e-6)));
  EXPECT_TRUE(SummarizeFailures(*results).ok());
}

TEST(CompareMechanismsTest, LeavesOutWhatAMechanismDoesNotLookAt) {
  ScriptedClient client(
      [](const v1::EncodeOptions& options) -> absl::StatusOr<EncodeResult> {
        if (options.mechanism() == "a") {
          if (options.has_gate()) return Unused("gate");
          if (options.mechanism_options().has_seed()) return Unused("seed");
        }
        if (options.mechanism() == "c") {
          if (options.visibility() != v1::VISIBILITY_UNSPECIFIED) {
            return MakeClientError(absl::StatusCode::kInvalidArgument,
                                   "RETRIEVAL_OPTIONS", "another one",
                                   {{"field", "visibility"}});
          }
        }
        return Encoded({1}, {{1}});
      });
  StringSource text("text");
  ComparisonRequest request = Request(&text);
  request.repeat = 2;
  request.options.set_gate(0.5F);
  request.options.set_visibility(v1::VISIBILITY_CAUSAL);
  request.options.mutable_mechanism_options()->set_seed(7);
  const auto results = CompareMechanisms(&client, request);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_THAT((*results)[0].unused_options, ElementsAre("gate", "seed"));
  EXPECT_THAT((*results)[1].unused_options, IsEmpty());
  EXPECT_THAT((*results)[2].unused_options, ElementsAre("visibility"));
  // It is learned once: 4 + 2 + 3 calls. The others keep theirs.
  EXPECT_EQ(client.calls.size(), 9U);
  EXPECT_EQ(client.calls[4].gate(), 0.5F);
  EXPECT_EQ(client.calls[8].mechanism_options().seed(), 7U);
}

TEST(CompareMechanismsTest, AFailureIsARowAndItsExitStatus) {
  ScriptedClient client(
      [](const v1::EncodeOptions& options) -> absl::StatusOr<EncodeResult> {
        if (options.mechanism() == "a") return absl::NotFoundError("no");
        // Names an option that nobody set: no reason to try again.
        if (options.mechanism() == "b") return Unused("gate");
        return Encoded({1}, {{1}});
      });
  StringSource text("text");
  const auto results = CompareMechanisms(&client, Request(&text));
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(client.calls.size(), 3U);
  EXPECT_TRUE(absl::IsNotFound((*results)[0].status));
  EXPECT_TRUE((*results)[2].status.ok());
  // The reference failed.
  EXPECT_EQ((*results)[2].agreement.document_cosine, std::nullopt);
  const absl::Status status = SummarizeFailures(*results);
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(), "2 of 3 mechanisms failed; a: no");
}

TEST(CompareMechanismsTest, TheChunkersOptionsAreNotLeftOut) {
  ScriptedClient client(
      [](const v1::EncodeOptions&) -> absl::StatusOr<EncodeResult> {
        return Unused("overlap_tokens");
      });
  StringSource text("text");
  ComparisonRequest request = Request(&text);
  request.options.set_overlap_tokens(5);
  const auto results = CompareMechanisms(&client, request);
  ASSERT_TRUE(results.ok()) << results.status();
  const absl::Status status = SummarizeFailures(*results);
  EXPECT_EQ(GetErrorDetail(status)->reason, "OPTION_UNUSED");
  EXPECT_EQ(client.calls.size(), 3U);
}

TEST(CompareMechanismsTest, AnInterruptOrABrokenSourceEndsItAll) {
  ScriptedClient cancelled(
      [](const v1::EncodeOptions&) { return absl::CancelledError(""); });
  StringSource text("text");
  EXPECT_TRUE(absl::IsCancelled(
      CompareMechanisms(&cancelled, Request(&text)).status()));
  EXPECT_EQ(cancelled.calls.size(), 1U);

  ScriptedClient client(
      [](const v1::EncodeOptions&) { return Encoded({1}, {{1}}); });
  CallbackSource once([](absl::Span<char>) { return size_t{0}; });
  const absl::Status status =
      CompareMechanisms(&client, Request(&once)).status();
  EXPECT_EQ(ExitCodeFor(status), kExitFile);
  CallbackSource broken([](absl::Span<char>) {
    return MakeClientError(absl::StatusCode::kInternal, "INPUT_READ_FAILED",
                           "gone");
  });
  EXPECT_EQ(ExitCodeFor(CompareMechanisms(&client, Request(&broken)).status()),
            kExitFile);
}

std::vector<MechanismResult> SampleResults() {
  MechanismResult good;
  good.mechanism = "bsbr";
  good.unused_options = {"seed", "gate"};
  good.encoded = Encoded({1}, {{1}, {2}});
  good.encoded.summary.set_state_bytes(2048);
  good.encoded.summary.set_peak_working_bytes(3 << 20);
  good.encoded.summary.mutable_options()->set_mechanism("bsbr");
  good.total_seconds = 0.5;
  good.compute_seconds = 0.25;
  good.agreement = {0.5, 0.25, std::nullopt, 0.125};
  MechanismResult bad;
  bad.mechanism = "full";
  bad.unused_options = {"gate"};
  bad.status = MakeClientError(absl::StatusCode::kResourceExhausted,
                               "DOCUMENT_TOO_LONG", "too\x1b[2J long");
  return {good, bad};
}

TEST(ComparisonTextTest, TableHasARowForEach) {
  ComparisonHead head;
  head.model.set_name("m");
  head.reference = "bsbr";
  head.repeat = 3;
  EXPECT_EQ(
      FormatComparison(head, SampleResults(), Terminal()),
      "MECHANISM  CHUNKS  TOKENS     TOTAL   COMPUTE  TOKENS/S   STATES     "
      "PEAK  DOCUMENT  CHUNK MEAN  MIN  NEAREST\n"
      "bsbr            2      20  500.0 ms  250.0 ms        40  2.0 KiB  3.0 "
      "MiB    0.5000      0.2500    -    12.5%\n"
      "full  failed: too\\x1b[2J long [DOCUMENT_TOO_LONG]\n"
      "\n"
      "reference  bsbr: DOCUMENT to NEAREST are the agreement with its "
      "vectors\n"
      "times      medians of 3 runs\n"
      "left out   seed for bsbr\n"
      "left out   gate for bsbr, full\n"
      "model      m\n");
}

TEST(ComparisonTextTest, JsonHasNullForWhatCannotBeCompared) {
  ComparisonHead head;
  head.input_name = "a.txt";
  head.model.set_name("m");
  head.model.set_fingerprint("00ff");
  head.reference = "bsbr";
  EXPECT_EQ(
      Dump(ComparisonToJson(head, SampleResults())),
      R"({"format":"longhand.compare.v1",)"
      R"("input":{"name":"a.txt","bytes":4},)"
      R"("model":{"name":"m","fingerprint":"00ff"},)"
      R"("reference":"bsbr","repeat":1,"mechanisms":[)"
      R"({"mechanism":"bsbr","unused_options":["seed","gate"],)"
      R"("options":{"model":"","mechanism":"bsbr","visibility":"",)"
      R"("chunker":"","pooling":"","outputs":[]},)"
      R"("chunk_count":2,"received_tokens":20,"encoded_tokens":0,)"
      R"("total_seconds":0.5,"compute_seconds":0.25,"tokens_per_second":40.0,)"
      R"("state_bytes":2048,"peak_working_bytes":3145728,)"
      R"("document_cosine":0.5,"mean_chunk_cosine":0.25,)"
      R"("min_chunk_cosine":null,"same_nearest_share":0.125},)"
      R"({"mechanism":"full","unused_options":["gate"],)"
      R"("error":{"code":"RESOURCE_EXHAUSTED","reason":"DOCUMENT_TOO_LONG",)"
      R"("message":"too\u001b[2J long"}}]})");
}

}  // namespace
}  // namespace longhand::client
