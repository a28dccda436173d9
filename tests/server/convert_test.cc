#include "server/convert.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/attention/mechanism_options.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_encoder.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;

class ConvertTest : public ::testing::Test {
 protected:
  std::string ReasonFor(const v1::EncodeOptions& options) {
    const absl::Status status = FromProto(options, model_).status();
    return GetErrorDetail(status).value_or(ErrorDetail{"OK", {}}).reason;
  }

  const ServedModel model_ = testing::FakeServedModel();
};

// By its name.
void SetNumber(const MechanismField& field, uint32_t value,
               v1::EncodeOptions* options) {
  v1::MechanismOptions* numbers = options->mutable_mechanism_options();
  const auto* proto = v1::MechanismOptions::descriptor()->FindFieldByName(
      std::string(field.name));
  ASSERT_NE(proto, nullptr) << field.name;
  numbers->GetReflection()->SetUInt32(numbers, proto, value);
}

std::vector<float> Floats(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

TEST_F(ConvertTest, NothingSetLeavesAllOpen) {
  const auto options = FromProto(v1::EncodeOptions(), model_);
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->mechanism.empty());
  EXPECT_FALSE(options->visibility.has_value());
  EXPECT_FALSE(options->gate.has_value());
  EXPECT_FALSE(options->chunk_tokens.has_value());
  EXPECT_TRUE(options->document_vector);
  EXPECT_TRUE(options->chunk_vectors);
  EXPECT_FALSE(options->token_vectors);
  EXPECT_FALSE(options->retrieval_weights);
}

TEST_F(ConvertTest, OptionsSurviveTheRoundTrip) {
  v1::EncodeOptions proto;
  proto.set_model("fake");
  proto.set_mechanism("bsbr");
  proto.set_visibility(v1::VISIBILITY_BIDIRECTIONAL);
  proto.set_gate(0.25F);
  proto.set_chunker("fixed");
  proto.set_chunk_tokens(64);
  proto.set_pooling("cls");
  proto.add_outputs(v1::OUTPUT_TOKEN_VECTORS);
  proto.add_outputs(v1::OUTPUT_RETRIEVAL_WEIGHTS);
  proto.add_outputs(v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS);
  proto.add_head_gates(0.5F);
  proto.add_head_gates(0);
  proto.add_retrieval_layers(0);
  proto.add_retrieval_layers(1);
  proto.set_features("softmax");
  proto.set_merge("balanced_lse");
  proto.set_top_k(8);
  proto.set_anchors(2);
  proto.set_anchor_share(0.25F);
  proto.set_neighbors(3);
  proto.set_state_codec("int8");
  proto.set_state_rank(5);
  proto.set_min_chunk_tokens(6);
  proto.set_overlap_tokens(7);
  proto.add_spans()->set_begin(4);
  proto.mutable_spans(0)->set_end(0xffffffffffffffffU);
  proto.set_anchor_weight(0.125F);
  proto.set_document_weight(2);
  uint32_t number = 1;
  for (const MechanismField& field : MechanismFields()) {
    SetNumber(field, number++, &proto);
  }
  proto.add_global_tokens(0);
  proto.add_global_tokens(0x7fffffffffffffffU);
  const auto options = FromProto(proto, model_);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(ToProto(*options, model_).SerializeAsString(),
            proto.SerializeAsString());
}

// The message and the table have the same names in the same order.
TEST_F(ConvertTest, MechanismOptionsAreThoseOfTheTable) {
  const auto* message = v1::MechanismOptions::descriptor();
  const auto fields = MechanismFields();
  ASSERT_EQ(static_cast<size_t>(message->field_count()), fields.size());
  for (int i = 0; i < message->field_count(); ++i) {
    const auto* field = message->field(i);
    EXPECT_EQ(field->name(), fields[static_cast<size_t>(i)].name);
    EXPECT_EQ(field->number(), i + 1);
    EXPECT_EQ(field->cpp_type(),
              google::protobuf::FieldDescriptor::CPPTYPE_UINT32);
    EXPECT_TRUE(field->has_presence());
  }
}

TEST_F(ConvertTest, MechanismOptionsReachTheirOwnFields) {
  for (const MechanismField& field : MechanismFields()) {
    v1::EncodeOptions proto;
    SetNumber(field, 0, &proto);
    const auto options = FromProto(proto, model_);
    ASSERT_TRUE(options.ok()) << options.status();
    MechanismOptions expected;
    expected.*field.value = 0;
    EXPECT_EQ(options->mechanism_options, expected) << field.name;
  }
}

TEST_F(ConvertTest, MechanismOptionsMustFitAnInt) {
  for (const MechanismField& field : MechanismFields()) {
    v1::EncodeOptions proto;
    SetNumber(field, 0x7fffffffU, &proto);  // the encoder knows the bounds
    EXPECT_EQ(ReasonFor(proto), "OK") << field.name;
    SetNumber(field, 0x80000000U, &proto);
    const absl::Status status = FromProto(proto, model_).status();
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value()) << field.name;
    EXPECT_EQ(detail->reason, "MECHANISM_OPTION_OUT_OF_RANGE");
    EXPECT_EQ(detail->metadata.at("field"), field.name);
    EXPECT_EQ(detail->metadata.at("max"), std::to_string(field.max));
  }
  v1::EncodeOptions proto;
  proto.add_global_tokens(0x8000000000000000U);
  EXPECT_EQ(ReasonFor(proto), "GLOBAL_TOKENS_INVALID");
}

// No field of the message is forgotten on either way.
TEST_F(ConvertTest, EveryFieldIsInTheRoundTripAbove) {
  EXPECT_EQ(v1::EncodeOptions::descriptor()->field_count(), 25);
}

TEST_F(ConvertTest, ZeroIsAValue) {
  v1::EncodeOptions proto;
  proto.set_top_k(0);
  proto.set_anchors(0);
  proto.set_anchor_share(0);
  proto.set_neighbors(0);
  proto.set_overlap_tokens(0);
  proto.set_anchor_weight(0);
  const auto options = FromProto(proto, model_);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->top_k, 0);
  EXPECT_EQ(options->anchors, 0);
  EXPECT_EQ(options->anchor_share, 0.0F);
  EXPECT_EQ(options->neighbors, 0);
  EXPECT_EQ(options->overlap_tokens, 0);
  EXPECT_EQ(options->anchor_weight, 0.0F);
  EXPECT_FALSE(options->state_rank.has_value());
  EXPECT_FALSE(options->features.has_value());
  EXPECT_FALSE(options->merge.has_value());
}

TEST_F(ConvertTest, UnknownNamesComeWithTheKnownOnes) {
  v1::EncodeOptions proto;
  proto.set_features("magic\xff");
  absl::Status status = FromProto(proto, model_).status();
  EXPECT_EQ(GetErrorDetail(status)->reason, "FEATURES_UNKNOWN");
  EXPECT_EQ(GetErrorDetail(status)->metadata.at("known"), "elu, softmax");
  // What the client sent is not repeated.
  EXPECT_EQ(std::string(status.message()).find("magic"), std::string::npos);
  proto.Clear();
  proto.set_merge("magic");
  status = FromProto(proto, model_).status();
  EXPECT_EQ(GetErrorDetail(status)->reason, "MERGE_UNKNOWN");
  EXPECT_EQ(GetErrorDetail(status)->metadata.at("known"),
            "gate, lse, balanced_lse");
}

TEST_F(ConvertTest, NumbersMustFitAnInt) {
  const std::vector<
      std::pair<void (v1::EncodeOptions::*)(uint32_t), const char*>>
      fields = {{&v1::EncodeOptions::set_top_k, "TOP_K_OUT_OF_RANGE"},
                {&v1::EncodeOptions::set_anchors, "ANCHORS_OUT_OF_RANGE"},
                {&v1::EncodeOptions::set_neighbors, "NEIGHBORS_OUT_OF_RANGE"},
                {&v1::EncodeOptions::set_state_rank, "STATE_RANK_OUT_OF_RANGE"},
                {&v1::EncodeOptions::set_min_chunk_tokens,
                 "MIN_CHUNK_TOKENS_OUT_OF_RANGE"},
                {&v1::EncodeOptions::set_overlap_tokens,
                 "OVERLAP_TOKENS_OUT_OF_RANGE"},
                {&v1::EncodeOptions::add_retrieval_layers,
                 "RETRIEVAL_LAYERS_OUT_OF_RANGE"}};
  for (const auto& [set, reason] : fields) {
    v1::EncodeOptions proto;
    (proto.*set)(0x7fffffffU);
    EXPECT_EQ(ReasonFor(proto), "OK") << reason;
    proto.Clear();
    (proto.*set)(0x80000000U);
    EXPECT_EQ(ReasonFor(proto), reason);
  }
}

TEST_F(ConvertTest, ResultsOfRetrievalAreComplete) {
  ChunkResult chunk;
  EXPECT_FALSE(ToProto(chunk).has_context_mix());
  chunk.mix = {0.5F, 3, 0.25F, 9};
  const v1::ContextMix mix = ToProto(chunk).context_mix();
  EXPECT_EQ(mix.anchor_weight(), 0.5F);
  EXPECT_EQ(mix.anchor_chunk(), 3U);
  EXPECT_EQ(mix.document_weight(), 0.25F);
  EXPECT_EQ(mix.document_chunks(), 9U);
  const v1::SpanVector span = ToProto(SpanResult{.index = 4,
                                                 .span = {1, 2},
                                                 .begin_token = 5,
                                                 .end_token = 6,
                                                 .norm = 7,
                                                 .vector = {8, 9},
                                                 .mix = chunk.mix});
  EXPECT_EQ(span.index(), 4U);
  EXPECT_EQ(span.begin_byte(), 1U);
  EXPECT_EQ(span.end_byte(), 2U);
  EXPECT_EQ(span.begin_token(), 5U);
  EXPECT_EQ(span.end_token(), 6U);
  EXPECT_EQ(span.norm(), 7);
  EXPECT_THAT(Floats(span.vector()), ElementsAre(8, 9));
  EXPECT_EQ(span.context_mix().document_chunks(), 9U);
  const v1::HeadRetrievalWeights weights =
      ToProto(HeadWeightsResult{3, 2, {0, 1}});
  EXPECT_EQ(weights.chunk_index(), 3U);
  EXPECT_EQ(weights.layer(), 2U);
  EXPECT_THAT(Floats(weights.weights()), ElementsAre(0, 1));
}

TEST_F(ConvertTest, UnknownEnumValuesAreRefused) {
  for (int value : {-1, 4, 1000, std::numeric_limits<int>::max()}) {
    v1::EncodeOptions proto;
    proto.set_visibility(static_cast<v1::Visibility>(value));
    EXPECT_EQ(ReasonFor(proto), "VISIBILITY_UNKNOWN") << value;
  }
  for (int value : {-1, 0, 6, std::numeric_limits<int>::min()}) {
    v1::EncodeOptions proto;
    proto.add_outputs(v1::OUTPUT_CHUNK_VECTORS);
    proto.add_outputs(static_cast<v1::Output>(value));
    EXPECT_EQ(ReasonFor(proto), "OUTPUT_UNKNOWN") << value;
  }
}

TEST_F(ConvertTest, EveryKnownEnumValueIsUnderstood) {
  const auto* visibilities = v1::Visibility_descriptor();
  for (int i = 0; i < visibilities->value_count(); ++i) {
    v1::EncodeOptions proto;
    proto.set_visibility(
        static_cast<v1::Visibility>(visibilities->value(i)->number()));
    EXPECT_EQ(ReasonFor(proto), "OK") << visibilities->value(i)->name();
  }
  const auto* outputs = v1::Output_descriptor();
  for (int i = 1; i < outputs->value_count(); ++i) {
    v1::EncodeOptions proto;
    proto.add_outputs(static_cast<v1::Output>(outputs->value(i)->number()));
    EXPECT_EQ(ReasonFor(proto), "OK") << outputs->value(i)->name();
  }
}

TEST_F(ConvertTest, GateMustBeAShare) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (float gate : {-0.001F, 1.001F, kInfinity, -kInfinity, NAN, -NAN}) {
    v1::EncodeOptions proto;
    proto.set_gate(gate);
    EXPECT_EQ(ReasonFor(proto), "GATE_OUT_OF_RANGE") << gate;
  }
  for (float gate : {0.0F, -0.0F, 1.0F}) {
    v1::EncodeOptions proto;
    proto.set_gate(gate);
    EXPECT_EQ(ReasonFor(proto), "OK") << gate;
  }
}

TEST_F(ConvertTest, ChunkTokensMustFitTheModel) {
  for (uint32_t tokens : {0U, 2U, 513U, 0x80000001U, 0xffffffffU}) {
    v1::EncodeOptions proto;
    proto.set_chunk_tokens(tokens);
    const absl::Status status = FromProto(proto, model_).status();
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value()) << tokens;
    EXPECT_EQ(detail->reason, "CHUNK_TOKENS_OUT_OF_RANGE");
    EXPECT_EQ(detail->metadata.at("min"), "3");
    EXPECT_EQ(detail->metadata.at("max"), "512");
  }
  for (uint32_t tokens : {3U, 512U}) {
    v1::EncodeOptions proto;
    proto.set_chunk_tokens(tokens);
    EXPECT_EQ(ReasonFor(proto), "OK") << tokens;
  }
}

TEST_F(ConvertTest, OtherModelsAreNotFound) {
  v1::EncodeOptions proto;
  proto.set_model("other\n\xff");
  const absl::Status status = FromProto(proto, model_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonFor(proto), "MODEL_NOT_FOUND");
  // What the client sent is not repeated.
  EXPECT_EQ(std::string(status.message()).find("other"), std::string::npos);
}

TEST_F(ConvertTest, ContentIsOneOfTwo) {
  v1::EncodeRequest request;
  EXPECT_EQ(GetErrorDetail(ContentFromProto(request).status())->reason,
            "CONTENT_MISSING");
  request.set_text("caf\xc3");
  auto content = ContentFromProto(request);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(std::get<std::string>(*content), "caf\xc3");
  request.mutable_token_ids()->add_ids(7);
  content = ContentFromProto(request);
  ASSERT_TRUE(content.ok());
  EXPECT_THAT(std::get<std::vector<int32_t>>(*content), ElementsAre(7));
}

TEST_F(ConvertTest, TokenIdsKeepTheirBits) {
  v1::TokenIds ids;
  for (uint32_t id : {0U, 999U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    ids.add_ids(id);
  }
  EXPECT_THAT(FromProto(ids),
              ElementsAre(0, 999, std::numeric_limits<int32_t>::max(),
                          std::numeric_limits<int32_t>::min(), -1));
}

TEST_F(ConvertTest, FloatsTravelAsLittleEndianBytes) {
  const std::vector<float> values = {1.0F, -2.5F};
  EXPECT_EQ(FloatBytes(values.data(), values.size()),
            std::string("\x00\x00\x80\x3f\x00\x00\x20\xc0", 8));
  EXPECT_EQ(FloatBytes(nullptr, 0), "");
}

TEST_F(ConvertTest, TokensAreSplitBetweenRows) {
  TokenResult tokens = {.chunk_index = 3, .begin_token = 100};
  for (int i = 0; i < 5; ++i) {
    tokens.ids.push_back(i);
    tokens.begin.push_back(10 + i);
    tokens.end.push_back(11 + i);
    tokens.vectors.insert(tokens.vectors.end(), {i * 1.0F, i * 2.0F});
  }
  const auto parts = ToProto(tokens, 17);  // two rows of 8 bytes
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_THAT(parts[1].ids(), ElementsAre(2, 3));
  EXPECT_THAT(parts[1].begin_bytes(), ElementsAre(12, 13));
  EXPECT_THAT(parts[1].end_bytes(), ElementsAre(13, 14));
  EXPECT_EQ(parts[1].begin_token(), 102U);
  EXPECT_EQ(parts[1].chunk_index(), 3U);
  EXPECT_THAT(Floats(parts[1].vectors()), ElementsAre(2, 4, 3, 6));
  EXPECT_THAT(Floats(parts[2].vectors()), ElementsAre(4, 8));
  EXPECT_EQ(ToProto(tokens, 1).size(), 5U);
  EXPECT_EQ(ToProto(TokenResult(), 1).size(), 0U);
}

TEST_F(ConvertTest, TokensOfIdInputHaveNoSpans) {
  TokenResult tokens;
  tokens.ids = {1, 2};
  tokens.vectors = {1, 2};
  const auto parts = ToProto(tokens, 1024);
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].begin_bytes_size(), 0);
}

TEST_F(ConvertTest, SummaryIsComplete) {
  EncodeSummary summary;
  summary.received_bytes = 1;
  summary.received_tokens = 2;
  summary.encoded_tokens = 3;
  summary.reused_tokens = 4;
  summary.chunk_count = 5;
  summary.state_bytes = 6;
  summary.peak_working_bytes = 7;
  summary.options = model_.default_options;
  summary.options.spans = {{0, 1}};
  summary.timings.total = absl::Milliseconds(2500);
  const v1::EncodeSummary proto = ToProto(summary, model_);
  EXPECT_EQ(proto.received_bytes(), 1U);
  EXPECT_EQ(proto.received_tokens(), 2U);
  EXPECT_EQ(proto.encoded_tokens(), 3U);
  EXPECT_EQ(proto.reused_tokens(), 4U);
  EXPECT_EQ(proto.chunk_count(), 5U);
  EXPECT_EQ(proto.state_bytes(), 6U);
  EXPECT_EQ(proto.peak_working_bytes(), 7U);
  EXPECT_EQ(proto.hidden_size(), 4U);
  EXPECT_EQ(proto.model_fingerprint(), "00ff");
  EXPECT_EQ(proto.options().visibility(), v1::VISIBILITY_CAUSAL);
  EXPECT_EQ(proto.options().spans_size(), 0);
  EXPECT_EQ(proto.timings().total().seconds(), 2);
  EXPECT_EQ(proto.timings().total().nanos(), 500000000);
}

// Both streams together are what a vector holds.
TEST_F(ConvertTest, HiddenSizeIsThatOfTheVectors) {
  ServedModel model = model_;
  model.config.reversible = true;
  EXPECT_EQ(ToProto(EncodeSummary(), model).hidden_size(), 8U);
  EXPECT_EQ(ToProto(model, EncoderOptions(), 1).hidden_size(), 8U);
}

TEST_F(ConvertTest, ModelIsDescribed) {
  EncoderOptions encoder;
  encoder.workers = 3;
  const v1::Model proto = ToProto(model_, encoder, 4096);
  EXPECT_EQ(proto.name(), "fake");
  EXPECT_EQ(proto.family(), "bert");
  EXPECT_EQ(proto.max_chunk_tokens(), 512U);
  EXPECT_EQ(proto.precision().stored(), "bf16");
  EXPECT_THAT(proto.poolings(), ElementsAre("cls", "max", "mean"));
  EXPECT_EQ(proto.limits().max_message_bytes(), 4096U);
  EXPECT_EQ(proto.runtime().worker_count(), 3U);
  EXPECT_EQ(proto.default_options().chunk_tokens(), 128U);
}

}  // namespace
}  // namespace longhand
