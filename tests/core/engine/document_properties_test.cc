// Properties of whole documents over random texts and random options: spans
// tile the input; streamed == one call; batched == alone; causal append ==
// whole; remote chunks have no order.

#include <algorithm>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "core/chunking/registry.h"
#include "core/engine/encode_options.h"
#include "core/engine/encoder.h"
#include "core/state/state_codec.h"
#include "gtest/gtest.h"
#include "rapidcheck.h"
#include "rapidcheck/gtest.h"
#include "tests/core/engine/encode_harness.h"

namespace longhand {
namespace {

using testing::CutRandomly;
using testing::Encoded;
using testing::EncodeIds;
using testing::EncodePieces;
using testing::MakeEncoder;
using testing::TinyModel;
using testing::TinyTextModel;

Encoder& TextEncoder() {
  static Encoder* const encoder =
      MakeEncoder(TinyTextModel(), {.max_batch_chunks = 4}).release();
  return *encoder;
}

// Names that the tiny model can run, states of every kind.
std::vector<std::string> Mechanisms() {
  std::vector<std::string> names;
  for (const std::string& name : AttentionRegistry().Names()) {
    EncodeOptions options;
    options.mechanism = name;
    if (TextEncoder().ResolveOptions(options).ok()) names.push_back(name);
  }
  return names;
}

// Words, sentences, paragraphs, and now and then something that is none.
rc::Gen<std::string> Text() {
  return rc::gen::exec([] {
    std::string text = "a";
    const int words = *rc::gen::inRange(0, 160);
    for (int i = 0; i < words; ++i) {
      text += *rc::gen::weightedElement<std::string>(
          {{20, " word"},
           {10, " b"},
           {6, " something"},
           {4, ". Next"},
           {2, "\n\nPart "},
           {1, "\n# Head\n\n"},
           {1, " caf\u00e9 \u65e5\u672c\u8a9e "},
           {1, "\r\n\t"},
           {1, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}});
    }
    return text;
  });
}

// Options of a random mechanism that it looks at.
rc::Gen<EncodeOptions> Options() {
  return rc::gen::exec([] {
    EncodeOptions options;
    options.mechanism = *rc::gen::elementOf(Mechanisms());
    options.chunker = *rc::gen::elementOf(ChunkerRegistry().Names());
    options.chunk_tokens = *rc::gen::inRange(8, 60);
    options.anchor_weight = *rc::gen::element(0.0f, 0.5f);
    options.document_weight = *rc::gen::element(0.0f, -0.5f);
    EncodeOptions wishes = options;
    wishes.visibility = *rc::gen::element(
        Visibility::kCausal, Visibility::kBidirectional, Visibility::kTwoPass);
    wishes.features = *rc::gen::element(FeatureMap::kElu, FeatureMap::kSoftmax);
    wishes.merge =
        *rc::gen::element(Merge::kGate, Merge::kLse, Merge::kBalancedLse);
    wishes.top_k = *rc::gen::inRange(0, 4);
    wishes.anchors = *rc::gen::inRange(0, 3);
    wishes.neighbors = *rc::gen::inRange(0, 2);
    wishes.state_codec = *rc::gen::elementOf(StateCodecRegistry().Names());
    // One field at a time: a mechanism says which it does not look at.
    const auto take = [&](auto EncodeOptions::*field) {
      EncodeOptions more = options;
      more.*field = wishes.*field;
      if (TextEncoder().ResolveOptions(more).ok()) options = more;
    };
    take(&EncodeOptions::visibility);
    take(&EncodeOptions::features);
    take(&EncodeOptions::merge);
    take(&EncodeOptions::top_k);
    take(&EncodeOptions::anchors);
    take(&EncodeOptions::neighbors);
    take(&EncodeOptions::state_codec);
    return options;
  });
}

std::string Describe(const EncodeOptions& options) {
  return options.mechanism + " " + options.chunker + " " +
         std::to_string(*options.chunk_tokens) + " " + options.state_codec;
}

// Fails the property unless both are the same, bit for bit.
void AssertSame(const Encoded& a, const Encoded& b) {
  RC_ASSERT(a.summary.ok());
  RC_ASSERT(b.summary.ok());
  const auto chunks_a = a.chunks(), chunks_b = b.chunks();
  RC_ASSERT(chunks_a.size() == chunks_b.size());
  for (size_t i = 0; i < chunks_a.size(); ++i) {
    RC_ASSERT(chunks_a[i].begin_byte == chunks_b[i].begin_byte);
    RC_ASSERT(chunks_a[i].end_byte == chunks_b[i].end_byte);
    RC_ASSERT(chunks_a[i].vector == chunks_b[i].vector);
  }
  RC_ASSERT(a.summary->document_vector == b.summary->document_vector);
}

RC_GTEST_PROP(Document, SpansTileTheInput, ()) {
  const std::string text = *Text();
  const EncodeOptions options = *Options();
  RC_LOG() << Describe(options);
  const Encoded encoded = EncodePieces(TextEncoder(), {text}, options);
  RC_ASSERT(encoded.summary.ok());
  uint64_t byte = 0, token = 0;
  int64_t index = 0;
  for (const ChunkResult& chunk : encoded.chunks()) {
    RC_ASSERT(chunk.index == index++);
    RC_ASSERT(chunk.begin_byte == byte);
    RC_ASSERT(chunk.begin_token == token);
    RC_ASSERT(chunk.end_byte >= byte);
    RC_ASSERT(chunk.end_token > token);
    RC_ASSERT(int64_t(chunk.end_token - chunk.begin_token) <=
              *options.chunk_tokens - 2);
    byte = chunk.end_byte;
    token = chunk.end_token;
  }
  RC_ASSERT(byte == text.size());
  RC_ASSERT(token == encoded.summary->received_tokens);
}

RC_GTEST_PROP(Document, StreamedEqualsOneCall, ()) {
  const std::string text = *Text();
  const EncodeOptions options = *Options();
  RC_LOG() << Describe(options);
  const auto seed = *rc::gen::arbitrary<uint32_t>();
  AssertSame(EncodePieces(TextEncoder(), {text}, options),
             EncodePieces(TextEncoder(), CutRandomly(text, seed), options));
}

RC_GTEST_PROP(Document, BatchedEqualsAlone, ()) {
  const std::string text = *Text(), other = *Text();
  const EncodeOptions options = *Options();
  RC_LOG() << Describe(options);
  const auto chunks = *rc::gen::inRange(1, 9);
  auto encoder = MakeEncoder(TinyTextModel(), {.max_batch_chunks = chunks});
  // Both at a time, against each alone.
  Encoded together, beside;
  auto first = encoder->Open(options, absl::InfiniteFuture(), together.sink);
  auto second = encoder->Open(options, absl::InfiniteFuture(), beside.sink);
  RC_ASSERT(first.ok() && second.ok());
  (*first)->Append(text);
  (*second)->Append(other);
  (*first)->Finish();
  (*second)->Finish();
  together.summary = together.sink->Wait();
  beside.summary = beside.sink->Wait();
  AssertSame(together, EncodePieces(TextEncoder(), {text}, options));
  AssertSame(beside, EncodePieces(TextEncoder(), {other}, options));
}

RC_GTEST_PROP(Document, CausalAppendEqualsWhole, ()) {
  EncodeOptions options = *Options();
  // The mean of all chunks is not known before the end.
  options.document_weight = 0;
  const auto resolved = TextEncoder().ResolveOptions(options);
  RC_ASSERT(resolved.ok());
  RC_PRE(*resolved->visibility == Visibility::kCausal);
  RC_LOG() << Describe(options);
  const std::string text = *Text(), more = *Text();
  const auto short_chunks =
      EncodePieces(TextEncoder(), {text}, options).chunks();
  const auto long_chunks =
      EncodePieces(TextEncoder(), {text + " " + more}, options).chunks();
  // What was complete stays; the last chunks may have taken more in.
  RC_ASSERT(long_chunks.size() >= short_chunks.size());
  size_t i = 0;
  while (i < short_chunks.size() &&
         short_chunks[i].end_byte == long_chunks[i].end_byte &&
         short_chunks[i].end_token == long_chunks[i].end_token &&
         i + 2 < short_chunks.size()) {
    RC_ASSERT(short_chunks[i].vector == long_chunks[i].vector);
    ++i;
  }
}

RC_GTEST_PROP(Document, RemoteChunksHaveNoOrder, ()) {
  EncodeOptions options;
  options.mechanism =
      *rc::gen::element<std::string>("bsbr", "bsbr_cumulant", "bsbr_exact");
  options.visibility =
      *rc::gen::element(Visibility::kBidirectional, Visibility::kTwoPass);
  options.merge =
      *rc::gen::element(Merge::kGate, Merge::kLse, Merge::kBalancedLse);
  options.anchors = 0;
  options.anchor_weight = 0;
  options.chunk_tokens = 10;
  auto encoder = MakeEncoder(TinyModel());
  const int chunks = *rc::gen::inRange(2, 8);
  std::vector<int32_t> ids =
      testing::RandomIds(10 * chunks, *rc::gen::arbitrary<uint32_t>());
  std::vector<int> order;
  for (int i = 0; i < chunks; ++i) order.push_back(i);
  std::swap(order[0], order[size_t(*rc::gen::inRange(0, chunks))]);
  std::reverse(order.begin() + 1, order.end());
  std::vector<int32_t> shuffled;
  for (int i : order) {
    shuffled.insert(shuffled.end(), ids.begin() + 10 * i,
                    ids.begin() + 10 * (i + 1));
  }
  const auto a = EncodeIds(*encoder, ids, options).chunks();
  const auto b = EncodeIds(*encoder, shuffled, options).chunks();
  for (int i = 0; i < chunks; ++i) {
    const auto& before = a[size_t(order[size_t(i)])].vector;
    const auto& after = b[size_t(i)].vector;
    for (size_t k = 0; k < before.size(); ++k) {
      RC_ASSERT(std::abs(before[k] - after[k]) <= 1e-4f);
    }
  }
}

}  // namespace
}  // namespace longhand
