// `longhand compare` as a command: what it sends, writes and returns.
#include <filesystem>
#include <string>
#include <vector>

#include "client/cli/exit_code.h"
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

class CompareTest : public CliTest {
 protected:
  // Answers as the rule says and keeps the options of every call; refuses what
  // "independent" does not look at, and the mechanism "none".
  void StartStrictServer() {
    server_.on_stream = [this](grpc::ServerContext*, FakeServer::Stream* stream,
                               int) {
      v1::EncodeStreamRequest request;
      stream->Read(&request);
      server_.options = request.config();
      server_.text.clear();
      calls_.push_back(request.config());
      const v1::EncodeOptions& options = server_.options;
      if (options.mechanism() == "none") {
        return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT, "no such thing",
                          "UNKNOWN_MECHANISM", {});
      }
      if (options.mechanism() == "independent" && options.has_top_k()) {
        return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT, "not looked at",
                          "OPTION_UNUSED", {{"field", "top_k"}});
      }
      while (stream->Read(&request)) server_.text += request.text();
      return server_.Answer(stream);
    };
    StartServer();
  }

  std::vector<v1::EncodeOptions> calls_;
};

TEST_F(CompareTest, MeasuresAllThatTheModelHas) {
  StartStrictServer();
  const std::string in = Write("a.txt", MakeText(2500));
  const RunResult run = Run({"compare", in, "--repeat", "2"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  ASSERT_EQ(calls_.size(), 4U);
  EXPECT_EQ(calls_[0].mechanism(), "bsbr");
  EXPECT_EQ(calls_[3].mechanism(), "independent");
  for (const v1::EncodeOptions& options : calls_) {
    EXPECT_TRUE(options.has_anchor_weight());
    EXPECT_EQ(options.anchor_weight(), 0);
    EXPECT_EQ(options.document_weight(), 0);
    EXPECT_THAT(options.outputs(), ElementsAre(v1::OUTPUT_DOCUMENT_VECTOR,
                                               v1::OUTPUT_CHUNK_VECTORS));
  }
  EXPECT_THAT(run.out, HasSubstr("MECHANISM    CHUNKS  TOKENS"));
  EXPECT_THAT(run.out, HasSubstr("\nbsbr              3   2,500"));
  EXPECT_THAT(run.out, HasSubstr("\nindependent       3   2,500"));
  EXPECT_THAT(run.out, HasSubstr("100.0%"));
  EXPECT_THAT(run.out, HasSubstr("\nreference  bsbr"));
  EXPECT_THAT(run.out, HasSubstr("medians of 2 runs"));
}

TEST_F(CompareTest, JsonFromStandardInput) {
  StartStrictServer();
  const RunResult run =
      Run({"compare", "-", "--mechanisms", "independent,full,independent",
           "--top-k", "4", "--anchor-weight", "0.5", "--output", "json"},
          Write("a.txt", MakeText(2500)));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const json result = json::parse(run.out);
  EXPECT_EQ(result["format"], "longhand.compare.v1");
  EXPECT_EQ(result["input"]["name"], "standard input");
  EXPECT_EQ(result["input"]["bytes"], 2500);
  EXPECT_EQ(result["reference"], "full");
  ASSERT_EQ(result["mechanisms"].size(), 2U);
  const json first = result["mechanisms"][0];
  EXPECT_EQ(first["mechanism"], "independent");
  EXPECT_EQ(first["unused_options"], json({"top_k"}));
  EXPECT_EQ(first["chunk_count"], 3);
  EXPECT_EQ(first["compute_seconds"], 0.5);
  EXPECT_EQ(first["options"]["anchor_weight"], 0.5);
  EXPECT_EQ(first["document_cosine"], 1.0);
  EXPECT_EQ(first["same_nearest_share"], 1.0);
  EXPECT_THAT(result["mechanisms"][1]["unused_options"], IsEmpty());
  EXPECT_EQ(result["mechanisms"][1]["options"]["top_k"], 4);
  EXPECT_EQ(server_.text, MakeText(2500));
}

TEST_F(CompareTest, AFailureLeavesTheOthers) {
  server_.model.add_mechanisms("none");
  StartStrictServer();
  const std::string in = Write("a.txt", MakeText(1500));
  RunResult run =
      Run({"compare", in, "--mechanisms", "none,bsbr", "-o", Path("out")});
  EXPECT_EQ(run.code, kExitRejected);
  EXPECT_THAT(run.err, HasSubstr("1 of 2 mechanisms failed; none: no such "
                                 "thing [UNKNOWN_MECHANISM]"));
  const std::string text = ReadFile(Path("out"));
  EXPECT_THAT(text, HasSubstr("\nnone  failed: no such thing"));
  EXPECT_THAT(text, HasSubstr("\nbsbr            2   1,500"));
  run = Run({"compare", in, "--mechanisms", "bsbr", "--reference", "none",
             "--output", "json"});
  EXPECT_EQ(run.code, kExitRejected);
  const json result = json::parse(run.out);
  EXPECT_EQ(result["mechanisms"][0]["mechanism"], "none");
  EXPECT_EQ(result["mechanisms"][0]["error"]["reason"], "UNKNOWN_MECHANISM");
  EXPECT_EQ(result["mechanisms"][1]["document_cosine"], nullptr);
}

TEST_F(CompareTest, WhatIsWrongWithTheDocumentEndsIt) {
  int streams = 0;
  server_.on_stream = [&streams](grpc::ServerContext*, FakeServer::Stream*,
                                 int) {
    ++streams;
    return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT, "nothing in it",
                      "EMPTY_DOCUMENT", {});
  };
  StartServer();
  const RunResult run = Run({"compare", Write("a.txt", "")});
  EXPECT_EQ(run.code, kExitRejected);
  EXPECT_THAT(run.err, HasSubstr("nothing in it"));
  EXPECT_EQ(streams, 1);
}

TEST_F(CompareTest, FailsLikeTheOthers) {
  const std::string in = Write("a.txt", MakeText(100));
  EXPECT_EQ(Run({"compare", in, "--retries", "0"}).code, kExitUnavailable);
  StartStrictServer();
  EXPECT_EQ(Run({"compare"}).code, kExitUsage);
  EXPECT_EQ(Run({"compare", in, "--mechanisms", ""}).code, kExitUsage);
  EXPECT_EQ(Run({"compare", in, "--mechanism", "bsbr"}).code, kExitUsage);
  EXPECT_EQ(Run({"compare", in, "--repeat", "0"}).code, kExitUsage);
  const RunResult unknown = Run({"compare", in, "--reference", "nobody"});
  EXPECT_EQ(unknown.code, kExitUsage);
  EXPECT_THAT(unknown.err, HasSubstr("it has bsbr, independent"));
  EXPECT_EQ(Run({"compare", Path("none")}).code, kExitFile);
  EXPECT_EQ(Run({"compare", in, "-o", "/no/folder/x"}).code, kExitFile);
  EXPECT_EQ(server_.streams, 0);
  EXPECT_THAT(Run({"compare", "--help"}).out,
              HasSubstr("longhand compare report.txt"));
}

}  // namespace
}  // namespace longhand::client
