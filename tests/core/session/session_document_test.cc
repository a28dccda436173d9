// Growing documents: any split of the content gives what the encoder gives for
// the whole, bit for bit; forks, tails, the content cache, and errors that
// change nothing.

#include "core/session/session_document.h"

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/core/session/document_harness.h"

namespace longhand {
namespace {

using testing::Append;
using testing::Close;
using testing::CutRandomly;
using testing::EncodeWhole;
using testing::MakeDocument;
using testing::MakeEncoder;
using testing::MiniLm;
using testing::NamedOptions;
using testing::OpenEncoder;
using testing::Prose;
using testing::RandomIds;
using testing::ReasonOf;
using testing::Replace;
using testing::ResultsOf;
using testing::SameResults;
using testing::StreamableOptions;
using testing::TestResources;
using testing::TextEncoder;
using testing::TinyModel;

EncodeOptions Causal() {
  EncodeOptions options;
  options.mechanism = "bsbr";
  options.chunk_tokens = 24;
  return options;
}

class SessionDocumentTest : public ::testing::TestWithParam<NamedOptions> {};

INSTANTIATE_TEST_SUITE_P(Options, SessionDocumentTest,
                         ::testing::ValuesIn(StreamableOptions()),
                         [](const auto& test) { return test.param.name; });

TEST_P(SessionDocumentTest, AnySplitGivesWhatTheEncoderGives) {
  const EncodeOptions& options = GetParam().options;
  const std::string text = Prose(500, 1);
  const auto whole = EncodeWhole(TextEncoder(), text, options);
  ASSERT_GT(whole.size(), 20u);
  const auto encoder = OpenEncoder(TextEncoder(), options);
  for (uint32_t seed = 0; seed < 4; ++seed) {
    SessionDocument document = MakeDocument(encoder);
    for (const std::string& piece : CutRandomly(text, seed)) {
      Append(document, piece);
    }
    EXPECT_EQ(document.committed_offset(), text.size());
    EXPECT_TRUE(SameResults(ResultsOf(document), whole));
    Close(document);
    EXPECT_EQ(document.encoded_offset(), text.size());
    EXPECT_TRUE(SameResults(ResultsOf(document), whole));
  }
}

TEST_P(SessionDocumentTest, FinalChunksDependOnTheContentAlone) {
  const auto encoder = OpenEncoder(TextEncoder(), GetParam().options);
  const std::string text = Prose(700, 2);
  SessionDocument at_once = MakeDocument(encoder);
  Append(at_once, text);
  SessionDocument in_bytes = MakeDocument(encoder);
  for (char byte : text) Append(in_bytes, std::string(1, byte));
  EXPECT_EQ(at_once.chunks().size(), in_bytes.chunks().size());
  EXPECT_EQ(at_once.tail(), in_bytes.tail());
}

TEST_P(SessionDocumentTest, TailIsWhatTheEncoderGivesForTheTextSoFar) {
  const EncodeOptions& options = GetParam().options;
  const auto encoder = OpenEncoder(TextEncoder(), options);
  SessionDocument document = MakeDocument(encoder);
  std::string text;
  for (int i = 0; i < 6; ++i) {
    const std::string more = Prose(40, 10 + i);
    text += more;
    Append(document, more);
    EXPECT_TRUE(SameResults(ResultsOf(document),
                            EncodeWhole(TextEncoder(), text, options)));
  }
}

TEST(SessionDocument, MiniLmAsTheEncoder) {
  auto encoder = MakeEncoder(MiniLm(), {.max_batch_chunks = 4});
  for (const char* chunker : {"fixed", "overlap", "semantic"}) {
    for (const Visibility visibility :
         {Visibility::kCausal, Visibility::kTwoPass}) {
      EncodeOptions options;
      options.mechanism = "bsbr";
      options.visibility = visibility;
      options.chunker = chunker;
      options.chunk_tokens = 48;
      const std::string text = Prose(400, 3);
      SessionDocument document = MakeDocument(OpenEncoder(*encoder, options));
      for (const std::string& piece : CutRandomly(text, 5)) {
        Append(document, piece);
      }
      EXPECT_TRUE(SameResults(ResultsOf(document),
                              EncodeWhole(*encoder, text, options)));
    }
  }
}

TEST(SessionDocument, TokenIdsAsTheEncoder) {
  auto encoder = MakeEncoder(TinyModel(), {.max_batch_chunks = 3});
  for (const char* chunker : {"fixed", "overlap"}) {
    EncodeOptions options = Causal();
    options.chunker = chunker;
    const std::vector<int32_t> ids = RandomIds(400, 7);
    SessionDocument document = MakeDocument(OpenEncoder(*encoder, options));
    for (size_t begin = 0; begin < ids.size(); begin += 17) {
      const size_t end = std::min(ids.size(), begin + 17);
      Append(document,
             std::vector<int32_t>(ids.begin() + begin, ids.begin() + end));
    }
    EXPECT_EQ(document.committed_offset(), 400u);
    EXPECT_TRUE(
        SameResults(ResultsOf(document), EncodeWhole(*encoder, ids, options)));
    Close(document);
    EXPECT_TRUE(
        SameResults(ResultsOf(document), EncodeWhole(*encoder, ids, options)));
  }
}

// Long enough for an index of the states, which every change must leave right.
TEST(SessionDocument, ManyChunksAsTheEncoder) {
  auto encoder = MakeEncoder(TinyModel(), {.max_batch_chunks = 32});
  for (const char* mechanism : {"bsbr", "bsbr_cumulant", "bsbr_exact"}) {
    SCOPED_TRACE(mechanism);
    EncodeOptions options;
    options.mechanism = mechanism;
    options.chunk_tokens = 5;
    options.top_k = 4;
    const auto opened = OpenEncoder(*encoder, options);
    SessionDocument document = MakeDocument(opened);
    std::vector<int32_t> ids;
    const auto append = [&](SessionDocument& to, size_t count, uint32_t seed) {
      const std::vector<int32_t> more = RandomIds(count, seed);
      Append(to, more);
      ids.insert(ids.end(), more.begin(), more.end());
    };
    const auto expect_same = [&](SessionDocument& changed) {
      EXPECT_TRUE(
          SameResults(ResultsOf(changed), EncodeWhole(*encoder, ids, options)));
    };
    append(document, 1276, 1);
    ASSERT_EQ(document.chunks().size(), 255u);
    const uint64_t without_index = document.own_bytes();
    append(document, 30, 2);
    append(document, 29, 3);
    EXPECT_GT(document.own_bytes(), without_index + 4096) << "no index?";
    expect_same(document);

    SessionDocument fork(document);
    const std::vector<int32_t> before = ids;
    append(fork, 40, 4);
    expect_same(fork);
    ids = before;
    append(document, 40, 5);
    expect_same(document);

    const std::vector<int32_t> other = RandomIds(9, 6);
    Replace(document, 1290, 1293, other);
    ids.erase(ids.begin() + 1290, ids.begin() + 1293);
    ids.insert(ids.begin() + 1290, other.begin(), other.end());
    expect_same(document);
    append(document, 30, 7);
    expect_same(document);

    // A call that fails between two batches leaves nothing behind.
    TestResources resources;
    resources.reservations_left = 40;
    EXPECT_FALSE(
        document.Append(Content(RandomIds(300, 8)), resources, {}).ok());
    append(document, 300, 9);
    expect_same(document);
  }
}

TEST(SessionDocument, AnAppendSaysWhatItDid) {
  SessionDocument document = MakeDocument(OpenEncoder(TextEncoder(), Causal()));
  const DocumentChange first = Append(document, Prose(300, 1));
  EXPECT_EQ(first.first_chunk, 0u);
  EXPECT_EQ(first.changed.size(), document.chunks().size());
  EXPECT_EQ(first.computed_tokens, document.num_tokens());
  EXPECT_EQ(first.reused_tokens, 0u);
  const uint64_t chunks = document.chunks().size();
  const uint64_t tokens = document.num_tokens();
  const DocumentChange second = Append(document, Prose(300, 2));
  EXPECT_EQ(second.first_chunk, chunks);
  EXPECT_EQ(second.old_chunks, chunks);
  ASSERT_FALSE(second.changed.empty());
  EXPECT_EQ(second.changed.front(), chunks);
  EXPECT_EQ(second.changed.back(), document.chunks().size() - 1);
  EXPECT_EQ(second.computed_tokens, document.num_tokens() - tokens);
}

TEST(SessionDocument, ReservesWhatChunksHold) {
  for (const NamedOptions& named : StreamableOptions()) {
    SCOPED_TRACE(named.name);
    TestResources resources;
    SessionDocument document =
        MakeDocument(OpenEncoder(TextEncoder(), named.options));
    Append(document, Prose(200, 4), resources);
    uint64_t bytes = 0;
    for (const auto& chunk : document.chunks()) {
      EXPECT_NE(chunk->encoded->charge, nullptr);
      bytes += chunk->encoded->bytes();
    }
    EXPECT_EQ(resources.reserved_bytes, bytes);
  }
}

TEST(SessionDocument, AForkGoesOnOnItsOwn) {
  const EncodeOptions options = Causal();
  const std::string text = Prose(300, 1), left = Prose(200, 2),
                    right = Prose(200, 3);
  SessionDocument document = MakeDocument(OpenEncoder(TextEncoder(), options));
  Append(document, text);
  SessionDocument fork(document);
  ASSERT_FALSE(fork.chunks().empty());
  for (size_t i = 0; i < fork.chunks().size(); ++i) {
    EXPECT_EQ(fork.chunks()[i], document.chunks()[i]);
  }
  Append(document, left);
  EXPECT_EQ(fork.committed_offset(), text.size());
  Append(fork, right);
  EXPECT_TRUE(SameResults(ResultsOf(document),
                          EncodeWhole(TextEncoder(), text + left, options)));
  EXPECT_TRUE(SameResults(ResultsOf(fork),
                          EncodeWhole(TextEncoder(), text + right, options)));
}

TEST(SessionDocument, ACachedDocumentIsNotComputedAgain) {
  for (const NamedOptions& named : StreamableOptions()) {
    SCOPED_TRACE(named.name);
    const auto encoder = OpenEncoder(TextEncoder(), named.options);
    const std::string text = Prose(300, 1);
    TestResources resources;
    resources.caches = true;
    SessionDocument first = MakeDocument(encoder, "tenant");
    const DocumentChange computed = Append(first, text, resources);
    const uint64_t tokens = first.num_tokens();
    EXPECT_GT(computed.computed_tokens, tokens / 2);
    // Some chunks are there twice.
    EXPECT_EQ(computed.computed_tokens + computed.reused_tokens, tokens);
    SessionDocument again = MakeDocument(encoder, "tenant");
    const DocumentChange reused = Append(again, text, resources);
    EXPECT_EQ(reused.computed_tokens, 0u);
    EXPECT_EQ(reused.reused_tokens, tokens);
    EXPECT_TRUE(SameResults(ResultsOf(again), ResultsOf(first)));
    SessionDocument other = MakeDocument(encoder, "another tenant");
    EXPECT_EQ(Append(other, text, resources).computed_tokens,
              computed.computed_tokens);
  }
}

TEST(SessionDocument, APartlyCachedDocumentIsComputedInRuns) {
  EncodeOptions options = Causal();
  options.mechanism = "independent";
  const auto encoder = OpenEncoder(TextEncoder(), options);
  const std::string text = Prose(400, 1);
  const auto whole = EncodeWhole(TextEncoder(), text, options);
  // Every third chunk is known.
  TestResources source, resources;
  resources.caches = true;
  SessionDocument first = MakeDocument(encoder);
  Append(first, text, source);
  uint64_t known = 0;
  for (size_t i = 0; i < first.chunks().size(); i += 3) {
    resources.Keep(first.chunks()[i]->encoded);
    known += first.chunks()[i]->ids.size();
  }
  SessionDocument again = MakeDocument(encoder);
  EXPECT_EQ(Append(again, text, resources).reused_tokens, known);
  EXPECT_TRUE(SameResults(ResultsOf(again), whole));
}

TEST(SessionDocument, ATailThatBecomesFinalIsNotComputedAgain) {
  EncodeOptions options = Causal();
  SessionDocument document = MakeDocument(OpenEncoder(TextEncoder(), options));
  Append(document, Prose(100, 1));
  ASSERT_FALSE(document.tail().empty());
  ResultsOf(document);
  const DocumentChange change = Close(document);
  EXPECT_GT(change.reused_tokens, 0u);
  EXPECT_EQ(change.computed_tokens, 0u);
}

TEST(SessionDocument, ACutCharacterWaits) {
  SessionDocument document = MakeDocument(OpenEncoder(TextEncoder(), Causal()));
  Append(document, std::string("one two \xE6\x97"));
  EXPECT_TRUE(ResultsOf(document).empty());
  TestResources resources;
  EXPECT_EQ(ReasonOf(document.Close(resources, {}).status()), "INVALID_UTF8");
  Append(document, std::string("\xA5 three"));
  EXPECT_TRUE(SameResults(
      ResultsOf(document),
      EncodeWhole(TextEncoder(), std::string("one two \xE6\x97\xA5 three"),
                  Causal())));
}

// What must not change when a call fails.
struct Snapshot {
  explicit Snapshot(const SessionDocument& document)
      : chunks(document.chunks()),
        tail(document.tail()),
        offset(document.committed_offset()),
        kind(document.kind()),
        bytes(document.own_bytes()) {}
  bool operator==(const Snapshot&) const = default;

  ChunkRecords chunks;
  std::string tail;
  uint64_t offset;
  ContentKind kind;
  uint64_t bytes;
};

TEST(SessionDocument, AFailedCallChangesNothing) {
  const EncodeOptions options = Causal();
  const std::string text = Prose(500, 1), more = Prose(800, 2);
  SessionDocument document = MakeDocument(OpenEncoder(TextEncoder(), options));
  Append(document, text);
  const Snapshot before(document);
  TestResources resources;
  const std::atomic<bool> cancelled = true;
  const StopCondition stopped{.cancelled = &cancelled};
  const StopCondition late{.deadline = absl::InfinitePast()};

  const auto invalid = document.Append(more + "\xFF", resources, {});
  EXPECT_EQ(ReasonOf(invalid.status()), "INVALID_UTF8");
  EXPECT_EQ(Snapshot(document), before);
  const auto mixed = document.Append(std::vector<int32_t>{5, 6}, resources, {});
  EXPECT_EQ(ReasonOf(mixed.status()), "MIXED_CONTENT");
  EXPECT_EQ(Snapshot(document), before);
  EXPECT_TRUE(
      absl::IsCancelled(document.Append(more, resources, stopped).status()));
  EXPECT_EQ(Snapshot(document), before);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      document.Replace(0, 5, more, resources, late).status()));
  EXPECT_EQ(Snapshot(document), before);
  EXPECT_TRUE(absl::IsCancelled(document.Close(resources, stopped).status()));
  EXPECT_EQ(Snapshot(document), before);
  EXPECT_TRUE(
      absl::IsCancelled(document.WithTail(resources, stopped).status()));
  EXPECT_EQ(Snapshot(document), before);
  for (int left : {0, 1, 4}) {
    resources.reservations_left = left;
    EXPECT_EQ(ReasonOf(document.Append(more, resources, {}).status()),
              "OVERLOADED");
    EXPECT_EQ(Snapshot(document), before);
    resources.reservations_left = left;
    EXPECT_EQ(ReasonOf(document.Replace(0, 2, more, resources, {}).status()),
              "OVERLOADED");
    EXPECT_EQ(Snapshot(document), before);
  }
  EXPECT_FALSE(document.closed());
  Append(document, more);
  EXPECT_TRUE(SameResults(ResultsOf(document),
                          EncodeWhole(TextEncoder(), text + more, options)));
}

TEST(SessionDocument, RefusesContentThatIsNone) {
  TestResources resources;
  SessionDocument text = MakeDocument(OpenEncoder(TextEncoder(), Causal()));
  EXPECT_EQ(ReasonOf(text.Close(resources, {}).status()), "EMPTY_DOCUMENT");
  EXPECT_EQ(
      ReasonOf(
          text.Append(std::vector<int32_t>{5, -1}, resources, {}).status()),
      "TOKEN_ID_OUT_OF_RANGE");
  EncodeOptions structural = Causal();
  structural.chunker = "structural";
  SessionDocument needs_text =
      MakeDocument(OpenEncoder(TextEncoder(), structural));
  EXPECT_EQ(
      ReasonOf(
          needs_text.Append(std::vector<int32_t>{5}, resources, {}).status()),
      "TEXT_NEEDED");
  auto without_tokenizer = MakeEncoder(TinyModel());
  SessionDocument ids = MakeDocument(OpenEncoder(*without_tokenizer, Causal()));
  EXPECT_EQ(ReasonOf(ids.Append(std::string("a"), resources, {}).status()),
            "TOKENIZER_MISSING");
  auto small = SessionDocument::Create(OpenEncoder(TextEncoder(), Causal()),
                                       {.max_document_bytes = 10});
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(
      ReasonOf(
          small->Append(std::string("eleven byte"), resources, {}).status()),
      "DOCUMENT_TOO_LONG");
  EXPECT_TRUE(small->Append(std::string("ten bytes."), resources, {}).ok());
}

}  // namespace
}  // namespace longhand
