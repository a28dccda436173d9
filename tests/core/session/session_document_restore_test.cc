// Restoring: a document goes on as if it had never been away, and what does not
// belong together is refused.

#include <memory>
#include <string>
#include <vector>

#include "core/session/session_document.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/core/session/document_harness.h"

namespace longhand {
namespace {

using testing::Append;
using testing::Close;
using testing::EncodeWhole;
using testing::HeadOf;
using testing::MakeDocument;
using testing::MakeEncoder;
using testing::NamedOptions;
using testing::OpenEncoder;
using testing::Prose;
using testing::RandomIds;
using testing::ReasonOf;
using testing::Replace;
using testing::ResultsOf;
using testing::SameResults;
using testing::StreamableOptions;
using testing::TextEncoder;
using testing::TinyModel;

absl::StatusOr<SessionDocument> Restore(
    std::shared_ptr<const DocumentEncoder> encoder, const SessionHead& head,
    const ChunkRecords& chunks, const std::string& salt = "") {
  return SessionDocument::Restore(
      std::move(encoder),
      {.salt = salt, .max_document_bytes = uint64_t{1} << 30}, head, chunks);
}

class RestoreTest : public ::testing::TestWithParam<NamedOptions> {};

INSTANTIATE_TEST_SUITE_P(Options, RestoreTest,
                         ::testing::ValuesIn(StreamableOptions()),
                         [](const auto& test) { return test.param.name; });

TEST_P(RestoreTest, GoesOnWithTheSameBits) {
  const EncodeOptions& options = GetParam().options;
  const auto encoder = OpenEncoder(TextEncoder(), options);
  const std::string text = Prose(400, 1), more = Prose(200, 2);
  SessionDocument document = MakeDocument(encoder);
  Append(document, text);
  auto restored = Restore(encoder, HeadOf(document), document.chunks());
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->tail(), document.tail());
  EXPECT_EQ(restored->committed_offset(), text.size());
  EXPECT_EQ(restored->num_tokens(), document.num_tokens());
  Append(*restored, more);
  EXPECT_TRUE(SameResults(ResultsOf(*restored),
                          EncodeWhole(TextEncoder(), text + more, options)));
  // Editing needs all of what was restored.
  Replace(*restored, text.size() / 3, text.size() / 2, std::string(" other "));
  Replace(document, text.size() / 3, text.size() / 2, std::string(" other "));
  Append(document, more);
  EXPECT_TRUE(SameResults(ResultsOf(*restored), ResultsOf(document)));
}

TEST_P(RestoreTest, AClosedDocument) {
  const auto encoder = OpenEncoder(TextEncoder(), GetParam().options);
  SessionDocument document = MakeDocument(encoder);
  Append(document, Prose(200, 1));
  Close(document);
  auto restored = Restore(encoder, HeadOf(document), document.chunks());
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_TRUE(restored->closed());
  EXPECT_TRUE(SameResults(ResultsOf(*restored), ResultsOf(document)));
}

TEST(Restore, TokenIds) {
  auto encoder = MakeEncoder(TinyModel());
  EncodeOptions options;
  options.chunk_tokens = 24;
  const auto session = OpenEncoder(*encoder, options);
  SessionDocument document = MakeDocument(session);
  const std::vector<int32_t> ids = RandomIds(205, 1), more = RandomIds(70, 2);
  Append(document, ids);
  auto restored = Restore(session, HeadOf(document), document.chunks());
  ASSERT_TRUE(restored.ok()) << restored.status();
  Append(*restored, more);
  std::vector<int32_t> all = ids;
  all.insert(all.end(), more.begin(), more.end());
  EXPECT_TRUE(
      SameResults(ResultsOf(*restored), EncodeWhole(*encoder, all, options)));
}

TEST(Restore, AnEmptyDocument) {
  const auto encoder = OpenEncoder(TextEncoder(), {});
  auto restored = Restore(encoder, HeadOf(MakeDocument(encoder)), {});
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->kind(), ContentKind::kUnknown);
}

class TamperedTest : public ::testing::Test {
 protected:
  TamperedTest() {
    EncodeOptions options;
    options.mechanism = "bsbr";
    options.chunk_tokens = 24;
    encoder_ = OpenEncoder(TextEncoder(), options);
    SessionDocument document = MakeDocument(encoder_);
    Append(document, Prose(300, 1));
    head_ = HeadOf(document);
    chunks_ = document.chunks();
  }

  std::shared_ptr<ChunkRecord> Change(size_t index) {
    auto record = std::make_shared<ChunkRecord>(*chunks_[index]);
    chunks_[index] = record;
    return record;
  }
  std::shared_ptr<EncodedChunk> ChangeEncoded(size_t index) {
    auto encoded = std::make_shared<EncodedChunk>(*chunks_[index]->encoded);
    Change(index)->encoded = encoded;
    return encoded;
  }
  void ExpectRefused(const std::string& salt = "") {
    const auto restored = Restore(encoder_, head_, chunks_, salt);
    EXPECT_TRUE(absl::IsDataLoss(restored.status())) << restored.status();
    EXPECT_EQ(ReasonOf(restored.status()), "STORE_CORRUPT");
  }

  std::shared_ptr<const DocumentEncoder> encoder_;
  SessionHead head_;
  ChunkRecords chunks_;
};

TEST_F(TamperedTest, UnchangedIsTaken) {
  EXPECT_TRUE(Restore(encoder_, head_, chunks_).ok());
}

TEST_F(TamperedTest, AnotherPlaceToBeginAnewIsMadeAgain) {
  Change(4)->restart = {.byte = 1, .token = 1};
  auto restored = Restore(encoder_, head_, chunks_);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_NE(restored->chunks()[4]->restart.byte, 1u);
}

TEST_F(TamperedTest, Place) {
  ++Change(4)->place.end;
  ExpectRefused();
}

TEST_F(TamperedTest, Window) {
  --Change(4)->place.window_begin;
  ExpectRefused();
}

TEST_F(TamperedTest, Bytes) {
  ++Change(4)->begin_byte;
  ExpectRefused();
}

TEST_F(TamperedTest, Ids) {
  ++Change(4)->ids[3];
  ExpectRefused();
}

TEST_F(TamperedTest, MissingIds) {
  Change(4)->ids.pop_back();
  ExpectRefused();
}

TEST_F(TamperedTest, TokenOffsets) {
  ++Change(4)->token_begin[2];
  ExpectRefused();
}

TEST_F(TamperedTest, Text) {
  Change(4)->text[3] ^= 1;
  ExpectRefused();
}

TEST_F(TamperedTest, TextThatIsNone) {
  Change(4)->text[3] = '\xFF';
  ExpectRefused();
}

TEST_F(TamperedTest, Key) {
  ChangeEncoded(4)->key[5] ^= 1;
  ExpectRefused();
}

TEST_F(TamperedTest, KeyOfAnotherTenant) { ExpectRefused("another"); }

TEST_F(TamperedTest, Vector) {
  ChangeEncoded(4)->pooled.pop_back();
  ExpectRefused();
}

TEST_F(TamperedTest, NothingEncoded) {
  Change(4)->encoded = nullptr;
  ExpectRefused();
}

TEST_F(TamperedTest, Order) {
  std::swap(chunks_[4], chunks_[5]);
  ExpectRefused();
}

TEST_F(TamperedTest, AChunkLess) {
  chunks_.pop_back();
  ExpectRefused();
  --head_.num_chunks;
  ExpectRefused();
}

TEST_F(TamperedTest, AChunkThatTheTailWouldGive) {
  // The content is all there, but the last chunk lies in the tail.
  const auto last = chunks_.back();
  chunks_.pop_back();
  --head_.num_chunks;
  head_.num_tokens -= last->ids.size();
  head_.tail = last->text + head_.tail;
  ExpectRefused();
}

TEST_F(TamperedTest, Tail) {
  head_.tail += "x";
  ExpectRefused();
}

TEST_F(TamperedTest, TailThatIsNoText) {
  head_.tail.back() = '\xFF';
  ExpectRefused();
}

TEST_F(TamperedTest, Kind) {
  head_.kind = ContentKind::kIds;
  ExpectRefused();
  head_.kind = ContentKind::kUnknown;
  ExpectRefused();
}

TEST_F(TamperedTest, State) {
  head_.state = SessionState::kClosed;
  ExpectRefused();
}

// The state itself is only seen when it is used.
TEST_F(TamperedTest, AMissingStateFailsTheNextAppend) {
  ChangeEncoded(4)->state = nullptr;
  auto restored = Restore(encoder_, head_, chunks_);
  ASSERT_TRUE(restored.ok()) << restored.status();
  testing::TestResources resources;
  EXPECT_EQ(ReasonOf(restored->Append(Prose(800, 2), resources, {}).status()),
            "STATE_CORRUPT");
}

}  // namespace
}  // namespace longhand
