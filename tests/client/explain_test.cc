// The pictures of `longhand explain`, from made-up weights.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/color_scale.h"
#include "client/cli/explain_page.h"
#include "client/cli/explain_svg.h"
#include "client/cli/retrieval_map.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kLayers = 2;
constexpr int kHeads = 3;

Chunk MakeChunk(uint32_t index, std::vector<float> weights) {
  Chunk chunk;
  chunk.index = index;
  chunk.begin_byte = 10 * index;
  chunk.end_byte = 10 * index + 10;
  chunk.begin_token = 2 * index;
  chunk.end_token = 2 * index + 2;
  chunk.retrieval_weights = std::move(weights);
  return chunk;
}

// What chunk `row` took from `column` in one layer and head: a number that no
// other place has. Its own is 0.
float MakeWeight(uint32_t row, uint32_t column, uint32_t plane) {
  if (row == column) return 0;
  return static_cast<float>((row * 31 + column * 7 + plane * 13) % 97) / 97;
}

std::vector<float> MakeRow(uint32_t row, uint32_t count, uint32_t plane) {
  std::vector<float> weights;
  for (uint32_t i = 0; i < count; ++i) {
    weights.push_back(MakeWeight(row, i, plane));
  }
  return weights;
}

RetrievalMap MakeMap(uint32_t chunks, bool causal, bool keep_heads = true) {
  RetrievalMap map({kLayers, kHeads, keep_heads});
  for (uint32_t row = 0; row < chunks; ++row) {
    const uint32_t seen = causal ? row + 1 : chunks;
    EXPECT_TRUE(map.AddChunk(MakeChunk(row, MakeRow(row, seen, 99))).ok());
    for (uint32_t layer = 0; keep_heads && layer < kLayers; ++layer) {
      HeadWeights weights = {row, layer, {}};
      for (uint32_t head = 0; head < kHeads; ++head) {
        const auto part = MakeRow(row, seen, layer * kHeads + head);
        weights.weights.insert(weights.weights.end(), part.begin(), part.end());
      }
      EXPECT_TRUE(map.AddHeadWeights(weights).ok());
    }
  }
  return map;
}

TEST(RetrievalMapTest, SmallDocumentsKeepEveryWeight) {
  for (const bool causal : {true, false}) {
    const RetrievalMap map = MakeMap(7, causal);
    EXPECT_EQ(map.causal(), causal);
    EXPECT_EQ(map.chunks_per_row(), 1);
    ASSERT_EQ(map.groups().size(), 7);
    EXPECT_EQ(map.groups()[3].begin_byte, 30);
    for (uint32_t row = 0; row < 7; ++row) {
      ASSERT_EQ(map.columns(row), causal ? row + 1 : 7);
      for (uint32_t column = 0; column < map.columns(row); ++column) {
        EXPECT_EQ(map.Weight(row, column), MakeWeight(row, column, 99));
        EXPECT_EQ(map.HeadWeight(1, 2, row, column),
                  MakeWeight(row, column, 5));
      }
    }
  }
}

// What a map of groups must hold, from the definition.
double GroupedWeight(const RetrievalMap& map, size_t row, size_t column,
                     uint32_t plane) {
  const MapGroup& to = map.groups()[row];
  const MapGroup& from = map.groups()[column];
  double sum = 0;
  for (uint32_t i = to.first_chunk; i < to.end_chunk; ++i) {
    for (uint32_t j = from.first_chunk; j < from.end_chunk; ++j) {
      if (!map.causal() || j <= i) sum += MakeWeight(i, j, plane);
    }
  }
  return sum / (to.end_chunk - to.first_chunk);
}

TEST(RetrievalMapTest, LongDocumentsAreGrouped) {
  for (const bool causal : {true, false}) {
    const RetrievalMap map = MakeMap(1003, causal);
    EXPECT_EQ(map.chunk_count(), 1003);
    EXPECT_EQ(map.chunks_per_row(), 4);
    ASSERT_EQ(map.groups().size(), 251);
    uint32_t next = 0;
    for (const MapGroup& group : map.groups()) {
      EXPECT_EQ(group.first_chunk, next);
      EXPECT_EQ(group.begin_byte, 10 * next);
      next = group.end_chunk;
      EXPECT_EQ(group.end_byte, 10 * next);
      EXPECT_EQ(group.tokens, 2 * (group.end_chunk - group.first_chunk));
    }
    EXPECT_EQ(next, 1003);
    for (const size_t row : {0, 1, 100, 249, 250}) {
      for (const size_t column : {0, 1, 99, 100, 250}) {
        if (column >= map.columns(row)) continue;
        EXPECT_NEAR(map.Weight(row, column),
                    GroupedWeight(map, row, column, 99), 1e-5);
        EXPECT_NEAR(map.HeadWeight(1, 0, row, column),
                    GroupedWeight(map, row, column, 3), 1e-5);
      }
    }
  }
}

TEST(RetrievalMapTest, ManyHeadsMakeItSmaller) {
  RetrievalMap map({100, 100, true});
  ASSERT_TRUE(map.AddChunk(MakeChunk(0, std::vector<float>(64, 0.5F))).ok());
  EXPECT_EQ(map.chunks_per_row(), 2);  // 10,000 heads x 32 x 32 values
  RetrievalMap mean({100, 100, false});
  ASSERT_TRUE(mean.AddChunk(MakeChunk(0, std::vector<float>(64, 0.5F))).ok());
  EXPECT_EQ(mean.chunks_per_row(), 1);
}

TEST(RetrievalMapTest, PlanesAreMeansOfTheirMembers) {
  const RetrievalMap map = MakeMap(5, /*causal=*/true);
  EXPECT_EQ(map.Plane(-1, -1, {0, 1})[4][2], MakeWeight(4, 2, 99));
  EXPECT_EQ(map.Plane(1, 2, {0, 1})[4][2], MakeWeight(4, 2, 5));
  EXPECT_NEAR(
      map.Plane(0, -1, {0, 1})[4][2],
      (MakeWeight(4, 2, 0) + MakeWeight(4, 2, 1) + MakeWeight(4, 2, 2)) / 3,
      1e-6);
  EXPECT_NEAR(map.Plane(-1, 1, {0, 1})[4][2],
              (MakeWeight(4, 2, 1) + MakeWeight(4, 2, 4)) / 2, 1e-6);
  EXPECT_NEAR(map.Plane(-1, 1, {1})[4][2], MakeWeight(4, 2, 4), 1e-6);
}

TEST(RetrievalMapTest, WeightsThatDoNotFitAreRefused) {
  RetrievalMap map = MakeMap(2, /*causal=*/true);
  EXPECT_TRUE(absl::IsDataLoss(map.AddChunk(MakeChunk(3, {0, 0, 0, 0}))));
  EXPECT_TRUE(absl::IsDataLoss(map.AddChunk(MakeChunk(2, {0, 0}))));
  EXPECT_TRUE(absl::IsDataLoss(map.AddChunk(MakeChunk(2, {0, 0, 0, 0}))));
  const std::vector<float> row(2 * kHeads);
  EXPECT_TRUE(map.AddHeadWeights({1, 0, row}).ok());
  EXPECT_TRUE(absl::IsDataLoss(map.AddHeadWeights({0, 0, row})));
  EXPECT_TRUE(absl::IsDataLoss(map.AddHeadWeights({1, kLayers, row})));
  EXPECT_TRUE(absl::IsDataLoss(map.AddHeadWeights({1, 0, {0, 0, 0, 0}})));
  EXPECT_TRUE(absl::IsDataLoss(
      map.AddHeadWeights({1, 0, std::vector<float>(3 * kHeads)})));
}

TEST(ColorScaleTest, EndsAndMiddleAreThoseOfViridis) {
  EXPECT_EQ(ScaleColor(0), "#440154");
  EXPECT_EQ(ScaleColor(0.5), "#21918c");
  EXPECT_EQ(ScaleColor(1), "#fde725");
  EXPECT_EQ(ScaleColor(7), "#fde725");
  EXPECT_EQ(ScalePosition(0.25, 1), 0.5);
  EXPECT_EQ(ScalePosition(3, 1), 1);
  EXPECT_EQ(ScaleTop({{0}, {0.5F, 0.9F}}, /*skip_diagonal=*/true), 0.5);
  EXPECT_EQ(ScaleTop({{0}}, true), 1);
}

// Text that tries everything.
std::string HostileText() {
  return absl::StrCat(
      "</script><script>alert(1)</script> \" ' & <!-- ]]> @SCRIPT@ \u202E abc ",
      "\u2028 \xFF\xC3 \x01\x1b[2J \uFFFF \u0645\u0631\u062D\u0628\u0627 ",
      std::string(1, '\0'), " </style></title>");
}

MapPicture MakePicture(const RetrievalMap& map, const std::string& words) {
  MapPicture picture;
  picture.title = words;
  picture.notes = {words};
  picture.groups = map.groups();
  picture.words.assign(map.groups().size(), words);
  picture.plane = map.Plane(-1, -1, {0, 1});
  return picture;
}

TEST(SvgTest, EveryCellHasItsColour) {
  const RetrievalMap map = MakeMap(3, /*causal=*/true);
  const std::string svg = DrawSvg(MakePicture(map, "words"));
  EXPECT_THAT(svg, StartsWith("<?xml"));
  EXPECT_THAT(svg, HasSubstr("<title id=\"title\">words</title>"));
  EXPECT_THAT(svg, HasSubstr("chunk 2 from "));
  // Row 2: two cells that differ, then itself. Row 0 sees nothing.
  EXPECT_THAT(svg, HasSubstr("M0 2h1v1h-1z"));
  EXPECT_THAT(svg, HasSubstr("M1 2h1v1h-1z"));
  EXPECT_THAT(svg, HasSubstr("d=\"M0 0h1v1h-1zM1 0h2v1h-2zM1 1h1v1h-1zM2 1h1v1"
                             "h-1zM2 2h1v1h-1z\"/></clipPath>"));
  EXPECT_THAT(svg, HasSubstr("it comes later, or itself"));
}

TEST(SvgTest, TextCannotBecomeMarkup) {
  EXPECT_EQ(EscapeMarkup("<a b=\"c\">&'"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
  EXPECT_EQ(EscapeMarkup("x\uFFFE\uFFFFy\uFFFDz"), "x\uFFFD\uFFFDy\uFFFDz");
  const RetrievalMap map = MakeMap(3, /*causal=*/false);
  const std::string svg =
      DrawSvg(MakePicture(map, "</text><script>x</script>"));
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;"));
}

PageContent MakeContent(const RetrievalMap& map, const std::string& text) {
  PageContent content;
  content.name = text;
  content.facts = {{"options", text}};
  content.texts.assign(map.groups().size(), {text, false});
  content.retrieving_layers = {0, 1};
  return content;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

TEST(PageTest, HostileTextStaysText) {
  const RetrievalMap map = MakeMap(4, /*causal=*/true);
  const std::string harmless = MakePage(map, MakeContent(map, "harmless"));
  const std::string page = MakePage(map, MakeContent(map, HostileText()));
  // Its markup is that of any other page.
  for (const char* mark :
       {"<script", "</script", "</style", "<!--", "</title"}) {
    EXPECT_EQ(Count(page, mark), Count(harmless, mark)) << mark;
  }
  EXPECT_EQ(Count(page, "alert(1)"), 4 * 2 + 1 + 2);  // as texts only
  EXPECT_EQ(Count(page, "@SCRIPT@"), Count(page, "alert(1)"));
  for (const char* raw : {"\u202E", "\xFF", "\x1b", "\u2028"}) {
    EXPECT_EQ(page.find(raw), page.npos);
  }
  EXPECT_EQ(page.find('\0'), page.npos);
}

TEST(PageTest, NothingCanBeLoaded) {
  const RetrievalMap map = MakeMap(4, /*causal=*/true);
  const std::string page = MakePage(map, MakeContent(map, "text"));
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy"));
  EXPECT_THAT(page, HasSubstr("default-src &#39;none&#39;"));
  EXPECT_THAT(page, HasSubstr("script-src &#39;sha256-"));
  for (const char* unwanted : {"unsafe-inline", "unsafe-eval", " src=", "url(",
                               "@import", "innerHTML"}) {
    EXPECT_THAT(page, Not(HasSubstr(unwanted)));
  }
  // The one address is the namespace of SVG, which is never fetched.
  EXPECT_EQ(Count(page, "http:"), Count(page, "http://www.w3.org/2000/svg"));
  EXPECT_EQ(Count(page, "https:"), 0);
}

TEST(PageTest, SizeIsBounded) {
  const RetrievalMap map =
      MakeMap(3000, /*causal=*/false, /*keep_heads=*/false);
  const std::string page =
      MakePage(map, MakeContent(map, std::string(4000, 'x')));
  EXPECT_EQ(map.chunks_per_row(), 8);
  // 375 x 375 values of two bytes, and the texts.
  EXPECT_LT(page.size(), 375 * 375 * 3 + 375 * 4300 + 100'000);
}

}  // namespace
}  // namespace longhand::client
