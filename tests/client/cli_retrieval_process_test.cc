// The options of retrieval, spans and pictures of the real longhand command.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "client/cli/exit_code.h"
#include "client/encode_result.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli_case.h"

namespace longhand::client {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<float> NpyValues(const std::string& bytes) {
  return *DecodeFloats(absl::string_view(bytes).substr(128));
}

TEST_F(CliTest, EveryOptionReachesTheServer) {
  StartServer();
  const RunResult run = Run({"encode",
                             Write("a.txt", "text"),
                             "--mechanism",
                             "bsbr",
                             "--visibility",
                             "two_pass",
                             "--head-gates",
                             "0,0.5,1,1,0,0.25",
                             "--retrieval-layers",
                             "0,2",
                             "--features",
                             "softmax",
                             "--merge",
                             "lse",
                             "--top-k",
                             "7",
                             "--anchors",
                             "2",
                             "--anchor-share",
                             "0.5",
                             "--neighbors",
                             "1",
                             "--state-codec",
                             "int8",
                             "--state-rank",
                             "3",
                             "--window-tokens",
                             "64",
                             "--random-blocks",
                             "0",
                             "--global-tokens",
                             "0,17",
                             "--chunker",
                             "semantic",
                             "--min-chunk-tokens",
                             "20",
                             "--overlap-tokens",
                             "8",
                             "--anchor-weight",
                             "0.25",
                             "--document-weight",
                             "0.75",
                             "--output",
                             "json"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  v1::EncodeOptions expected;
  expected.set_mechanism("bsbr");
  expected.set_visibility(v1::VISIBILITY_TWO_PASS);
  for (const float gate : {0.0F, 0.5F, 1.0F, 1.0F, 0.0F, 0.25F}) {
    expected.add_head_gates(gate);
  }
  expected.add_retrieval_layers(0);
  expected.add_retrieval_layers(2);
  expected.set_features("softmax");
  expected.set_merge("lse");
  expected.set_top_k(7);
  expected.set_anchors(2);
  expected.set_anchor_share(0.5F);
  expected.set_neighbors(1);
  expected.set_state_codec("int8");
  expected.set_state_rank(3);
  expected.mutable_mechanism_options()->set_window_tokens(64);
  expected.mutable_mechanism_options()->set_random_blocks(0);
  expected.add_global_tokens(0);
  expected.add_global_tokens(17);
  expected.set_chunker("semantic");
  expected.set_min_chunk_tokens(20);
  expected.set_overlap_tokens(8);
  expected.set_anchor_weight(0.25F);
  expected.set_document_weight(0.75F);
  EXPECT_EQ(server_.options.SerializeAsString(), expected.SerializeAsString());
  const json options = json::parse(run.out)["options"];
  EXPECT_EQ(options["retrieval_layers"], json({0, 2}));
  EXPECT_EQ(options["visibility"], "two_pass");
}

TEST_F(CliTest, ListsDoNotSwallowTheFile) {
  StartServer();
  const std::string in = Write("a.txt", "text");
  for (const std::vector<std::string>& list :
       {std::vector<std::string>{"--outputs", "document,chunks"},
        {"--head-gates", "0,1,0,1,0,1"},
        {"--retrieval-layers", "0,1"},
        {"--global-tokens", "0,1"},
        {"--span", "0:4"}}) {
    const RunResult run = Run({"encode", list[0], list[1], in});
    EXPECT_EQ(run.code, kExitOk) << list[0] << run.err;
  }
  EXPECT_EQ(Run({"explain", "--head-gates", "0,1", in, "-o", "-"}).code,
            kExitOk);
  EXPECT_THAT(server_.options.head_gates(), ElementsAre(0, 1));
}

TEST_F(CliTest, SpansComeBackInEveryFormat) {
  StartServer();
  const std::string in = Write("a.txt", MakeText(2500));
  const std::string spans = Write("spans", "100 900\n0 20\n");
  RunResult run = Run({"encode", in, "--spans", spans, "--span", "5:7",
                       "--span", "0:2000", "--output", "json"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  json result = json::parse(run.out);
  ASSERT_EQ(result["span_vectors"].size(), 4);
  EXPECT_EQ(result["span_vectors"][0]["index"], 2);  // in order of the ends
  EXPECT_EQ(result["span_vectors"][3]["end_byte"], 2000);
  EXPECT_EQ(result["options"]["spans"], json::parse("[[100,900],[0,20],[5,7],"
                                                    "[0,2000]]"));
  run = Run({"encode", in, "--spans", Write("s.json", "[[100, 900], [0, 20]]"),
             "--output", "npy", "--what", "spans", "-o", Path("s.npy"),
             "--row-spans", Path("rows.json")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const std::string bytes = ReadFile(Path("s.npy"));
  EXPECT_THAT(bytes, HasSubstr("'shape': (2, 4), }"));
  EXPECT_EQ(NpyValues(bytes)[0], 100);  // in the order that they were given
  EXPECT_EQ(NpyValues(bytes)[4], 101);
  result = json::parse(ReadFile(Path("rows.json")));
  EXPECT_EQ(result["rows"], "spans");
  EXPECT_EQ(result["spans"][0]["begin_byte"], 100);

  run = Run({"encode", in, "--span", "1000:2001", "--anchor-weight", "0.5"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("SPAN      BYTES  TOKENS    NORM  TEXT\n"));
  EXPECT_THAT(run.out, HasSubstr("   0  1000-2001    1001  2.0000  "));
  // The same for all chunks: a line of its own instead of a column.
  EXPECT_THAT(run.out, HasSubstr("\nadded       0.5 of chunk 0\n"));
}

TEST_F(CliTest, SpansAreChecked) {
  StartServer();
  const std::string in = Write("a.txt", "text");
  EXPECT_EQ(Run({"encode", in, "--span", "5"}).code, kExitUsage);
  EXPECT_EQ(Run({"encode", in, "--output", "npy", "--what", "spans", "-o",
                 Path("x.npy")})
                .code,
            kExitUsage);
  EXPECT_EQ(Run({"encode", "--token-ids", in, "--span", "0:1"}).code,
            kExitUsage);
  EXPECT_EQ(Run({"encode", "-", "--spans", "-"}).code, kExitUsage);
  const RunResult run = Run({"encode", in, "--spans", Write("bad", "0 4\nx")});
  EXPECT_EQ(run.code, kExitFile);
  EXPECT_THAT(run.err, HasSubstr("line 2 is not a span"));
  EXPECT_EQ(Run({"encode", in, "--spans", Path("none")}).code, kExitFile);
  EXPECT_EQ(server_.streams, 0);
}

TEST_F(CliTest, SpansThatAreMissingAreAnError) {
  server_.on_stream = [this](grpc::ServerContext*, FakeServer::Stream* stream,
                             int) {
    v1::EncodeStreamRequest request;
    stream->Read(&request);
    request.mutable_config()->clear_spans();
    server_.options = request.config();
    while (stream->Read(&request)) server_.text += request.text();
    return server_.Answer(stream);
  };
  StartServer();
  const RunResult run =
      Run({"encode", Write("a.txt", MakeText(100)), "--span", "0:5"});
  EXPECT_EQ(run.code, kExitServerError);
  EXPECT_THAT(run.err, HasSubstr("INCOMPLETE_RESULT"));
}

TEST_F(CliTest, WeightsOfHeadsInEveryFormat) {
  StartServer();
  const std::string in = Write("a.txt", MakeText(2500));
  RunResult run = Run({"encode", in, "--outputs", "chunks,weights,head_weights",
                       "--output", "json"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const json result = json::parse(run.out);
  EXPECT_EQ(result["chunks"][2]["retrieval_weights"].size(), 3);
  ASSERT_EQ(result["head_weights"].size(), 3 * FakeServer::kLayers);
  const json last = result["head_weights"].back();
  EXPECT_EQ(last["chunk_index"], 2);
  ASSERT_EQ(last["weights"].size(), FakeServer::kHeads);
  EXPECT_EQ(last["weights"][1].get<std::vector<float>>(),
            FakeServer::MakeWeights(server_.options, 2, 3, 6));

  run = Run({"encode", in, "--output", "npy", "--what", "head_weights", "-o",
             Path("h.npy")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  std::string bytes = ReadFile(Path("h.npy"));
  EXPECT_THAT(bytes, HasSubstr("'shape': (3, 3, 2, 3), }"));
  std::vector<float> values = NpyValues(bytes);
  ASSERT_EQ(values.size(), 3 * 3 * 2 * 3);
  // Chunk 1, layer 2, head 1: it sees two chunks, the third is filled up.
  const std::vector<float> row =
      FakeServer::MakeWeights(server_.options, 1, 3, 6);
  const size_t at = ((1 * 3 + 2) * 2 + 1) * 3;
  EXPECT_EQ(std::vector<float>(values.begin() + at, values.begin() + at + 3),
            (std::vector<float>{row[0], row[1], 0}));

  run = Run({"encode", in, "--output", "npy", "--what", "weights", "-o",
             Path("w.npy")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  bytes = ReadFile(Path("w.npy"));
  EXPECT_THAT(bytes, HasSubstr("'shape': (3, 3), }"));
  const std::vector<float> second =
      FakeServer::MakeWeights(server_.options, 1, 3, 0);
  values = NpyValues(bytes);
  EXPECT_EQ(std::vector<float>(values.begin() + 3, values.begin() + 6),
            (std::vector<float>{second[0], second[1], 0}));
  EXPECT_THAT(Run({"encode", in, "--outputs", "weights"}).out,
              HasSubstr("longhand explain draws them"));
}

TEST_F(CliTest, InfoShowsAnOptionALine) {
  server_.model.set_adapter_fingerprint("feed");
  auto* numbers =
      server_.model.mutable_default_options()->mutable_mechanism_options();
  numbers->set_window_tokens(128);
  numbers->set_seed(9);
  for (int i = 0; i < 60; ++i) {
    server_.model.mutable_default_options()->add_head_gates(0.125F);
  }
  StartServer();
  const RunResult run = Run({"info"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  for (const char* line :
       {"adapter", "feature maps", "merges", "state codecs", "\n  mechanism ",
        "\n  gate ", "\n  head_gates ",
        "\n  mechanism_options  window_tokens 128, seed 9"}) {
    EXPECT_THAT(run.out, HasSubstr(line));
  }
  // Nothing is cut: lists go on in the next line.
  EXPECT_THAT(run.out, Not(HasSubstr("…")));
  size_t gates = 0;
  for (size_t at = run.out.find("0.125"); at != run.out.npos;
       at = run.out.find("0.125", at + 1)) {
    ++gates;
  }
  EXPECT_EQ(gates, 60);
  EXPECT_EQ(json::parse(Run({"info", "--output", "json"}).out)["merges"],
            json({"gate"}));
}

TEST_F(CliTest, ExplainWritesAPageOrAPicture) {
  StartServer();
  const std::string in = Write("a.txt", MakeText(4500));
  RunResult run = Run({"explain", in, "-o", Path("a.html")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, IsEmpty());
  EXPECT_THAT(server_.options.outputs(),
              ElementsAre(v1::OUTPUT_RETRIEVAL_WEIGHTS,
                          v1::OUTPUT_HEAD_RETRIEVAL_WEIGHTS));
  EXPECT_THAT(ReadFile(Path("a.html")), StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(ReadFile(Path("a.html")), HasSubstr("word0 word1 word2"));

  run = Run({"explain", in, "-o", Path("a.svg")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(server_.options.outputs(),
              ElementsAre(v1::OUTPUT_RETRIEVAL_WEIGHTS));
  EXPECT_THAT(ReadFile(Path("a.svg")), HasSubstr("mean of all layers"));
  run = Run({"explain", in, "--layer", "2", "--format", "svg", "-o", "-"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("layer 2, mean of all heads"));
  EXPECT_NE(run.out, ReadFile(Path("a.svg")));
  EXPECT_THAT(Run({"explain", "-", "--mean-only"}, in).out,
              StartsWith("<!DOCTYPE html>"));
  EXPECT_EQ(server_.options.outputs_size(), 1);
}

TEST_F(CliTest, ExplainFailsLikeTheOthers) {
  StartServer();
  const std::string in = Write("a.txt", MakeText(1500));
  EXPECT_EQ(Run({"explain"}).code, kExitUsage);
  EXPECT_EQ(Run({"explain", in, "--layer", "one"}).code, kExitUsage);
  EXPECT_EQ(Run({"explain", in, "--layer", "1", "--mean-only"}).code,
            kExitUsage);
  EXPECT_EQ(Run({"explain", in, "--format", "png"}).code, kExitUsage);
  RunResult run = Run({"explain", in, "--layer", "3", "-o", Path("x.html")});
  EXPECT_EQ(run.code, kExitUsage);
  EXPECT_THAT(run.err, HasSubstr("this model has 3"));
  EXPECT_EQ(Run({"explain", in, "--head", "2"}).code, kExitUsage);
  EXPECT_EQ(Run({"explain", Path("none")}).code, kExitFile);
  EXPECT_EQ(Run({"explain", in, "-o", "/no/folder/x.html"}).code, kExitFile);
  EXPECT_EQ(server_.streams, 0);
  EXPECT_FALSE(std::filesystem::exists(Path("x.html")));
}

TEST_F(CliTest, ExplainRefusesAnswersWithoutWeights) {
  server_.on_stream = [this](grpc::ServerContext*, FakeServer::Stream* stream,
                             int) {
    v1::EncodeStreamRequest request;
    stream->Read(&request);
    while (stream->Read(&request)) server_.text += request.text();
    return server_.Answer(stream);
  };
  StartServer();
  const RunResult run =
      Run({"explain", Write("a.txt", MakeText(1500)), "-o", Path("x.html")});
  EXPECT_EQ(run.code, kExitServerError);
  EXPECT_THAT(run.err, HasSubstr("BAD_VECTOR"));
  EXPECT_FALSE(std::filesystem::exists(Path("x.html")));
}

}  // namespace
}  // namespace longhand::client
