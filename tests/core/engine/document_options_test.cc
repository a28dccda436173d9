// What a request can choose beyond the road itself: visibilities, state codecs,
// chunkers, spans, pooling in context, weights per head, and what is refused.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/chunking/registry.h"
#include "core/engine/encoder.h"
#include "core/pooling/pooler.h"
#include "core/state/state_codec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"

namespace longhand {
namespace {

using testing::Encoded;
using testing::EncodeIds;
using testing::EncodePieces;
using testing::ExpectSame;
using ::testing::HasSubstr;
using testing::MakeEncoder;
using testing::RandomIds;
using testing::ReasonOf;
using testing::TinyModel;
using testing::TinyTextModel;

constexpr char kText[] =
    "The first part says what it is about.\n\nA second one follows, with more "
    "words in it than the first. It has two sentences.\n\n# Heading\n\nAnd the "
    "last part ends it all.";

std::vector<float> Unit(std::vector<float> vector) {
  NormalizeL2(absl::MakeSpan(vector));
  return vector;
}

float MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(a[i] - b[i]));
  }
  return most;
}

TEST(Visibility, TwoPassIsIndependentOfBatchesAndStreams) {
  EncodeOptions options;
  options.visibility = Visibility::kTwoPass;
  options.chunk_tokens = 16;
  const auto ids = RandomIds(200, 1);
  Encoded results[2];
  for (int batch : {1, 7}) {
    auto encoder = MakeEncoder(TinyModel(), {.max_batch_chunks = batch});
    results[batch == 7] = EncodeIds(*encoder, ids, options);
  }
  ExpectSame(results[0], results[1], 0);
  // Every chunk is computed twice; this model has no special tokens.
  EXPECT_EQ(results[0].summary->encoded_tokens, 2 * ids.size());
  EXPECT_GT(results[0].summary->state_bytes, 0);
}

TEST(Visibility, TwoPassOfOneChunkIsThePlainModel) {
  auto encoder = MakeEncoder(TinyModel());
  EncodeOptions options;
  options.visibility = Visibility::kTwoPass;
  EncodeOptions independent;
  independent.mechanism = "independent";
  const auto ids = RandomIds(60, 2);
  ExpectSame(EncodeIds(*encoder, ids, options),
             EncodeIds(*encoder, ids, independent), 0);
}

TEST(Visibility, TwoPassEditChangesNoOtherChunksState) {
  auto encoder = MakeEncoder(TinyModel());
  EncodeOptions options;
  options.visibility = Visibility::kTwoPass;
  options.chunk_tokens = 14;
  // Chunks may retrieve from one chunk alone, the first one: those that do not
  // look at the edited chunk keep their vectors bit for bit.
  options.top_k = 0;
  options.anchors = 1;
  options.anchor_share = 1.0f;
  options.anchor_weight = 0;
  options.document_weight = 0;
  auto ids = RandomIds(14 * 6, 3);
  const auto before = EncodeIds(*encoder, ids, options).chunks();
  for (int i = 14 * 3; i < 14 * 4; ++i) ids[size_t(i)] = 4 + i;
  const auto after = EncodeIds(*encoder, ids, options).chunks();
  for (size_t i : {1, 2, 4, 5}) {
    EXPECT_LE(MaxDifference(before[i].vector, after[i].vector), 1e-6) << i;
  }
  EXPECT_GT(MaxDifference(before[3].vector, after[3].vector), 1e-3);
}

TEST(StateCodecs, SmallerCodecsHoldFewerBytesAndStayNear) {
  auto encoder = MakeEncoder(TinyModel());
  const auto ids = RandomIds(400, 4);
  EncodeOptions options;
  options.chunk_tokens = 32;
  const Encoded exact = EncodeIds(*encoder, ids, options);
  ASSERT_TRUE(exact.summary.ok());
  for (const std::string& codec : StateCodecRegistry().Names()) {
    options.state_codec = codec;
    options.state_rank = 4;
    const Encoded packed = EncodeIds(*encoder, ids, options);
    ASSERT_TRUE(packed.summary.ok()) << packed.summary.status();
    if (codec == "f32") {
      EXPECT_EQ(packed.summary->state_bytes, exact.summary->state_bytes);
      continue;
    }
    EXPECT_LT(packed.summary->state_bytes, exact.summary->state_bytes) << codec;
    float cosine = 0;
    for (size_t i = 0; i < exact.summary->document_vector.size(); ++i) {
      cosine += Unit(exact.summary->document_vector)[i] *
                Unit(packed.summary->document_vector)[i];
    }
    EXPECT_GE(cosine, 0.99f) << codec;
  }
}

TEST(Chunkers, EveryOneTilesTheTextAndGivesVectors) {
  auto encoder = MakeEncoder(TinyTextModel());
  for (const std::string& chunker : ChunkerRegistry().Names()) {
    EncodeOptions options;
    options.chunker = chunker;
    options.chunk_tokens = 40;
    const Encoded encoded = EncodePieces(*encoder, {kText}, options);
    ASSERT_TRUE(encoded.summary.ok()) << chunker << encoded.summary.status();
    const auto chunks = encoded.chunks();
    ASSERT_GT(chunks.size(), 2u) << chunker;
    uint64_t begin = 0;
    for (const ChunkResult& chunk : chunks) {
      EXPECT_EQ(chunk.begin_byte, begin) << chunker;
      EXPECT_LE(chunk.end_token - chunk.begin_token, 38u) << chunker;
      EXPECT_GT(chunk.norm, 0) << chunker;
      begin = chunk.end_byte;
    }
    EXPECT_EQ(begin, sizeof(kText) - 1) << chunker;
  }
}

TEST(Chunkers, OverlapComputesMoreRowsThanTokens) {
  auto encoder = MakeEncoder(TinyTextModel());
  EncodeOptions options;
  options.mechanism = "independent";
  options.chunk_tokens = 40;
  const Encoded fixed = EncodePieces(*encoder, {kText}, options);
  options.chunker = "overlap";
  options.overlap_tokens = 19;
  const Encoded overlap = EncodePieces(*encoder, {kText}, options);
  EXPECT_EQ(fixed.summary->received_tokens, overlap.summary->received_tokens);
  EXPECT_GT(overlap.summary->encoded_tokens,
            fixed.summary->encoded_tokens * 3 / 2);
}

TEST(Chunkers, ThoseThatNeedTextRefuseIds) {
  auto encoder = MakeEncoder(TinyTextModel());
  bool any = false;
  for (const std::string& chunker : ChunkerRegistry().Names()) {
    auto made = (**ChunkerRegistry().Find(chunker))(
        {.max_tokens = 10,
         .token_table = {TinyModel()->embedding().tokens.span(), 64}});
    ASSERT_TRUE(made.ok());
    EncodeOptions options;
    options.chunker = chunker;
    const auto status =
        EncodeIds(*encoder, RandomIds(50, 5), options).summary.status();
    EXPECT_EQ(ReasonOf(status), (*made)->needs_text() ? "TEXT_NEEDED" : "")
        << chunker;
    any = any || (*made)->needs_text();
  }
  EXPECT_TRUE(any);
}

// The pooled token vectors, from what the encoder says of the tokens.
std::vector<float> PoolTokens(const Encoded& encoded, ByteSpan span) {
  std::vector<float> sum(64);
  int count = 0;
  for (const TokenResult& tokens : encoded.sink->tokens()) {
    for (size_t t = 0; t < tokens.ids.size(); ++t) {
      if (tokens.end[t] <= span.begin || tokens.begin[t] >= span.end) continue;
      for (size_t i = 0; i < 64; ++i) sum[i] += tokens.vectors[t * 64 + i];
      ++count;
    }
  }
  for (float& value : sum) value /= float(count);
  return sum;
}

TEST(Spans, AreTheMeanOfTheirTokens) {
  auto encoder = MakeEncoder(TinyTextModel());
  for (Visibility visibility : {Visibility::kCausal, Visibility::kTwoPass}) {
    EncodeOptions options;
    options.visibility = visibility;
    options.chunk_tokens = 20;
    options.token_vectors = true;
    options.anchor_weight = 0;
    options.document_weight = 0;
    // Not in order, overlapping, within a chunk, over many, the whole text.
    options.spans = {{60, 90}, {4, 9}, {0, sizeof(kText) - 1}, {5, 120}};
    const Encoded encoded = EncodePieces(*encoder, {kText}, options);
    ASSERT_TRUE(encoded.summary.ok()) << encoded.summary.status();
    const auto spans = encoded.sink->spans();
    ASSERT_EQ(spans.size(), 4u);
    std::vector<int64_t> seen;
    for (const SpanResult& span : spans) {
      seen.push_back(span.index);
      EXPECT_EQ(span.span, options.spans[size_t(span.index)]);
      EXPECT_LE(MaxDifference(span.vector, PoolTokens(encoded, span.span)),
                1e-4)
          << span.index;
      EXPECT_LT(span.begin_token, span.end_token);
    }
    EXPECT_THAT(seen, ::testing::UnorderedElementsAre(0, 1, 2, 3));
  }
}

TEST(Spans, DoNotDependOnTheCuts) {
  auto encoder = MakeEncoder(TinyTextModel());
  EncodeOptions options;
  options.chunk_tokens = 20;
  options.spans = {{4, 9}, {0, 100}, {30, 150}};
  const auto whole = EncodePieces(*encoder, {kText}, options).sink->spans();
  const auto pieces =
      EncodePieces(*encoder, testing::CutRandomly(kText, 6), options)
          .sink->spans();
  ASSERT_EQ(whole.size(), 3u);
  ASSERT_EQ(pieces.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(whole[i].index, pieces[i].index);
    EXPECT_EQ(whole[i].vector, pieces[i].vector);
  }
}

TEST(Spans, BadOnesAreRefused) {
  auto encoder = MakeEncoder(TinyTextModel());
  const auto status = [&](std::vector<ByteSpan> spans,
                          const std::string& pooling = "") {
    EncodeOptions options;
    options.spans = std::move(spans);
    options.pooling = pooling;
    return EncodePieces(*encoder, {kText}, options).summary.status();
  };
  EXPECT_EQ(ReasonOf(status({{5, 5}})), "SPAN_INVALID");
  EXPECT_EQ(ReasonOf(status({{9, 5}})), "SPAN_INVALID");
  EXPECT_EQ(ReasonOf(status({{0, 1000}})), "SPAN_INVALID");
  EXPECT_THAT(std::string(status({{0, 1000}}).message()), HasSubstr("1000"));
  EXPECT_EQ(ReasonOf(status({{3, 4}})), "SPAN_EMPTY");  // a space
  EXPECT_EQ(ReasonOf(status({{0, 9}}, "cls")), "OUTPUT_UNAVAILABLE");
  EXPECT_EQ(ReasonOf(status(std::vector<ByteSpan>(100'001, {0, 9}))),
            "TOO_MANY_SPANS");
  EXPECT_EQ(ReasonOf(status(std::vector<ByteSpan>(2000, {0, 9}))),
            "TOO_MANY_SPANS");
  EXPECT_TRUE(status(std::vector<ByteSpan>(1000, {0, 9})).ok());
}

// v = unit(e_i) + a unit(e_0) + b mean of unit(e_j), by hand.
TEST(ContextPooling, IsTheSumThatItSays) {
  auto encoder = MakeEncoder(TinyModel());
  for (Visibility visibility : {Visibility::kCausal, Visibility::kBidirectional,
                                Visibility::kTwoPass}) {
    EncodeOptions options;
    options.visibility = visibility;
    options.chunk_tokens = 20;
    const auto ids = RandomIds(100, 7);
    options.anchor_weight = 0;
    options.document_weight = 0;
    const Encoded plain = EncodeIds(*encoder, ids, options);
    options.anchor_weight = 0.5f;
    options.document_weight = -0.25f;
    const Encoded mixed = EncodeIds(*encoder, ids, options);
    ASSERT_TRUE(mixed.summary.ok()) << mixed.summary.status();
    const auto own = plain.chunks();
    const auto chunks = mixed.chunks();
    ASSERT_EQ(own.size(), chunks.size());
    for (size_t i = 0; i < own.size(); ++i) {
      EXPECT_EQ(chunks[i].index, int64_t(i));
      const size_t count = own.size();
      std::vector<float> expected = Unit(own[i].vector);
      for (size_t k = 0; k < expected.size(); ++k) {
        expected[k] += 0.5f * Unit(own[0].vector)[k];
        for (size_t j = 0; j < count; ++j) {
          expected[k] -= 0.25f * Unit(own[j].vector)[k] / float(count);
        }
      }
      expected = Unit(expected);
      EXPECT_LE(MaxDifference(Unit(chunks[i].vector), expected), 1e-5);
      // This model does not normalise: a mixed vector keeps its length.
      EXPECT_NEAR(NormL2(chunks[i].vector), chunks[i].norm, 1e-4);
      EXPECT_EQ(chunks[i].mix.anchor_weight, 0.5f);
      EXPECT_EQ(chunks[i].mix.document_weight, -0.25f);
      EXPECT_EQ(chunks[i].mix.document_chunks, int64_t(count));
    }
    // The document's own vector is not touched.
    EXPECT_EQ(plain.summary->document_vector, mixed.summary->document_vector);
  }
}

TEST(ContextPooling, WeightsOutOfRangeAreRefused) {
  auto encoder = MakeEncoder(TinyModel());
  for (float weight : {-0.1f, 101.0f, NAN}) {
    EncodeOptions options;
    options.anchor_weight = weight;
    EXPECT_EQ(ReasonOf(encoder->ResolveOptions(options).status()),
              "CONTEXT_WEIGHT_OUT_OF_RANGE");
  }
  EncodeOptions options;
  options.document_weight = -100;
  EXPECT_TRUE(encoder->ResolveOptions(options).ok());
  options.document_weight = -101;
  EXPECT_EQ(ReasonOf(encoder->ResolveOptions(options).status()),
            "CONTEXT_WEIGHT_OUT_OF_RANGE");
}

TEST(ContextPooling, ADocumentOfOneChunkKeepsItsVector) {
  auto encoder = MakeEncoder(TinyModel());
  EncodeOptions options;
  options.anchor_weight = 0;
  options.document_weight = 0;
  const auto ids = RandomIds(30, 17);
  const auto plain = EncodeIds(*encoder, ids, options).chunks();
  // Everything would cancel out.
  options.document_weight = -1;
  const auto mixed = EncodeIds(*encoder, ids, options).chunks();
  ASSERT_EQ(mixed.size(), 1u);
  EXPECT_EQ(mixed[0].vector, plain[0].vector);
  EXPECT_EQ(mixed[0].mix, ContextMix());
}

TEST(ContextPooling, ChunksWaitForTheDocumentAndDetailsDoNot) {
  auto encoder = MakeEncoder(TinyModel());
  EncodeOptions options;
  options.visibility = Visibility::kCausal;
  options.chunk_tokens = 20;
  options.token_vectors = true;
  for (float weight : {0.0f, -0.5f}) {
    options.document_weight = weight;
    const auto sink = std::make_shared<testing::CollectingSink>();
    auto document = encoder->Open(options, absl::InfiniteFuture(), sink);
    ASSERT_TRUE(document.ok());
    (*document)->AppendIds(RandomIds(100, 18));
    sink->WaitForTokens(3);
    if (weight == 0) {
      EXPECT_GE(sink->chunks().size(), 3u);
    } else {
      EXPECT_EQ(sink->chunks().size(), 0u);
    }
    (*document)->Finish();
    ASSERT_TRUE(sink->Wait().ok());
    EXPECT_EQ(sink->chunks().size(), 5u);
    EXPECT_EQ(sink->tokens().size(), 5u);
  }
}

TEST(HeadWeights, AreOneRowPerLayerAndMeanToTheChunks) {
  for (Visibility visibility : {Visibility::kCausal, Visibility::kBidirectional,
                                Visibility::kTwoPass}) {
    auto encoder = MakeEncoder(TinyModel(), {.max_batch_chunks = 3});
    EncodeOptions options;
    options.visibility = visibility;
    options.chunk_tokens = 16;
    options.retrieval_weights = true;
    options.head_weights = true;
    const Encoded encoded = EncodeIds(*encoder, RandomIds(100, 8), options);
    ASSERT_TRUE(encoded.summary.ok()) << encoded.summary.status();
    const auto chunks = encoded.chunks();
    const auto heads = encoded.sink->head_weights();
    ASSERT_EQ(heads.size(), 2 * chunks.size());
    for (size_t i = 0; i < chunks.size(); ++i) {
      const size_t visible =
          visibility == Visibility::kCausal ? i + 1 : chunks.size();
      ASSERT_EQ(chunks[i].retrieval_weights.size(), visible);
      std::vector<float> mean(visible);
      for (size_t layer : {0, 1}) {
        const HeadWeightsResult& result = heads[2 * i + layer];
        EXPECT_EQ(result.chunk_index, int64_t(i));
        EXPECT_EQ(result.layer, int(layer));
        ASSERT_EQ(result.weights.size(), 4 * visible);
        for (size_t k = 0; k < result.weights.size(); ++k) {
          mean[k % visible] += result.weights[k] / 8;
        }
      }
      EXPECT_LE(MaxDifference(mean, chunks[i].retrieval_weights), 1e-6);
    }
  }
}

TEST(Options, SettingWhatTheMechanismIgnoresIsRefused) {
  auto encoder = MakeEncoder(TinyModel());
  EncodeOptions options;
  options.mechanism = "independent";
  options.top_k = 3;
  const auto status = encoder->ResolveOptions(options).status();
  EXPECT_EQ(ReasonOf(status), "OPTION_UNUSED");
  EXPECT_THAT(std::string(status.message()), HasSubstr("top_k"));
  options.top_k.reset();
  EXPECT_TRUE(encoder->ResolveOptions(options).ok());
  options.mechanism = "bsbr_exact";
  options.features = FeatureMap::kSoftmax;
  EXPECT_EQ(ReasonOf(encoder->ResolveOptions(options).status()),
            "OPTION_UNUSED");
}

TEST(Options, BadRetrievalOptionsAreRefused) {
  auto encoder = MakeEncoder(TinyModel());
  const auto reason = [&](auto&& change) {
    EncodeOptions options;
    change(options);
    return ReasonOf(encoder->ResolveOptions(options).status());
  };
  EXPECT_EQ(reason([](auto& o) { o.head_gates = {0.5f}; }),
            "RETRIEVAL_OPTIONS");
  EXPECT_EQ(reason([](auto& o) { o.retrieval_layers = {7}; }),
            "RETRIEVAL_OPTIONS");
  EXPECT_EQ(reason([](auto& o) { o.anchor_share = 2; }), "RETRIEVAL_OPTIONS");
  EXPECT_EQ(reason([](auto& o) { o.state_codec = "zip"; }),
            "UNKNOWN_STATE_CODEC");
  EXPECT_EQ(reason([](auto& o) {
              o.state_codec = "low_rank";
              o.state_rank = 0;
            }),
            "STATE_RANK");
  EXPECT_EQ(reason([](auto& o) { o.overlap_tokens = 40; }), "OPTION_UNUSED");
  EXPECT_EQ(reason([](auto& o) {
              o.chunker = "overlap";
              o.overlap_tokens = 4000;
            }),
            "CHUNKER_OPTIONS");
}

}  // namespace
}  // namespace longhand
