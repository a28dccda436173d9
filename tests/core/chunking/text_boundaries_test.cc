// The rank of every place for a cut: the form of lines, sentences, words, and
// that the blocks in which a text is looked at leave no trace.

#include "core/chunking/text_boundaries.h"

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::deque<TextBoundary> Boundaries(std::string_view text) {
  auto boundaries = TextBoundaries::Create();
  EXPECT_TRUE(boundaries.ok()) << boundaries.status();
  std::deque<TextBoundary> found;
  (*boundaries)->Append(text, &found);
  (*boundaries)->Finish(&found);
  return found;
}

// The boundaries of at least `least`: a letter for the rank, then the first
// word after it.
std::vector<std::string> Cuts(std::string_view text,
                              CutRank least = CutRank::kLine) {
  constexpr std::string_view kLetters = "..wlsepH";
  std::vector<std::string> cuts;
  for (const TextBoundary& boundary : Boundaries(text)) {
    if (boundary.rank < least) continue;
    const std::string_view rest = text.substr(boundary.end);
    cuts.push_back(std::string(1, kLetters[size_t(boundary.rank)]) + " " +
                   std::string(rest.substr(0, rest.find_first_of(" \n\r\f"))));
  }
  return cuts;
}

TEST(TextBoundaries, ParagraphsAndSentences) {
  EXPECT_THAT(Cuts("One here. Two now?\n\nThree e.g. this\n \t\nFour"),
              ElementsAre("s Two", "p Three", "p Four"));
}

TEST(TextBoundaries, WordsKeepTheirMarks) {
  EXPECT_THAT(Cuts("Say \"so, now\" or (not).", CutRank::kWord),
              ElementsAre("w \"so,", "w now\"", "w or", "w (not)."));
}

TEST(TextBoundaries, JapaneseWordsAndSentences) {
  EXPECT_THAT(Cuts("東京です。京都に行く。", CutRank::kWord),
              ElementsAre("w です。京都に行く。", "s 京都に行く。",
                          "w に行く。", "w 行く。"));
}

TEST(TextBoundaries, AFilledLineGoesOn) {
  EXPECT_THAT(Cuts("This line is filled to the\n"
                   "width of the page. This is\n"
                   "not. It ended early.\n"
                   "It is the next."),
              ElementsAre("l width", "s This", "l not.", "s It", "e It"));
}

TEST(TextBoundaries, AMarkAtTheBeginOfALineSaysNothing) {
  EXPECT_THAT(Cuts("Arrows point down: only the folder\n"
                   "`compute` names the library, a test\n"
                   "checks it."),
              ElementsAre("l `compute`", "l checks"));
}

TEST(TextBoundaries, AShortLineDoesNotGoOn) {
  EXPECT_THAT(Cuts("x = 1\ny = foo(x, 22)\nz"), ElementsAre("e y", "e z"));
  EXPECT_THAT(Cuts("9:00 disk is full\n9:01 disk is fine\n9:02 all is well"),
              ElementsAre("e 9:01", "e 9:02"));
}

TEST(TextBoundaries, MarkdownHeadingsStayWithTheirText) {
  EXPECT_THAT(Cuts("Text.\n# One. Two\n\n## Three\nMore.\n\nEnd.\n#Hash"),
              ElementsAre("H #", "l ##", "l More.", "p End.", "e #Hash"));
}

TEST(TextBoundaries, UnderlinedHeadings) {
  EXPECT_THAT(
      Cuts("Text.\n\nA title\n=======\nMore.\n\nB\n---\n\nEnd."),
      ElementsAre("H A", "l =======", "l More.", "H B", "l ---", "l End."));
}

TEST(TextBoundaries, ManualPageHeadings) {
  EXPECT_THAT(Cuts("NAME\n       ls - list\n\nSEE ALSO\n       dir(1)\n\n"
                   "       A B\n"),
              ElementsAre("l ls", "H SEE", "l dir(1)", "p A"));
}

TEST(TextBoundaries, NumberedHeadingsStandAlone) {
  EXPECT_THAT(Cuts("T.\n\n2.1 Scope of it\n\nText.\n\n3. That is so.\n\nEnd.\n"
                   "4. Point"),
              ElementsAre("H 2.1", "l Text.", "p 3.", "p End.", "e 4."));
}

TEST(TextBoundaries, ListItems) {
  EXPECT_THAT(Cuts("List:\n- one is long enough to be\n  wrapped\n- two\n"
                   "1. Three\n\xE2\x80\xA2 four"),
              ElementsAre("e -", "l wrapped", "e -", "e 1.", "e \xE2\x80\xA2"));
}

TEST(TextBoundaries, CodeBlocksHaveNoHeadings) {
  EXPECT_THAT(Cuts("Run.\n\n```sh\n# all. Now\nmake\n\ntest\n```\nDone.\n"
                   "# Next"),
              ElementsAre("p ```sh", "l #", "l make", "e test", "l ```",
                          "e Done.", "H #"));
}

TEST(TextBoundaries, LineEndsOfAllSystems) {
  const std::string_view unix_text = "Ab cd.\nEf\n\n# Gh\nIj\n\n\nKl";
  const auto expected = Cuts(unix_text);
  for (const char* end : {"\r\n", "\r"}) {
    std::string text;
    for (char c : unix_text) text += c == '\n' ? end : std::string(1, c);
    EXPECT_EQ(Cuts(text), expected);
  }
  EXPECT_THAT(Cuts("Page.\f\fNext"), ElementsAre("p Next"));
}

TEST(TextBoundaries, WhiteSpaceBelongsToItsBoundary) {
  const auto found = Boundaries("Ab. \n\n  Cd");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].begin, 3u);
  EXPECT_EQ(found[0].end, 8u);
}

TEST(TextBoundaries, LongGapsAreDecidedAsTheyCome) {
  const std::string text = "Ab." + std::string(5000, '\n') + "#";
  const auto found = Boundaries(text);
  ASSERT_GE(found.size(), 2u);
  for (size_t i = 0; i + 1 < found.size(); ++i) {
    EXPECT_EQ(found[i].rank, CutRank::kParagraph);
    EXPECT_EQ(found[i].end, found[i + 1].begin);
  }
  EXPECT_EQ(found.back().rank, CutRank::kHeading);
  EXPECT_EQ(found.back().end, 5003u);
}

TEST(TextBoundaries, TextWithoutBoundaries) {
  EXPECT_THAT(Boundaries(""), IsEmpty());
  EXPECT_THAT(Boundaries(" \n "), IsEmpty());
  EXPECT_THAT(Boundaries(std::string(100000, 'a')), IsEmpty());
}

// A text that repeats itself must show the same boundaries in every repetition,
// wherever the blocks begin.
TEST(TextBoundaries, BlocksLeaveNoTrace) {
  for (const std::string unit : {
           "# Heading\n\nA first sentence. A second one, e.g. this one.\n\n"
           "- item. One\n- item two\n\n```\n# code. X\n\nend\n```\n\n",
           "NAME\n     ls - list the contents of a directory, with all of\n"
           "     their attributes. Sort the entries by name. The list is\n"
           "     written to the output.\n\n",
           "Title\n=====\n\nText 1.5 of it.\r\nMore of it.\n\n2.1 Scope\n\n",
           "東京です。京都に行く。\n\n",
           "int main() {\n    return 0;  // Done. Yes.\n}\n\n\n\n",
       }) {
    std::string text;
    while (text.size() < 20000) text += unit;
    std::vector<std::vector<std::pair<uint64_t, CutRank>>> repetitions(
        text.size() / unit.size());
    for (const TextBoundary& boundary : Boundaries(text)) {
      repetitions[boundary.end / unit.size()].emplace_back(
          boundary.end % unit.size(), boundary.rank);
    }
    for (size_t i = 2; i < repetitions.size(); ++i) {
      EXPECT_EQ(repetitions[i], repetitions[1]) << i << "\n" << unit;
    }
  }
}

TEST(TextBoundaries, DecidesAllButOneBlock) {
  auto boundaries = TextBoundaries::Create();
  ASSERT_TRUE(boundaries.ok());
  std::deque<TextBoundary> found;
  for (uint64_t size = 1; size <= 20000; ++size) {
    (*boundaries)->Append(size % 7 == 0 ? " " : "a", &found);
    ASSERT_LT(size - (*boundaries)->decided(), TextBoundaries::kBlockBytes);
  }
}

}  // namespace
}  // namespace longhand
