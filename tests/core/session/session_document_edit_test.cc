// Replacing and rewinding: the document is then what a new one of the edited
// content is, bit for bit, and what its keys cover is not computed again.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/session/session_document.h"
#include "gtest/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/core/session/document_harness.h"

namespace longhand {
namespace {

using testing::Append;
using testing::EncodeWhole;
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
using testing::TestResources;
using testing::TextEncoder;
using testing::TinyModel;

struct Edit {
  uint64_t begin, end;
  std::string content;
};

std::string Applied(std::string text, const Edit& edit) {
  return text.replace(edit.begin, edit.end - edit.begin, edit.content);
}

// The chunks whose vectors are not what they were.
std::vector<uint64_t> Differing(const std::vector<ChunkResult>& before,
                                const std::vector<ChunkResult>& after) {
  std::vector<uint64_t> differing;
  for (size_t i = 0; i < after.size(); ++i) {
    if (i >= before.size() || before[i].vector != after[i].vector) {
      differing.push_back(i);
    }
  }
  return differing;
}

class EditTest : public ::testing::TestWithParam<NamedOptions> {};

INSTANTIATE_TEST_SUITE_P(Options, EditTest,
                         ::testing::ValuesIn(StreamableOptions()),
                         [](const auto& test) { return test.param.name; });

TEST_P(EditTest, GivesWhatANewDocumentGives) {
  const EncodeOptions& options = GetParam().options;
  const auto encoder = OpenEncoder(TextEncoder(), options);
  const std::string text = Prose(900, 1);
  const uint64_t size = text.size();
  for (const Edit& edit :
       std::vector<Edit>{{0, 0, "New. "},
                         {0, size, "Nothing of it."},
                         {0, size, ""},
                         {size / 2, size / 2 + 5, "several other words"},
                         {size / 2, size, ""},  // may cut a character
                         {size - 1, size, "\n\n# Head\n\n"},
                         {size - 900, size - 890, "\u65e5"},
                         {1100, 3100, " gone "},
                         {2048, 2049, " "}}) {
    if (edit.end < size && (text[edit.begin] & 0xC0) == 0x80) continue;
    if (edit.end < size && (text[edit.end] & 0xC0) == 0x80) continue;
    SCOPED_TRACE(absl::StrCat(edit.begin, " ", edit.end));
    SessionDocument document = MakeDocument(encoder);
    Append(document, text);
    const auto before = ResultsOf(*encoder, document.chunks());
    const DocumentChange change =
        Replace(document, edit.begin, edit.end, edit.content);
    SessionDocument fresh = MakeDocument(encoder);
    Append(fresh, Applied(text, edit));
    EXPECT_EQ(document.chunks().size(), fresh.chunks().size());
    EXPECT_EQ(document.tail(), fresh.tail());
    EXPECT_EQ(document.committed_offset(), fresh.committed_offset());
    const auto after = ResultsOf(*encoder, document.chunks());
    EXPECT_TRUE(SameResults(after, ResultsOf(*encoder, fresh.chunks())));
    EXPECT_EQ(change.old_chunks, before.size());
    if (!encoder->needs_retrieval()) {
      EXPECT_EQ(change.changed, Differing(before, after));
    }
    for (size_t i = 0; i < change.first_chunk; ++i) {
      EXPECT_EQ(before[i].end_byte, after[i].end_byte);
    }
    // It goes on as the new one does.
    Append(document, Prose(100, 9));
    Append(fresh, Prose(100, 9));
    EXPECT_TRUE(SameResults(ResultsOf(document), ResultsOf(fresh)));
  }
}

TEST_P(EditTest, TheSameContentChangesNothing) {
  const auto encoder = OpenEncoder(TextEncoder(), GetParam().options);
  const std::string text = Prose(600, 1);
  SessionDocument document = MakeDocument(encoder);
  Append(document, text);
  const ChunkRecords before = document.chunks();
  const DocumentChange change =
      Replace(document, 1000, 1500, text.substr(1000, 500));
  EXPECT_EQ(change.first_chunk, before.size());
  EXPECT_TRUE(change.changed.empty());
  EXPECT_EQ(change.computed_tokens, 0u);
  EXPECT_EQ(document.chunks(), before);
}

TEST(Edit, TouchedChunksAloneAreComputed) {
  for (const char* mechanism : {"bsbr", "independent"}) {
    EncodeOptions options;
    options.mechanism = mechanism;
    if (options.mechanism == "bsbr") options.visibility = Visibility::kTwoPass;
    options.chunker = "structural";
    options.chunk_tokens = 60;
    options.min_chunk_tokens = 1;
    options.anchor_weight = 0;
    const auto encoder = OpenEncoder(TextEncoder(), options);
    // Paragraphs that are a chunk each, longer than half of one.
    std::string text;
    for (int i = 0; i < 100; ++i) {
      absl::StrAppend(&text, "Paragraph ", 1000 + i,
                      " has some words in its lines, no more.\n\n");
    }
    SessionDocument document = MakeDocument(encoder);
    Append(document, text);
    const uint64_t tokens = document.num_tokens();
    const uint64_t at = text.find("1020");
    const DocumentChange change =
        Replace(document, at, at + 4, std::string("9999 and more"));
    EXPECT_EQ(change.changed, std::vector<uint64_t>{20});
    EXPECT_LE(change.first_chunk, 20u);
    EXPECT_GT(change.computed_tokens, 0u);
    EXPECT_LT(change.computed_tokens, 80u);
    EXPECT_GT(change.reused_tokens, tokens / 2);
    EXPECT_TRUE(SameResults(
        ResultsOf(document),
        EncodeWhole(TextEncoder(), Applied(text, {at, at + 4, "9999 and more"}),
                    options)));
  }
}

TEST(Edit, ANewAnchorChangesEveryChunk) {
  EncodeOptions options;
  options.mechanism = "independent";
  options.chunk_tokens = 24;
  options.anchor_weight = 0.5f;
  for (const float weight : {0.5f, 0.0f}) {
    options.anchor_weight = weight;
    SessionDocument document =
        MakeDocument(OpenEncoder(TextEncoder(), options));
    Append(document, Prose(300, 1));
    const size_t chunks = document.chunks().size();
    const DocumentChange change = Replace(document, 0, 1, std::string("Z"));
    EXPECT_EQ(change.changed.size(), weight == 0 ? 1 : chunks);
  }
}

TEST(Edit, TokenIds) {
  auto encoder = MakeEncoder(TinyModel(), {.max_batch_chunks = 3});
  for (const char* chunker : {"fixed", "overlap"}) {
    EncodeOptions options;
    options.mechanism = "bsbr";
    options.chunker = chunker;
    options.chunk_tokens = 24;
    std::vector<int32_t> ids = RandomIds(400, 7);
    const std::vector<int32_t> other = RandomIds(31, 8);
    for (const uint64_t begin : {0, 100, 390}) {
      SessionDocument document = MakeDocument(OpenEncoder(*encoder, options));
      Append(document, ids);
      Replace(document, begin, begin + 10, other);
      std::vector<int32_t> edited = ids;
      edited.erase(edited.begin() + begin, edited.begin() + begin + 10);
      edited.insert(edited.begin() + begin, other.begin(), other.end());
      EXPECT_TRUE(SameResults(ResultsOf(document),
                              EncodeWhole(*encoder, edited, options)));
      Replace(document, 55, UINT64_MAX, std::vector<int32_t>());
      edited.resize(55);
      EXPECT_TRUE(SameResults(ResultsOf(document),
                              EncodeWhole(*encoder, edited, options)));
    }
  }
}

TEST(Edit, AModelThatCountsPositionsOverTheDocument) {
  auto encoder = MakeEncoder(testing::BsbrModel(), {.max_batch_chunks = 3});
  EncodeOptions options;
  options.mechanism = "bsbr_causal";
  options.chunk_tokens = 20;
  const std::vector<int32_t> ids = RandomIds(150, 7);
  SessionDocument document = MakeDocument(OpenEncoder(*encoder, options));
  Append(document, ids);
  Replace(document, 40, 60, std::vector<int32_t>());
  std::vector<int32_t> edited = ids;
  edited.erase(edited.begin() + 40, edited.begin() + 60);
  EXPECT_TRUE(
      SameResults(ResultsOf(document), EncodeWhole(*encoder, edited, options)));
}

TEST(Edit, RefusesPlacesThatAreNotThere) {
  EncodeOptions options;
  options.chunk_tokens = 24;
  TestResources resources;
  SessionDocument document = MakeDocument(OpenEncoder(TextEncoder(), options));
  Append(document, std::string("some text"));
  EXPECT_EQ(
      ReasonOf(document.Replace(10, 10, std::string(), resources, {}).status()),
      "OFFSET_BEYOND_END");
  EXPECT_EQ(
      ReasonOf(document.Replace(3, 10, std::string(), resources, {}).status()),
      "OFFSET_BEYOND_END");
  EXPECT_EQ(
      ReasonOf(document.Replace(3, 2, std::string(), resources, {}).status()),
      "RANGE_INVALID");
  EXPECT_EQ(
      ReasonOf(document.Replace(3, 4, std::vector<int32_t>{5}, resources, {})
                   .status()),
      "MIXED_CONTENT");
  EXPECT_EQ(document.tail(), "some text");
}

}  // namespace
}  // namespace longhand
