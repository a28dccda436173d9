// What sessions make of options: defaults, refusals, fingerprints and keys.

#include "core/session/encoder_session_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "core/base/error.h"
#include "core/engine/encode_options.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/core/session/document_harness.h"

namespace longhand {
namespace {

using testing::Append;
using testing::MakeDocument;
using testing::MakeEncoder;
using testing::OpenEncoder;
using testing::RandomIds;
using testing::ReasonOf;
using ::testing::Test;
using testing::TinyModel;

class EncoderSessionModelTest : public Test {
 protected:
  std::string ReasonFor(const EncodeOptions& options) {
    return ReasonOf(model_->ResolveOptions(options).status());
  }

  std::unique_ptr<Encoder> encoder_ = MakeEncoder(TinyModel());
  std::unique_ptr<SessionModel> model_ =
      MakeEncoderSessionModel(encoder_.get());
};

TEST_F(EncoderSessionModelTest, DocumentWeightIsOff) {
  ASSERT_NE(*encoder_->ResolveOptions({})->document_weight, 0);
  EXPECT_EQ(*model_->ResolveOptions({})->document_weight, 0);
  EncodeOptions options;
  options.document_weight = 0;
  EXPECT_EQ(ReasonFor(options), "");
  options.document_weight = -0.5f;
  EXPECT_EQ(ReasonFor(options), "DOCUMENT_WEIGHT_IN_SESSION");
}

TEST_F(EncoderSessionModelTest, SomeOutputsAreNotThere) {
  EncodeOptions spans, tokens, weights, heads;
  spans.spans = {{0, 1}};
  tokens.token_vectors = true;
  weights.retrieval_weights = true;
  heads.head_weights = true;
  for (const EncodeOptions& options : {spans, tokens, weights, heads}) {
    EXPECT_EQ(ReasonFor(options), "OUTPUT_UNAVAILABLE");
  }
}

TEST_F(EncoderSessionModelTest, WhatNeedsTheWholeDocumentIsRefused) {
  EncodeOptions options;
  options.mechanism = "bsbr";
  options.visibility = Visibility::kBidirectional;
  const absl::Status status = model_->ResolveOptions(options).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(ReasonOf(status), "NOT_STREAMABLE");
  EXPECT_NE(status.message().find("\"causal\" or \"two_pass\""),
            absl::string_view::npos)
      << status;
  // It retrieves nothing, so nothing has to wait.
  options.gate = 0;
  EXPECT_EQ(ReasonFor(options), "");
}

TEST_F(EncoderSessionModelTest, AMechanismThatCannotStreamNamesOthers) {
  auto encoder = MakeEncoder(testing::BsbrModel());
  EncodeOptions options;
  options.mechanism = "bsbr_reference";
  const absl::Status status =
      MakeEncoderSessionModel(encoder.get())->ResolveOptions(options).status();
  EXPECT_EQ(ReasonOf(status), "NOT_STREAMABLE");
  EXPECT_NE(status.message().find("the mechanism \"bsbr_causal\""),
            absl::string_view::npos)
      << status;
}

TEST_F(EncoderSessionModelTest, NoMechanismStreamsWhatNeedsTheWholeDocument) {
  int refused = 0;
  for (const std::string& name : AvailableMechanisms(encoder_->model())) {
    EncodeOptions options;
    options.mechanism = name;
    options.visibility = Visibility::kBidirectional;
    options.document_weight = 0;
    const auto resolved = encoder_->ResolveOptions(options);
    if (!resolved.ok()) continue;  // it knows another visibility alone
    const auto attention = MakeAttention(encoder_->model(), *resolved);
    ASSERT_TRUE(attention.ok()) << name;
    if (!(*attention)->needs_whole_document()) continue;
    const absl::Status status = model_->ResolveOptions(options).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << name;
    EXPECT_EQ(ReasonOf(status), "NOT_STREAMABLE") << name;
    EXPECT_NE(status.message().find(absl::StrCat("\"", name, "\"")),
              absl::string_view::npos)
        << status;
    // What to use instead, whatever it is.
    const absl::string_view message = status.message();
    const size_t use = message.find("; use the ");
    ASSERT_NE(use, absl::string_view::npos) << status;
    EXPECT_NE(message.find('"', use), absl::string_view::npos) << status;
    ++refused;
  }
  EXPECT_GT(refused, 2);
}

// They may come from a snapshot that anybody wrote.
TEST_F(EncoderSessionModelTest, OpensNoNumbersThatNobodyMayAskFor) {
  EncodeOptions options;
  options.mechanism = "bsbr";
  const auto resolved = model_->ResolveOptions(options);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  for (const MechanismField& field : MechanismFields()) {
    for (const int64_t value :
         {int64_t{field.min} - 1, int64_t{field.max} + 1}) {
      EncodeOptions forged = *resolved;
      forged.mechanism_options.*field.value = int(value);
      EXPECT_EQ(ReasonOf(model_->Open(forged).status()),
                "MECHANISM_OPTION_OUT_OF_RANGE")
          << field.name << " " << value;
    }
  }
  EncodeOptions forged = *resolved;
  forged.global_tokens = {5, 3};
  EXPECT_EQ(ReasonOf(model_->Open(forged).status()), "GLOBAL_TOKENS_INVALID");
  forged.global_tokens = {-1};
  EXPECT_EQ(ReasonOf(model_->Open(forged).status()), "GLOBAL_TOKENS_INVALID");
}

TEST_F(EncoderSessionModelTest, KeysKnowPositionsWhereTheModelDoes) {
  auto encoder = MakeEncoder(testing::BsbrModel());
  EncodeOptions options;
  options.mechanism = "bsbr_causal";
  const auto session = OpenEncoder(*encoder, options);
  const std::vector<int32_t> ids = {5, 6};
  EXPECT_NE(session->MakeKey("", {}, {0, 2, 0, 2}, ids),
            session->MakeKey("", {}, {2, 4, 2, 4}, ids));
}

TEST_F(EncoderSessionModelTest, ErrorsOfTheEncoderStay) {
  EncodeOptions options;
  options.mechanism = "none";
  EXPECT_EQ(ReasonFor(options),
            ReasonOf(encoder_->ResolveOptions(options).status()));
}

TEST_F(EncoderSessionModelTest, OpensWhatItResolved) {
  for (const char* mechanism :
       {"bsbr", "bsbr_cumulant", "bsbr_exact", "independent"}) {
    EncodeOptions options;
    options.mechanism = mechanism;
    const auto resolved = model_->ResolveOptions(options);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_TRUE(model_->Open(*resolved).ok())
        << model_->Open(*resolved).status();
  }
}

TEST_F(EncoderSessionModelTest, OpensNothingElse) {
  const EncodeOptions good = *model_->ResolveOptions({});
  const auto refuses = [&](auto change) {
    EncodeOptions options = good;
    change(options);
    return absl::IsFailedPrecondition(model_->Open(options).status());
  };
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o = {}; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.mechanism = "none"; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.mechanism = ""; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.chunker = "none"; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.pooling = "none"; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.state_codec = "none"; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.chunk_tokens = 0; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.chunk_tokens = 1 << 20; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.gate = 2; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.gate.reset(); }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.document_weight = 1; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.anchor_weight = -1; }));
  EXPECT_TRUE(refuses(
      [](EncodeOptions& o) { o.visibility = Visibility::kBidirectional; }));
  EXPECT_TRUE(refuses([](EncodeOptions& o) { o.retrieval_layers = {7}; }));
}

TEST_F(EncoderSessionModelTest, FingerprintsNameWhatDiffers) {
  EncodeOptions options;
  options.mechanism = "bsbr";
  const auto ours = OpenEncoder(*encoder_, options)->fingerprint();
  EXPECT_TRUE(CheckFingerprint(ours, ours).ok());
  const auto differing = [&](EncodeOptions other) {
    const absl::Status status =
        CheckFingerprint(ours, OpenEncoder(*encoder_, other)->fingerprint());
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    const auto detail = GetErrorDetail(status);
    return detail ? detail->metadata.at("field") : "";
  };
  EncodeOptions gate = options, chunks = options, codec = options,
                pooling = options;
  gate.gate = std::nextafter(*model_->ResolveOptions(options)->gate, 1.0f);
  chunks.chunk_tokens = 33;
  codec.state_codec = "int8";
  pooling.pooling = "max";
  EXPECT_EQ(differing(gate), "gate");
  EXPECT_EQ(differing(chunks), "chunk_tokens");
  EXPECT_EQ(differing(codec), "state_codec");
  EXPECT_EQ(differing(pooling), "pooling");
  auto shorter = ours;
  shorter.pop_back();
  EXPECT_FALSE(CheckFingerprint(ours, shorter).ok());
  EXPECT_FALSE(CheckFingerprint(shorter, ours).ok());
}

TEST_F(EncoderSessionModelTest, KeysCoverWhatTheyMust) {
  EncodeOptions causal, two_pass;
  causal.mechanism = two_pass.mechanism = "bsbr";
  two_pass.visibility = Visibility::kTwoPass;
  const auto a = OpenEncoder(*encoder_, causal);
  const auto b = OpenEncoder(*encoder_, two_pass);
  EXPECT_TRUE(a->is_chained());
  EXPECT_FALSE(b->is_chained());
  EXPECT_FALSE(OpenEncoder(*encoder_,
                           [] {
                             EncodeOptions options;
                             options.mechanism = "independent";
                             return options;
                           }())
                   ->is_chained());
  const std::vector<int32_t> ids = {5, 6, 7, 8};
  const Chunk place = {10, 12, 9, 13};
  const ChunkKey none{}, other{1};
  const ChunkKey key = a->MakeKey("s", none, place, ids);
  EXPECT_EQ(key, a->MakeKey("s", none, place, ids));
  EXPECT_NE(key, b->MakeKey("s", none, place, ids));
  EXPECT_NE(key, a->MakeKey("t", none, place, ids));
  EXPECT_NE(key, a->MakeKey("s", other, place, ids));
  EXPECT_EQ(b->MakeKey("s", none, place, ids),
            b->MakeKey("s", other, place, ids));
  // The same chunk elsewhere.
  EXPECT_EQ(key, a->MakeKey("s", none, {20, 22, 19, 23}, ids));
  EXPECT_NE(key, a->MakeKey("s", none, {10, 13, 9, 13}, ids));
  EXPECT_NE(key, a->MakeKey("s", none, {9, 12, 9, 13}, ids));
  EXPECT_NE(key, a->MakeKey("s", none, place, {5, 6, 7, 9}));
  EncodeOptions pooling = causal;
  pooling.pooling = "max";
  EXPECT_NE(key,
            OpenEncoder(*encoder_, pooling)->MakeKey("s", none, place, ids));
}

TEST_F(EncoderSessionModelTest, StatesComeBack) {
  for (const char* codec : {"f32", "bf16", "int8", "low_rank"}) {
    EncodeOptions options;
    options.mechanism = "bsbr";
    options.chunk_tokens = 24;
    options.state_codec = codec;
    const auto encoder = OpenEncoder(*encoder_, options);
    SessionDocument document = MakeDocument(encoder);
    Append(document, RandomIds(100, 1));
    const ChunkRecord& chunk = *document.chunks()[0];
    const auto bytes = chunk.encoded->state->bytes();
    const std::string_view stored(reinterpret_cast<const char*>(bytes.data()),
                                  bytes.size());
    const int tokens = int(chunk.ids.size());
    const auto state = encoder->DecodeState(tokens, stored);
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(),
                           (*state)->bytes().begin(), (*state)->bytes().end()));
    EXPECT_EQ((*state)->fingerprint(), chunk.encoded->state->fingerprint());
    EXPECT_EQ(
        ReasonOf(
            encoder->DecodeState(tokens, stored.substr(0, stored.size() - 1))
                .status()),
        "STATE_CORRUPT");
    EXPECT_EQ(ReasonOf(encoder->DecodeState(-1, stored).status()),
              "STATE_CORRUPT");
  }
}

TEST_F(EncoderSessionModelTest, ComputationStops) {
  EncodeOptions options;
  options.mechanism = "bsbr";
  options.visibility = Visibility::kTwoPass;
  options.chunk_tokens = 24;
  const auto encoder = OpenEncoder(*encoder_, options);
  const ChunkWork work = {
      .place = {0, 20, 0, 20}, .window_ids = RandomIds(20, 1), .key = {}};
  const std::atomic<bool> cancelled = true;
  const StopCondition stopped{.cancelled = &cancelled};
  const StopCondition late{.deadline = absl::InfinitePast()};
  EXPECT_EQ(
      ReasonOf(encoder->Compute({}, absl::MakeConstSpan(&work, 1), stopped)
                   .status()),
      "CANCELLED");
  EXPECT_EQ(
      ReasonOf(
          encoder->Compute({}, absl::MakeConstSpan(&work, 1), late).status()),
      "DEADLINE_EXCEEDED");
  EXPECT_TRUE(encoder->Compute({}, absl::MakeConstSpan(&work, 1), {}).ok());
  SessionDocument document = MakeDocument(encoder);
  Append(document, RandomIds(100, 1));
  EXPECT_TRUE(absl::IsCancelled(
      encoder->Retrieve(document.chunks(), stopped).status()));
  EXPECT_TRUE(absl::IsCancelled(
      encoder->Ask(document.chunks(), std::vector<Question>{{{5, 6}}}, stopped)
          .status()));
}

TEST_F(EncoderSessionModelTest, ComputationThatWaitsForAWorkerStops) {
  auto encoder = MakeEncoder(TinyModel(), {.workers = 1});
  EncodeOptions options;
  options.mechanism = "bsbr";
  options.chunk_tokens = 24;
  const auto session = OpenEncoder(*encoder, options);
  std::vector<ChunkWork> work;
  for (int i = 0; i < 8; ++i) {
    work.push_back({.place = {20 * i, 20 * i + 20, 20 * i, 20 * i + 20},
                    .window_ids = RandomIds(20, i),
                    .key = {}});
  }
  std::atomic<bool> cancelled = false;
  // The only worker is taken, so the pass waits, and is stopped meanwhile.
  absl::Notification waiting, go_on;
  encoder->Run([&] {
    waiting.Notify();
    go_on.WaitForNotification();
  });
  waiting.WaitForNotification();
  std::thread canceller([&] {
    cancelled = true;
    go_on.Notify();
  });
  EXPECT_EQ(
      ReasonOf(session->Compute({}, work, {.cancelled = &cancelled}).status()),
      "CANCELLED");
  canceller.join();
  EXPECT_TRUE(session->Compute({}, work, {}).ok());
}

TEST_F(EncoderSessionModelTest, WorkingMemoryIsLimited) {
  auto small = MakeEncoder(TinyModel(), {.max_working_bytes = 1000});
  SessionDocument document = MakeDocument(OpenEncoder(*small, [] {
    EncodeOptions options;
    options.chunk_tokens = 24;
    return options;
  }()));
  testing::TestResources resources;
  EXPECT_EQ(
      ReasonOf(document.Append(RandomIds(100, 1), resources, {}).status()),
      "OVERLOADED");
}

}  // namespace
}  // namespace longhand
