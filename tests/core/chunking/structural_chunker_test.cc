// Where the structural chunker cuts typical texts.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/chunking/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/chunking/toy_document.h"

namespace longhand {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::SizeIs;

absl::StatusOr<std::unique_ptr<Chunker>> Make(const ChunkerOptions& options) {
  return (**ChunkerRegistry().Find("structural"))(options);
}

std::vector<std::string> Cut(std::string_view text, int min_tokens,
                             int max_tokens) {
  const auto chunker =
      Make({.max_tokens = max_tokens, .min_tokens = min_tokens});
  EXPECT_TRUE(chunker.ok()) << chunker.status();
  const TokenSequence tokens = ToyTokenize(text);
  return Texts(text, tokens, CutAtOnce(**chunker, text, tokens));
}

TEST(StructuralChunker, Markdown) {
  EXPECT_THAT(
      Cut("# Tea\n\nTea is made from leaves. It came from China.\n\n"
          "It is drunk hot.\n\n## Green tea\n\nIt is not oxidised.\n\n"
          "- sencha\n- matcha: a powder. It is whisked.\n- hojicha\n",
          5, 22),
      ElementsAre("# Tea\n\nTea is made from leaves. It came from China.\n\n"
                  "It is drunk hot.",
                  "## Green tea\n\nIt is not oxidised.",
                  "- sencha\n- matcha: a powder. It is whisked.\n- hojicha"));
}

TEST(StructuralChunker, ManualPage) {
  EXPECT_THAT(
      Cut("LS(1)              User Commands              LS(1)\n\n"
          "NAME\n       ls - list directory contents\n\n"
          "SYNOPSIS\n       ls [OPTION]... [FILE]...\n\n"
          "DESCRIPTION\n"
          "       List information about the FILEs in the current directory\n"
          "       by default. Sort entries by their name.\n\n"
          "       -a, --all\n              do not ignore entries that start\n",
          10, 32),
      ElementsAre("LS(1)              User Commands              LS(1)\n\n"
                  "NAME\n       ls - list directory contents",
                  "SYNOPSIS\n       ls [OPTION]... [FILE]...",
                  "DESCRIPTION\n"
                  "       List information about the FILEs in the current "
                  "directory\n       by default. Sort entries by their name.",
                  "-a, --all\n              do not ignore entries that start"));
}

TEST(StructuralChunker, Code) {
  EXPECT_THAT(Cut("#include <stdio.h>\n\n"
                  "/* Adds. Twice. */\n"
                  "int add(int a) {\n    return a + a;\n}\n\n"
                  "int main(void) {\n    int sum = add(1);\n"
                  "    printf(\"%d\\n\", sum);\n    return 0;\n}\n",
                  8, 30),
              ElementsAre("#include <stdio.h>\n\n/* Adds. Twice. */\n"
                          "int add(int a) {\n    return a + a;\n}",
                          "int main(void) {\n    int sum = add(1);\n"
                          "    printf(\"%d\\n\", sum);\n    return 0;\n}"));
}

TEST(StructuralChunker, Logs) {
  EXPECT_THAT(Cut("12:00 disk full. Retry now\n12:01 ok. All is well\n"
                  "12:02 disk full. Retry now\n",
                  2, 14),
              ElementsAre("12:00 disk full. Retry now", "12:01 ok. All is well",
                          "12:02 disk full. Retry now"));
}

TEST(StructuralChunker, Japanese) {
  EXPECT_THAT(
      Cut("東京は首都です。京都に行きました。とても楽しい旅行でした。", 4, 20),
      ElementsAre("東京は首都です。京都に行きました。",
                  "とても楽しい旅行でした。"));
  // Without a sentence end in reach, words stay whole.
  EXPECT_THAT(Cut("東京と京都と大阪と", 2, 4),
              ElementsAre("東京と", "京都と", "大阪と"));
}

TEST(StructuralChunker, OneHugeWord) {
  const auto chunks = Cut(std::string(6 * 5 * 100, 'x'), 2, 5);
  EXPECT_THAT(chunks, SizeIs(100));
  EXPECT_THAT(chunks, Each(SizeIs(30)));
}

TEST(StructuralChunker, WordsStayWholeAtTheMaximum) {
  EXPECT_THAT(
      Cut("some extraordinarily uncharacteristic terminology", 1, 5),
      ElementsAre("some extraordinarily", "uncharacteristic terminology"));
}

TEST(StructuralChunker, CharactersStayWhole) {
  EXPECT_THAT(Cut("😀😀😀😀😀", 1, 3), ElementsAre("😀", "😀", "😀", "😀", "😀"));
}

TEST(StructuralChunker, ADocumentThatFitsIsOneChunk) {
  EXPECT_THAT(Cut("# A\n\nText.\n\n# B\n\nText.", 1, 8), SizeIs(1));
}

TEST(StructuralChunker, RefusesAMinimumThatIsNoneBelowTheMaximum) {
  for (int min_tokens : {-1, 8, 9}) {
    const auto chunker = Make({.max_tokens = 8, .min_tokens = min_tokens});
    ASSERT_FALSE(chunker.ok());
    EXPECT_EQ(chunker.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetErrorDetail(chunker.status())->reason, "CHUNKER_OPTIONS");
  }
}

}  // namespace
}  // namespace longhand
