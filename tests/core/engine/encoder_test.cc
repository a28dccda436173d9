// The road from text or token ids to vectors: spans, streaming, options,
// errors, cancellation, limits.

#include "core/engine/encoder.h"

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/state/chunk_state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/testing/collecting_sink.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

using testing::CollectingSink;
using testing::CutRandomly;
using testing::Encoded;
using testing::EncodeIds;
using testing::EncodePieces;
using testing::ExpectSame;
using ::testing::HasSubstr;
using testing::LoadModel;
using testing::MakeEncoder;
using testing::MiniLm;
using testing::RandomIds;
using testing::ReasonOf;

const std::shared_ptr<const Model>& Tiny() { return testing::TinyModel(); }

// Chunk vectors as they were pooled, as soon as they are computed.
EncodeOptions WithoutMixing() {
  EncodeOptions options;
  options.anchor_weight = 0;
  options.document_weight = 0;
  return options;
}

const std::string& GoldenText() {
  static const std::string* const text = new std::string(testing::ReadJsonFile(
      absl::StrCat(LONGHAND_GOLDEN_DIR, "/minilm_bsbr.json"))["text"]);
  return *text;
}

TEST(Encoder, SentenceVectorsMatchSentenceTransformers) {
  auto encoder = MakeEncoder(MiniLm());
  const std::string base =
      absl::StrCat(LONGHAND_GOLDEN_DIR, "/minilm_sentences");
  const std::vector<std::string> sentences =
      testing::ReadJsonFile(base + ".json")["sentences"];
  testing::GoldenFile golden(base + ".safetensors");
  const std::vector<float> vectors = golden.Floats("vectors");
  const std::vector<int32_t> token_counts = golden.Ints("token_counts");
  ASSERT_EQ(sentences.size(), 200u);
  for (size_t i = 0; i < sentences.size(); ++i) {
    SCOPED_TRACE(i);
    Encoded encoded = EncodePieces(*encoder, {sentences[i]});
    ASSERT_TRUE(encoded.summary.ok()) << encoded.summary.status();
    EXPECT_EQ(encoded.chunks().size(), 1u);
    EXPECT_GE(testing::Cosine(encoded.summary->document_vector.data(),
                              vectors.data() + i * 384, 384),
              0.99999);
    EXPECT_THAT(token_counts[i],
                ::testing::AnyOf(encoded.summary->received_tokens,
                                 encoded.summary->encoded_tokens));
  }
}

TEST(Encoder, OneChunkIsThePlainModelBitForBit) {
  auto encoder = MakeEncoder(MiniLm());
  const std::string text = "One short paragraph, encoded in three ways.";
  EncodeOptions independent;
  independent.mechanism = "independent";
  EncodeOptions bidirectional;
  bidirectional.visibility = Visibility::kBidirectional;
  Encoded plain = EncodePieces(*encoder, {text}, independent);
  ExpectSame(plain, EncodePieces(*encoder, {text}), 0);
  ExpectSame(plain, EncodePieces(*encoder, {text}, bidirectional), 0);
  EXPECT_EQ(plain.chunks()[0].vector, plain.summary->document_vector);
}

TEST(Encoder, GateZeroIsIndependentChunksBitForBit) {
  auto encoder = MakeEncoder(MiniLm());
  EncodeOptions independent;
  independent.mechanism = "independent";
  const Encoded plain = EncodePieces(*encoder, {GoldenText()}, independent);
  for (Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional}) {
    EncodeOptions gate_zero;
    gate_zero.gate = 0;
    gate_zero.visibility = visibility;
    ExpectSame(plain, EncodePieces(*encoder, {GoldenText()}, gate_zero), 0);
  }
  const Encoded retrieving = EncodePieces(*encoder, {GoldenText()});
  EXPECT_NE(plain.chunks()[5].vector, retrieving.chunks()[5].vector);
}

TEST(Encoder, TextMatchesTheGoldenDocument) {
  auto encoder = MakeEncoder(MiniLm());
  const Encoded encoded =
      EncodePieces(*encoder, {GoldenText()}, WithoutMixing());
  ASSERT_TRUE(encoded.summary.ok());
  testing::GoldenFile golden(
      absl::StrCat(LONGHAND_GOLDEN_DIR, "/minilm_bsbr.safetensors"));
  const std::vector<float> vectors = golden.Floats("causal.chunk_vectors");
  const auto chunks = encoded.chunks();
  ASSERT_EQ(chunks.size() * 384, vectors.size());
  for (size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_LE(testing::MaxAbsDifference(chunks[i].vector.data(),
                                        vectors.data() + i * 384, 384),
              1e-5);
  }
}

TEST(Encoder, SpansTileTheText) {
  auto encoder = MakeEncoder(MiniLm());
  const std::string text = "  \n" + GoldenText() + "\n\n  ";
  const Encoded encoded = EncodePieces(*encoder, {text});
  uint64_t byte = 0, token = 0;
  for (const ChunkResult& chunk : encoded.chunks()) {
    EXPECT_EQ(chunk.begin_byte, byte);
    EXPECT_EQ(chunk.begin_token, token);
    EXPECT_LT(chunk.begin_byte, chunk.end_byte);
    byte = chunk.end_byte;
    token = chunk.end_token;
  }
  EXPECT_EQ(byte, text.size());
  EXPECT_EQ(token, encoded.summary->received_tokens);
  EXPECT_EQ(encoded.summary->received_bytes, text.size());
}

TEST(Encoder, AnySplitOfTheTextGivesTheSame) {
  for (int batch_chunks : {1, 3, 32}) {
    auto encoder = MakeEncoder(MiniLm(), {.max_batch_chunks = batch_chunks});
    const Encoded whole = EncodePieces(*encoder, {GoldenText()});
    for (uint32_t seed : {1u, 2u}) {
      SCOPED_TRACE(absl::StrCat("batch ", batch_chunks, " seed ", seed));
      ExpectSame(whole, EncodePieces(*encoder, CutRandomly(GoldenText(), seed)),
                 0);
    }
  }
}

// Every registered mechanism, so that a new one is tested for free.
TEST(Encoder, PiecesBatchesAndWorkersDoNotMatter) {
  const std::vector<int32_t> ids = RandomIds(1000, 7);
  for (const std::string& mechanism : AttentionRegistry().Names()) {
    for (Visibility visibility :
         {Visibility::kCausal, Visibility::kBidirectional}) {
      SCOPED_TRACE(absl::StrCat(mechanism, " ", int(visibility)));
      EncodeOptions options;
      options.mechanism = mechanism;
      options.visibility = visibility;
      options.chunk_tokens = 16;
      auto reference = MakeEncoder(Tiny(), {.workers = 1});
      if (!reference->ResolveOptions(options).ok()) options.visibility.reset();
      // This model can't run every mechanism.
      if (!reference->ResolveOptions(options).ok()) continue;
      const Encoded whole = EncodeIds(*reference, ids, options);
      for (int workers : {1, 3}) {
        auto encoder =
            MakeEncoder(Tiny(), {.workers = workers, .max_batch_chunks = 5});
        ExpectSame(whole, EncodeIds(*encoder, ids, options), 1e-6);
      }
    }
  }
}

TEST(Encoder, ManyDocumentsAtOnceEqualEachAlone) {
  auto encoder = MakeEncoder(Tiny(), {.workers = 3});
  EncodeOptions options;
  options.chunk_tokens = 32;
  std::vector<Encoded> alone, together(20);
  std::vector<std::shared_ptr<Document>> documents;
  for (int i = 0; i < 20; ++i) {
    alone.push_back(EncodeIds(*encoder, RandomIds(10 + 37 * i, i), options));
  }
  for (int i = 0; i < 20; ++i) {
    documents.push_back(
        *encoder->Open(options, absl::InfiniteFuture(), together[i].sink));
    documents.back()->AppendIds(RandomIds(10 + 37 * i, i));
    documents.back()->Finish();
  }
  for (int i = 0; i < 20; ++i) {
    together[i].summary = together[i].sink->Wait();
    ExpectSame(alone[i], together[i], 0);
  }
}

TEST(Encoder, CausalResultsComeBeforeTheEnd) {
  auto encoder = MakeEncoder(Tiny());
  EncodeOptions options = WithoutMixing();
  options.chunk_tokens = 16;
  auto sink = std::make_shared<CollectingSink>();
  auto document = encoder->Open(options, absl::InfiniteFuture(), sink);
  (*document)->AppendIds(RandomIds(200, 1));
  sink->WaitForChunks(5);
  EXPECT_EQ(sink->done_count(), 0);
  const auto early = sink->chunks();
  (*document)->AppendIds(RandomIds(200, 2));
  (*document)->Finish();
  ASSERT_TRUE(sink->Wait().ok());
  const auto all = sink->chunks();
  for (size_t i = 0; i < early.size(); ++i) {
    EXPECT_EQ(early[i].vector, all[i].vector);
  }
}

TEST(Encoder, OutputsAreThoseAskedFor) {
  auto encoder = MakeEncoder(MiniLm());
  EncodeOptions options;
  options.document_vector = false;
  options.chunk_vectors = false;
  options.token_vectors = true;
  options.retrieval_weights = true;
  const std::string text = GoldenText().substr(0, 3000);
  const Encoded encoded = EncodePieces(*encoder, {text}, options);
  ASSERT_TRUE(encoded.summary.ok());
  EXPECT_TRUE(encoded.summary->document_vector.empty());
  uint64_t tokens = 0;
  const auto chunks = encoded.chunks();
  const auto token_results = encoded.sink->tokens();
  ASSERT_EQ(token_results.size(), chunks.size());
  ASSERT_GT(chunks.size(), 3u);
  for (size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_TRUE(chunks[i].vector.empty());
    EXPECT_GT(chunks[i].norm, 0);
    double sum = 0;
    for (float weight : chunks[i].retrieval_weights) sum += weight;
    EXPECT_EQ(chunks[i].retrieval_weights.size(), i + 1);
    EXPECT_EQ(chunks[i].retrieval_weights.back(), 0);
    EXPECT_NEAR(sum, i == 0 ? 0 : 1, 1e-5);
    const TokenResult& result = token_results[i];
    EXPECT_EQ(result.begin_token, tokens);
    EXPECT_EQ(result.vectors.size(), result.ids.size() * 384);
    for (size_t t = 0; t < result.ids.size(); ++t) {
      EXPECT_LE(result.end[t], text.size());
      EXPECT_LT(result.begin[t], result.end[t]);
    }
    tokens += result.ids.size();
  }
  EXPECT_EQ(tokens, encoded.summary->received_tokens);
}

TEST(Encoder, WeightsDoNotDependOnTheBatches) {
  EncodeOptions options;
  options.chunk_tokens = 16;
  options.retrieval_weights = true;
  for (Visibility visibility :
       {Visibility::kCausal, Visibility::kBidirectional}) {
    options.visibility = visibility;
    std::vector<std::vector<ChunkResult>> results;
    for (int batch_chunks : {1, 3, 32}) {
      auto encoder = MakeEncoder(Tiny(), {.max_batch_chunks = batch_chunks});
      results.push_back(
          EncodeIds(*encoder, RandomIds(100, 3), options).chunks());
      ASSERT_EQ(results.back().size(), 7u);
    }
    for (size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(results[0][i].retrieval_weights.size(),
                visibility == Visibility::kCausal ? i + 1 : 7);
      EXPECT_EQ(results[1][i].retrieval_weights,
                results[0][i].retrieval_weights);
      EXPECT_EQ(results[2][i].retrieval_weights,
                results[0][i].retrieval_weights);
    }
  }
}

// A slow sender gets its first chunks long before it has sent much.
TEST(Encoder, ChunksOfASlowStreamComeEarly) {
  auto encoder = MakeEncoder(MiniLm());
  auto sink = std::make_shared<CollectingSink>();
  auto document = *encoder->Open(WithoutMixing(), absl::InfiniteFuture(), sink);
  for (int i = 0; i < 40; ++i) {
    document->Append("Eight words stand in every one of these. ");
    document->Append("And here are some more of them, too. ");
  }
  sink->WaitForChunks(3);
  EXPECT_EQ(sink->done_count(), 0);
  document->Cancel(absl::CancelledError("seen enough"));
  EXPECT_FALSE(sink->Wait().ok());
}

TEST(Encoder, SummaryCountsEverything) {
  auto encoder = MakeEncoder(Tiny());
  EncodeOptions options;
  options.chunk_tokens = 16;
  const Encoded encoded = EncodeIds(*encoder, RandomIds(100, 3), options);
  ASSERT_TRUE(encoded.summary.ok());
  EXPECT_EQ(encoded.summary->received_tokens, 100u);
  EXPECT_EQ(encoded.summary->encoded_tokens, 100u);  // no special tokens here
  EXPECT_EQ(encoded.summary->reused_tokens, 0u);
  EXPECT_EQ(encoded.summary->chunk_count, 7);
  // 2 layers, 4 heads of 16: F, z, the meta key and the number of tokens.
  const uint64_t floats = 2 * (4 * (16 * 16 + 16) + 64 + 1);
  EXPECT_EQ(encoded.summary->state_bytes,
            7 * (sizeof(ChunkState) + sizeof(float) * floats));
  EXPECT_GT(encoded.summary->timings.total, absl::ZeroDuration());
  EXPECT_GT(encoded.summary->timings.compute, absl::ZeroDuration());
  EXPECT_EQ(encoded.summary->options.mechanism, "bsbr");
  EXPECT_EQ(*encoded.summary->options.gate, 0.4f);
}

TEST(Encoder, BadContentIsRefusedWithAReason) {
  auto encoder = MakeEncoder(MiniLm(), {.max_document_bytes = 5000});
  struct Case {
    std::vector<std::string> pieces;
    absl::StatusCode code;
    std::string reason, message;
  };
  const Case cases[] = {
      {{}, absl::StatusCode::kInvalidArgument, "EMPTY_DOCUMENT", "empty"},
      {{" \n\t "},
       absl::StatusCode::kInvalidArgument,
       "EMPTY_DOCUMENT",
       "empty"},
      {{"abc",
        "d\xff"
        "e"},
       absl::StatusCode::kInvalidArgument,
       "INVALID_UTF8",
       "4"},
      {{"caf\xc3"}, absl::StatusCode::kInvalidArgument, "INVALID_UTF8", "3"},
      {{std::string(5001, 'a')},
       absl::StatusCode::kResourceExhausted,
       "DOCUMENT_TOO_LONG",
       "5001"},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.reason);
    const Encoded encoded = EncodePieces(*encoder, test.pieces);
    EXPECT_EQ(encoded.summary.status().code(), test.code);
    EXPECT_EQ(ReasonOf(encoded.summary.status()), test.reason);
    EXPECT_THAT(std::string(encoded.summary.status().message()),
                HasSubstr(test.message));
  }
  const Encoded ids = EncodeIds(*encoder, {5, 30522});
  EXPECT_EQ(ReasonOf(ids.summary.status()), "TOKEN_ID_OUT_OF_RANGE");
  EXPECT_THAT(std::string(ids.summary.status().message()), HasSubstr("30521"));
  // The encoder goes on.
  EXPECT_TRUE(EncodePieces(*encoder, {"still here"}).summary.ok());
  EXPECT_EQ(encoder->open_documents(), 0);
}

TEST(Encoder, MixedContentAndMissingTokenizer) {
  auto encoder = MakeEncoder(MiniLm());
  auto sink = std::make_shared<CollectingSink>();
  auto document = encoder->Open({}, absl::InfiniteFuture(), sink);
  (*document)->Append("text");
  (*document)->AppendIds({5});
  EXPECT_EQ(ReasonOf(sink->Wait().status()), "MIXED_CONTENT");
  auto tiny = MakeEncoder(Tiny());
  EXPECT_EQ(ReasonOf(EncodePieces(*tiny, {"text"}).summary.status()),
            "TOKENIZER_MISSING");
}

TEST(Encoder, BadOptionsAreRefused) {
  auto encoder = MakeEncoder(MiniLm());
  const auto reason = [&](auto&& change) {
    EncodeOptions options;
    change(options);
    return ReasonOf(encoder->ResolveOptions(options).status());
  };
  EXPECT_EQ(reason([](auto& o) { o.mechanism = "nope"; }), "UNKNOWN_MECHANISM");
  EXPECT_EQ(reason([](auto& o) { o.chunker = "nope"; }), "UNKNOWN_CHUNKER");
  EXPECT_EQ(reason([](auto& o) { o.pooling = "nope"; }), "UNKNOWN_POOLING");
  EXPECT_EQ(reason([](auto& o) { o.gate = 1.5f; }), "GATE_OUT_OF_RANGE");
  EXPECT_EQ(reason([](auto& o) { o.gate = NAN; }), "GATE_OUT_OF_RANGE");
  EXPECT_EQ(reason([](auto& o) { o.chunk_tokens = 2; }),
            "CHUNK_TOKENS_OUT_OF_RANGE");
  EXPECT_EQ(reason([](auto& o) { o.chunk_tokens = 513; }),
            "CHUNK_TOKENS_OUT_OF_RANGE");
  EXPECT_EQ(reason([](auto& o) { o.chunk_tokens = 512; }), "");
  EXPECT_EQ(reason([](auto& o) {
              o.mechanism = "independent";
              o.retrieval_weights = true;
            }),
            "OUTPUT_UNAVAILABLE");
}

TEST(Encoder, CancelStopsADocumentOnce) {
  auto encoder = MakeEncoder(Tiny());
  EncodeOptions options;
  options.chunk_tokens = 16;
  options.visibility = Visibility::kBidirectional;
  auto sink = std::make_shared<CollectingSink>();
  auto document = encoder->Open(options, absl::InfiniteFuture(), sink);
  (*document)->AppendIds(RandomIds(50000, 1));
  (*document)->Finish();
  (*document)->Cancel(absl::CancelledError("stop"));
  (*document)->Cancel(absl::CancelledError("again"));
  EXPECT_EQ(sink->Wait().status(), absl::CancelledError("stop"));
  EXPECT_EQ(encoder->open_documents(), 0);
  EXPECT_EQ(sink->done_count(), 1);
}

TEST(Encoder, DroppingAnUnfinishedDocumentCancelsIt) {
  auto encoder = MakeEncoder(Tiny());
  auto sink = std::make_shared<CollectingSink>();
  auto document = encoder->Open({}, absl::InfiniteFuture(), sink);
  (*document)->AppendIds({5, 6});
  document->reset();
  EXPECT_EQ(sink->Wait().status().code(), absl::StatusCode::kCancelled);
}

TEST(Encoder, PastDeadlineComputesNothing) {
  auto encoder = MakeEncoder(Tiny());
  auto sink = std::make_shared<CollectingSink>();
  auto document = encoder->Open({}, absl::Now() - absl::Seconds(1), sink);
  (*document)->AppendIds(RandomIds(1000, 1));
  (*document)->Finish();
  EXPECT_EQ(sink->Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(sink->chunks().empty());
}

TEST(Encoder, OpenDocumentsAreLimited) {
  auto encoder = MakeEncoder(Tiny(), {.max_concurrent_documents = 2});
  auto sink = std::make_shared<CollectingSink>();
  auto a = encoder->Open({}, absl::InfiniteFuture(), sink);
  auto b = encoder->Open({}, absl::InfiniteFuture(),
                         std::make_shared<CollectingSink>());
  auto c = encoder->Open({}, absl::InfiniteFuture(),
                         std::make_shared<CollectingSink>());
  EXPECT_EQ(c.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(c.status()), "OVERLOADED");
  (*a)->Cancel(absl::CancelledError("make room"));
  (void)sink->Wait();
  EXPECT_TRUE(
      encoder
          ->Open({}, absl::InfiniteFuture(), std::make_shared<CollectingSink>())
          .ok());
}

TEST(Encoder, WorkingMemoryIsBounded) {
  EncodeOptions bidirectional;
  bidirectional.chunk_tokens = 16;
  bidirectional.visibility = Visibility::kBidirectional;
  EncodeOptions independent;
  independent.mechanism = "independent";
  independent.chunk_tokens = 16;
  auto encoder = MakeEncoder(
      Tiny(), {.max_working_bytes = 1 << 20, .max_batch_chunks = 4});
  Encoded encoded = EncodeIds(*encoder, RandomIds(5000, 1), bidirectional);
  EXPECT_EQ(encoded.summary.status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(encoded.summary.status()), "DOCUMENT_TOO_LONG");
  EXPECT_THAT(std::string(encoded.summary.status().message()),
              HasSubstr("1048576"));
  EXPECT_TRUE(
      EncodeIds(*encoder, RandomIds(5000, 1), independent).summary.ok());
  // Refused while it arrives, not when all of it has come.
  auto sink = std::make_shared<CollectingSink>();
  auto document = *encoder->Open(bidirectional, absl::InfiniteFuture(), sink);
  document->AppendIds(RandomIds(5000, 1));
  EXPECT_EQ(ReasonOf(sink->Wait().status()), "DOCUMENT_TOO_LONG");
  // What the refused documents held has gone back.
  EXPECT_TRUE(
      EncodeIds(*encoder, RandomIds(500, 1), bidirectional).summary.ok());
}

// Holds the document back until it is allowed to go on.
class SlowSink final : public CollectingSink {
 public:
  bool CanAccept() override { return open.load(); }
  std::atomic<bool> open{false};
};

TEST(Encoder, ASinkThatIsFullHoldsTheDocument) {
  auto encoder = MakeEncoder(Tiny(), {.workers = 1, .max_pending_bytes = 400});
  auto sink = std::make_shared<SlowSink>();
  auto document = *encoder->Open({}, absl::InfiniteFuture(), sink);
  document->AppendIds(RandomIds(40, 1));
  document->Finish();
  // Another document overtakes the one that rests.
  EXPECT_TRUE(EncodeIds(*encoder, RandomIds(40, 1)).summary.ok());
  EXPECT_EQ(sink->chunks().size(), 0u);
  sink->open = true;
  document->ResumeOutput();
  EXPECT_TRUE(sink->Wait().ok());
  EXPECT_EQ(sink->chunks().size(), 1u);
}

TEST(Encoder, DestructionEndsOpenDocuments) {
  auto encoder = MakeEncoder(Tiny());
  auto sink = std::make_shared<CollectingSink>();
  auto document = *encoder->Open({}, absl::InfiniteFuture(), sink);
  document->AppendIds(RandomIds(100, 1));
  std::thread destroy([&] { encoder.reset(); });
  EXPECT_EQ(ReasonOf(sink->Wait().status()), "SHUTTING_DOWN");
  destroy.join();
}

}  // namespace
}  // namespace longhand
