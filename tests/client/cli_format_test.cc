// The parts of the longhand command that need neither server nor process.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/encode_options.h"
#include "client/cli/exit_code.h"
#include "client/cli/file_input.h"
#include "client/cli/file_output.h"
#include "client/cli/flags.h"
#include "client/cli/json_output.h"
#include "client/cli/mechanism_flags.h"
#include "client/cli/npy_writer.h"
#include "client/cli/option_text.h"
#include "client/cli/progress_line.h"
#include "client/cli/table.h"
#include "client/cli/text_display.h"
#include "client/client_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ToDisplayLineTest, EscapesWhatControlsOrHides) {
  EXPECT_EQ(ToDisplayLine("  a\t\n\n b  "), "a b");
  EXPECT_EQ(ToDisplayLine("\x1b[31mred\x07"), "\\x1b[31mred\\x07");
  EXPECT_EQ(ToDisplayLine("a\xC2\x9B"
                          "1m"),
            "a\\x9b1m");
  EXPECT_EQ(ToDisplayLine("user\u202Egpj.exe"), "user\\u{202e}gpj.exe");
  EXPECT_EQ(ToDisplayLine("\xFFzz\xE4\xB8"), "\\xffzz\\xe4\\xb8");
  EXPECT_EQ(ToDisplayLine("\xC0\xAF\xED\xA0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");
  EXPECT_EQ(ToDisplayLine("naïve 中文 🙂"), "naïve 中文 🙂");
}

TEST(ToDisplayTextTest, KeepsLinesAndNothingElseThatMovesText) {
  EXPECT_EQ(ToDisplayText("a\r\n\tb  c\n"), "a\n\tb  c\n");
  EXPECT_EQ(ToDisplayText("a\rb\x1b"), "a\\x0db\\x1b");
  EXPECT_EQ(ToDisplayText("\u202Ex\xFF"), "\\u{202e}x\\xff");
}

TEST(FitWidthTest, CutsBetweenCharactersAndCountsColumns) {
  EXPECT_EQ(DisplayWidth("中文"), 4);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);
  EXPECT_EQ(FitWidth("naïve", 5), "naïve");
  EXPECT_EQ(FitWidth("naïveté", 5), "naïv…");
  EXPECT_EQ(FitWidth("中文字", 5), "中文…");
  EXPECT_EQ(FitWidth("中文字", 4), "中…");
  EXPECT_EQ(FitWidth("abc", 0), "");
  for (int width = 1; width < 12; ++width) {
    EXPECT_LE(DisplayWidth(FitWidth("añ中🙂e\u0301 long text", width)),
              width);
  }
}

TEST(TrimCutCharacterTest, DropsOnlyAnUnfinishedSequence) {
  EXPECT_EQ(TrimCutCharacter("abc"), "abc");
  EXPECT_EQ(TrimCutCharacter("ab中"), "ab中");
  EXPECT_EQ(TrimCutCharacter("ab\xE4\xB8"), "ab");
  EXPECT_EQ(TrimCutCharacter("ab\xF0\x9F\x99"), "ab");
  EXPECT_EQ(TrimCutCharacter(""), "");
}

TEST(TableTest, AlignsColumnsAndCutsTheLast) {
  Table table({{"N", true}, {"NAME"}, {"TEXT"}});
  table.AddRow({"7", "中", "a long text that does not fit"});
  table.AddNote("... 3 more rows");
  table.AddRow({"123", "abc", "short"});
  Terminal terminal;
  terminal.width = 24;
  EXPECT_EQ(table.Render(terminal),
            "  N  NAME  TEXT\n"
            "  7  中    a long text …\n"
            "... 3 more rows\n"
            "123  abc   short\n");
  terminal.color = true;
  EXPECT_THAT(table.Render(terminal),
              HasSubstr("\x1b[1m  N  NAME  TEXT\x1b[0m\n"));
}

TEST(ChooseRowsTest, TakesFromBothEnds) {
  EXPECT_EQ(ChooseRows(10, -1).head, 10);
  EXPECT_EQ(ChooseRows(10, 10).head, 10);
  EXPECT_EQ(ChooseRows(10, 5).head, 3);
  EXPECT_EQ(ChooseRows(10, 5).tail, 2);
  EXPECT_EQ(ChooseRows(10, 0).head + ChooseRows(10, 0).tail, 0);
}

TEST(NumbersTest, AreReadable) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536 << 10), "1.5 MiB");
  EXPECT_EQ(FormatTime(absl::Microseconds(12)), "12 us");
  EXPECT_EQ(FormatTime(absl::Milliseconds(12)), "12.0 ms");
  EXPECT_EQ(FormatTime(absl::Seconds(3)), "3.00 s");
  EXPECT_EQ(FormatTime(absl::Seconds(3723)), "1:02:03");
}

TEST(FormatProgressTest, ShowsRateAndTimeLeft) {
  ProgressState state;
  state.progress.sent_bytes = 4096;
  state.progress.server.set_received_bytes(2048);
  state.progress.server.set_received_tokens(500);
  state.progress.server.set_encoded_tokens(400);
  state.elapsed = absl::Seconds(2);
  EXPECT_EQ(FormatProgress(state, 100),
            "4.0 KiB sent, 400 tokens encoded, 200 tokens/s");
  state.total_bytes = 8192;
  // 2000 tokens are expected in all; 1600 are left at 200 a second.
  EXPECT_EQ(FormatProgress(state, 100),
            "4.0 KiB of 8.0 KiB sent, 400 tokens encoded, 200 tokens/s, "
            "8.00 s left");
  EXPECT_EQ(DisplayWidth(FormatProgress(state, 20)), 20);
}

TEST(NpyWriterTest, BytesReadBackAsWritten) {
  const std::string path = ::testing::TempDir() + "/npy_writer_test.npy";
  {
    auto output = FileOutput::Open(path);
    ASSERT_TRUE(output.ok()) << output.status();
    auto writer = NpyWriter::Create(output->get());
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Append({1.5F, -2.0F, 3.0F}, 3).ok());
    ASSERT_TRUE((*writer)->Append({4, 5, 6, 7, 8, 9}, 3).ok());
    EXPECT_TRUE(absl::IsDataLoss((*writer)->Append({1, 2}, 2)));
    EXPECT_TRUE(absl::IsDataLoss((*writer)->Append({}, 0)));
    ASSERT_TRUE((*writer)->Finish().ok());
    ASSERT_TRUE((*output)->Commit().ok());
  }
  const std::string bytes = ReadFile(path);
  ASSERT_EQ(bytes.size(), 128 + 9 * sizeof(float));
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(static_cast<unsigned char>(bytes[8]) +
                256 * static_cast<unsigned char>(bytes[9]),
            118);
  EXPECT_THAT(bytes.substr(10, 118),
              HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': "
                        "(3, 3), }"));
  EXPECT_EQ(bytes[127], '\n');
  const auto values = DecodeFloats(absl::string_view(bytes).substr(128));
  EXPECT_THAT(*values, ElementsAre(1.5F, -2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(NpyHeader({384}), HasSubstr("(384,)"));
  EXPECT_EQ(NpyHeader({std::numeric_limits<uint64_t>::max(),
                       std::numeric_limits<uint64_t>::max()})
                .size(),
            128);
}

TEST(FileOutputTest, WithoutCommitTheOldFileStays) {
  const std::string path = ::testing::TempDir() + "/file_output_test.txt";
  std::ofstream(path) << "old";
  {
    auto output = FileOutput::Open(path);
    ASSERT_TRUE(output.ok());
    ASSERT_TRUE((*output)->Write("new").ok());
    ASSERT_TRUE((*output)->Flush().ok());
  }
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_EQ(ExitCodeFor(FileOutput::Open("/no/such/folder/file").status()),
            kExitFile);
  auto null = FileOutput::Open("/dev/null");
  ASSERT_TRUE(null.ok());
  EXPECT_EQ(NpyWriter::Create(null->get()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(JsonTest, FloatsComeBackExactly) {
  Chunk chunk;
  chunk.index = 3;
  chunk.end_byte = 7;
  chunk.norm = 5.25F;
  chunk.vector = {0.1F, -1e-30F, 3.4e38F, 1.0F / 3};
  const std::string text = Dump(ToJson(chunk, /*span_only=*/false));
  EXPECT_THAT(text, HasSubstr("0.1,"));
  const Json back = Json::parse(text);
  EXPECT_EQ(back["vector"].get<std::vector<float>>(), chunk.vector);
  EXPECT_EQ(back["norm"].get<float>(), 5.25F);
  EXPECT_FALSE(ToJson(chunk, /*span_only=*/true).contains("vector"));
}

TEST(JsonTest, NeverHoldsNanOrInfinityOrBrokenUtf8) {
  v1::EncodeSummary summary;
  summary.mutable_options()->set_gate(std::nanf(""));
  const std::string text = Dump(ToJson(summary, absl::ZeroDuration())) +
                           Dump(ToJson(summary, absl::InfiniteDuration())) +
                           Dump(ToJson(summary.options())) + Dump(Json("\xFF"));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("inf")));
  EXPECT_THAT(text, HasSubstr("\"gate\":null"));
  EXPECT_THAT(text, HasSubstr("\"\uFFFD\""));
}

TEST(JsonTest, NamesGoBothWays) {
  for (const char* name :
       {"document", "chunks", "tokens", "weights", "head_weights"}) {
    EXPECT_EQ(ToName(ToOutput(name)), name);
  }
  for (const char* name : {"causal", "bidirectional", "two_pass"}) {
    EXPECT_EQ(ToName(ToVisibility(name)), name);
  }
  EXPECT_EQ(ToName(static_cast<v1::Output>(99)), "");
}

TEST(JsonTest, PartsKeepWhatBelongsToThem) {
  SpanVector span;
  span.index = 2;
  span.end_byte = 9;
  span.vector = {0.5F};
  span.context_mix = ContextMix{0.25F, 1, 0.5F, 7};
  EXPECT_EQ(Dump(ToJson(span, /*span_only=*/false)),
            "{\"index\":2,\"begin_byte\":0,\"end_byte\":9,\"begin_token\":0,"
            "\"end_token\":0,\"norm\":0.0,\"vector\":[0.5],\"context_mix\":{"
            "\"anchor_weight\":0.25,\"anchor_chunk\":1,\"document_weight\":0.5,"
            "\"document_chunks\":7}}");
  const HeadWeights weights = {1, 3, {0.5F, 0, 1, 0}};
  EXPECT_EQ(
      Dump(ToJson(weights, 2)),
      "{\"chunk_index\":1,\"layer\":3,\"weights\":[[0.5,0.0],[1.0,0.0]]}");
  // Heads that do not fit: all of them in one row.
  EXPECT_EQ(ToJson(weights, 3)["weights"].size(), 1);
}

TEST(JsonTest, OptionsNameAllThatIsSet) {
  v1::EncodeOptions options;
  options.set_visibility(v1::VISIBILITY_TWO_PASS);
  options.add_head_gates(0.25F);
  options.add_retrieval_layers(3);
  options.set_features("softmax");
  options.set_merge("lse");
  options.set_top_k(0);
  options.set_anchors(2);
  options.set_anchor_share(0.5F);
  options.set_neighbors(1);
  options.set_state_codec("int8");
  options.set_state_rank(4);
  options.mutable_mechanism_options()->set_seed(3);
  options.mutable_mechanism_options()->set_window_tokens(0);
  options.add_global_tokens(8);
  options.set_min_chunk_tokens(9);
  options.set_overlap_tokens(7);
  options.add_spans()->set_end(5);
  options.set_anchor_weight(0.5F);
  options.set_document_weight(2);
  EXPECT_EQ(
      Dump(ToJson(options)),
      "{\"model\":\"\",\"mechanism\":\"\",\"visibility\":\"two_pass\","
      "\"head_gates\":[0.25],\"retrieval_layers\":[3],\"features\":\"softmax\","
      "\"merge\":\"lse\",\"top_k\":0,\"anchors\":2,\"anchor_share\":0.5,"
      "\"neighbors\":1,\"state_codec\":\"int8\",\"state_rank\":4,"
      "\"mechanism_options\":{\"window_tokens\":0,\"seed\":3},"
      "\"global_tokens\":[8],"
      "\"chunker\":\"\",\"min_chunk_tokens\":9,\"overlap_tokens\":7,"
      "\"pooling\":\"\",\"anchor_weight\":0.5,\"document_weight\":2.0,"
      "\"spans\":[[0,5]],\"outputs\":[]}");
}

TEST(MechanismFlagsTest, EveryFieldHasAFlagAndHelp) {
  const auto* message = v1::MechanismOptions::descriptor();
  ASSERT_GT(message->field_count(), 0);
  Flags flags;
  const auto app = MakeApp(&flags);
  for (int i = 0; i < message->field_count(); ++i) {
    const std::string& name = message->field(i)->name();
    EXPECT_NE(MechanismOptionHelp(name), "") << name;
    for (const char* command : {"compare", "encode", "explain"}) {
      EXPECT_NO_THROW(
          app->get_subcommand(command)->get_option(MechanismOptionFlag(name)))
          << command << " " << name;
    }
    EXPECT_NO_THROW(
        app->get_subcommand("session")->get_subcommand("create")->get_option(
            MechanismOptionFlag(name)))
        << name;
  }
  EXPECT_EQ(MechanismOptionFlag("window_tokens"), "--window-tokens");
  EXPECT_EQ(MechanismOptionHelp("none"), "");
}

TEST(MechanismFlagsTest, WhatIsNotGivenIsNotSet) {
  Flags flags;
  const auto app = MakeApp(&flags);
  app->parse("encode a.txt --seed 0 --block-tokens 16 --global-tokens 1,5",
             false);
  const v1::EncodeOptions options = ToOptions(flags.encode.options);
  v1::EncodeOptions expected;
  expected.mutable_mechanism_options()->set_seed(0);
  expected.mutable_mechanism_options()->set_block_tokens(16);
  expected.add_global_tokens(1);
  expected.add_global_tokens(5);
  EXPECT_EQ(options.SerializeAsString(), expected.SerializeAsString());
  EXPECT_FALSE(ToOptions(OptionFlags()).has_mechanism_options());
}

TEST(OptionTextTest, LeavesOutWhatIsOff) {
  v1::EncodeOptions options;
  options.set_mechanism("bsbr");
  options.set_visibility(v1::VISIBILITY_CAUSAL);
  options.set_chunker("fixed");
  options.set_pooling("mean");
  options.set_top_k(0);
  options.set_anchors(1);
  options.set_anchor_weight(0);
  EXPECT_EQ(DescribeOptions(options),
            "mechanism bsbr, visibility causal, chunker fixed, pooling mean");
  options.set_top_k(4);
  options.set_anchor_weight(0.5F);
  EXPECT_THAT(DescribeOptions(options),
              HasSubstr("top-k 4, anchors 1, anchor weight 0.5"));
}

std::vector<std::pair<uint64_t, uint64_t>> Spans(absl::string_view text) {
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  const auto parsed = ParseSpans(text);
  for (const v1::ByteSpan& span : *parsed) {
    spans.emplace_back(span.begin(), span.end());
  }
  return spans;
}

TEST(ParseSpansTest, LinesOrJson) {
  EXPECT_THAT(Spans("0 5\n\n 7\t9 \r\n3 18446744073709551615"),
              ElementsAre(Pair(0, 5), Pair(7, 9),
                          Pair(3, std::numeric_limits<uint64_t>::max())));
  EXPECT_THAT(Spans(" [[0, 5], [7,9]] "), ElementsAre(Pair(0, 5), Pair(7, 9)));
  EXPECT_THAT(Spans(""), IsEmpty());
  for (const char* bad : {"1", "1 2 3", "a b", "-1 2", "[[1]]", "[1, 2]",
                          "[[1, -2]]", "[[1, 2.5]]", "[[0, 1]"}) {
    EXPECT_EQ(ExitCodeFor(ParseSpans(bad).status()), kExitFile) << bad;
  }
  EXPECT_EQ(ParseSpan("3:17")->end(), 17);
  for (const char* bad : {"", "3", "3:", ":3", "3:4:5", "3-4", "-1:4"}) {
    EXPECT_EQ(ParseSpan(bad), std::nullopt) << bad;
  }
}

TEST(ParseTokenIdsTest, JsonOrWords) {
  EXPECT_THAT(*ParseTokenIds(" [1, 2,4294967295] "),
              ElementsAre(1, 2, 4294967295));
  EXPECT_THAT(*ParseTokenIds("7\n8\t9"), ElementsAre(7, 8, 9));
  EXPECT_TRUE(ParseTokenIds("")->empty());
  for (const char* bad :
       {"[1, -2]", "[1.5]", "[4294967296]", "[1", "1 x", "-1", "[\"a\"]"}) {
    EXPECT_EQ(ExitCodeFor(ParseTokenIds(bad).status()), kExitFile) << bad;
  }
}

TEST(FlagsTest, TimesAndRows) {
  EXPECT_EQ(ParseDeadline("1.5"), absl::Milliseconds(1500));
  EXPECT_EQ(ParseDeadline("1m30s"), absl::Seconds(90));
  for (const char* bad : {"", "0", "-1s", "soon", "nan"}) {
    EXPECT_EQ(ParseDeadline(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(ParseRows("all"), -1);
  EXPECT_EQ(ParseRows("12"), 12);
  EXPECT_EQ(ParseRows("-1"), std::nullopt);
  EXPECT_EQ(ParsePlane("mean"), -1);
  EXPECT_EQ(ParsePlane("5"), 5);
  EXPECT_EQ(ParsePlane("-1"), std::nullopt);
}

TEST(ExitCodeTest, FollowsTheTable) {
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), kExitOk);
  EXPECT_EQ(ExitCodeFor(absl::UnavailableError("")), kExitUnavailable);
  EXPECT_EQ(ExitCodeFor(absl::InvalidArgumentError("")), kExitRejected);
  EXPECT_EQ(ExitCodeFor(absl::OutOfRangeError("")), kExitRejected);
  EXPECT_EQ(ExitCodeFor(absl::ResourceExhaustedError("")), kExitRejected);
  EXPECT_EQ(ExitCodeFor(absl::DeadlineExceededError("")), kExitServerError);
  EXPECT_EQ(ExitCodeFor(MakeClientError(absl::StatusCode::kInvalidArgument,
                                        "TLS_FILE_INVALID", "")),
            kExitFile);
  EXPECT_EQ(ExitCodeFor(
                MakeClientError(absl::StatusCode::kDataLoss, "BAD_VECTOR", "")),
            kExitServerError);
}

TEST(FormatErrorTest, CarriesReasonAndCannotControlTheTerminal) {
  const absl::Status status =
      MakeClientError(absl::StatusCode::kOutOfRange, "TOO_LONG",
                      "too long\x1b[2J\nreally", {{"limit", "5"}});
  EXPECT_EQ(FormatError("encode a.txt", "host:1", status, false),
            "longhand: encode a.txt: too long\\x1b[2J really [TOO_LONG]\n");
  EXPECT_THAT(FormatError("encode", "host:1", status, true),
              HasSubstr("  limit: 5\n"));
  EXPECT_THAT(
      FormatError("info", "host:1", absl::UnavailableError("refused"), false),
      HasSubstr("hint: is longhand-server running at host:1?"));
}

}  // namespace
}  // namespace longhand::client
