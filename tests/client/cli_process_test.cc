// Runs the real longhand command against FakeServer.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <future>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/exit_code.h"
#include "client/encode_result.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli_case.h"
#include "tests/client/fake_server.h"

namespace longhand::client {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// The command must not inherit the writing end: it would never see the end.
void WriteFifo(const std::string& path, absl::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count <= 0) break;
    text.remove_prefix(static_cast<size_t>(count));
  }
  close(fd);
}

TEST_F(CliTest, TableShowsChunksAndTheirText) {
  StartServer();
  std::string text = MakeText(2500);
  text[1000] = '\x1b';
  const RunResult run = Run({"encode", Write("a.txt", text)});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.err, IsEmpty());
  EXPECT_EQ(server_.text, text);
  EXPECT_THAT(run.out, HasSubstr("CHUNK      BYTES  TOKENS    NORM  TEXT\n"));
  EXPECT_THAT(run.out, HasSubstr("    0     0-1000    1000  0.5000  word0 "));
  EXPECT_THAT(run.out, HasSubstr("1000-2000    1000  1.5000  \\x1b"));
  EXPECT_THAT(run.out, HasSubstr("2000-2500"));
  EXPECT_THAT(run.out, HasSubstr("4 values, L2 norm"));
  EXPECT_THAT(run.out, HasSubstr("2,500 bytes, 2,500 tokens in 3 chunks"));
  EXPECT_THAT(run.out, HasSubstr("0123abcd"));
  EXPECT_THAT(run.out, Not(HasSubstr("\x1b")));
}

TEST_F(CliTest, LongTablesSayWhatTheyLeaveOut) {
  StartServer();
  const std::string path = Write("a.txt", MakeText(100 * 1000));
  const std::string some = Run({"encode", path, "--rows", "5"}).out;
  EXPECT_THAT(some, HasSubstr("... 95 more rows (use --rows all)\n"));
  EXPECT_THAT(some, HasSubstr("99000-100000"));
  EXPECT_THAT(some, Not(HasSubstr("50000-51000")));
  const std::string all = Run({"encode", path, "--rows", "all"}).out;
  EXPECT_THAT(all, Not(HasSubstr("more rows")));
  EXPECT_THAT(all, HasSubstr("50000-51000"));
}

TEST_F(CliTest, JsonFromAPipeParsesBack) {
  StartServer();
  const std::string text = MakeText(150 * 1000);
  const std::string fifo = Path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  auto writer = std::async(std::launch::async, [&] { WriteFifo(fifo, text); });
  const RunResult run =
      Run({"encode", "-", "--output", "json", "--gate", "0.25", "--visibility",
           "causal", "--outputs", "document,chunks", "--chunk-tokens", "64"},
          fifo);
  writer.wait();
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(server_.text, text);
  EXPECT_EQ(server_.options.gate(), 0.25F);
  EXPECT_EQ(server_.options.chunk_tokens(), 64);
  EXPECT_EQ(server_.options.visibility(), v1::VISIBILITY_CAUSAL);
  const json result = json::parse(run.out);
  EXPECT_EQ(result["format"], "longhand.encode.v1");
  EXPECT_EQ(result["input"]["bytes"], text.size());
  EXPECT_EQ(result["summary"]["chunk_count"], 150);
  EXPECT_EQ(result["options"]["outputs"], json({"document", "chunks"}));
  EXPECT_EQ(result["document_vector"].get<std::vector<float>>(),
            MakeVector(FakeServer::kHidden, -1));
  ASSERT_EQ(result["chunks"].size(), 150);
  EXPECT_EQ(result["chunks"][149]["vector"].get<std::vector<float>>(),
            MakeVector(FakeServer::kHidden, 149));
  EXPECT_EQ(result["chunks"][149]["end_byte"], text.size());
}

TEST_F(CliTest, JsonLinesEndWithTheResult) {
  StartServer();
  const RunResult run =
      Run({"encode", "--token-ids", Write("ids", "1 2 3 4 5 6 7 8 9 10 11"),
           "--output", "jsonl"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(server_.ids.size(), 11);
  std::vector<json> lines;
  std::istringstream stream(run.out);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(json::parse(line));
  }
  ASSERT_EQ(lines.size(), 3);
  EXPECT_EQ(lines[0]["type"], "chunk");
  EXPECT_EQ(lines[1]["begin_token"], 10);
  EXPECT_EQ(lines[2]["type"], "result");
  EXPECT_EQ(lines[2]["summary"]["received_tokens"], 11);
}

TEST_F(CliTest, NpyFilesHoldTheRows) {
  StartServer();
  const std::string in = Write("a.txt", MakeText(1500));
  RunResult run = Run({"encode", in, "--output", "npy", "-o", Path("c.npy"),
                       "--row-spans", Path("c.json")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  std::string bytes = ReadFile(Path("c.npy"));
  EXPECT_THAT(bytes, HasSubstr("'shape': (2, 4), }"));
  std::vector<float> expected = MakeVector(4, 0);
  const std::vector<float> second = MakeVector(4, 1);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(*DecodeFloats(absl::string_view(bytes).substr(128)), expected);
  const json spans = json::parse(ReadFile(Path("c.json")));
  EXPECT_EQ(spans["chunks"][1]["begin_byte"], 1000);

  run = Run({"encode", in, "--output", "npy", "--what", "document", "-o",
             Path("d.npy")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(ReadFile(Path("d.npy")), HasSubstr("'shape': (4,), }"));

  run = Run({"encode", in, "--output", "npy", "--what", "tokens", "-o",
             Path("t.npy")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(ReadFile(Path("t.npy")), HasSubstr("'shape': (1500, 4), }"));
}

TEST_F(CliTest, InfoAndTokenize) {
  StartServer();
  RunResult run = Run({"info"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("bsbr, independent"));
  run = Run({"info", "--output", "json"});
  EXPECT_EQ(json::parse(run.out)["limits"]["max_message_bytes"], 1 << 20);

  run = Run({"tokenize", "--text", "a\x1b"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("0  97    0-1  a\n"));
  EXPECT_THAT(run.out, HasSubstr("\\x1b"));
  run = Run({"tokenize", "-", "--output", "json"}, Write("t.txt", "xy"));
  EXPECT_EQ(json::parse(run.out)[1]["id"], 'y');
  EXPECT_EQ(server_.tokenizes, 2);
  run = Run({"tokenize", Write("long.txt", std::string(1 << 20, 'a'))});
  EXPECT_EQ(run.code, kExitFile);
  EXPECT_THAT(run.err, HasSubstr("encode FILE --outputs tokens"));
  EXPECT_EQ(server_.tokenizes, 2);
}

TEST_F(CliTest, UsageErrorsExitWithTwo) {
  EXPECT_EQ(Run({}).code, kExitUsage);
  EXPECT_EQ(Run({"nonsense"}).code, kExitUsage);
  EXPECT_EQ(Run({"encode"}).code, kExitUsage);
  EXPECT_EQ(Run({"encode", "x", "--output", "xml"}).code, kExitUsage);
  EXPECT_EQ(Run({"encode", "x", "--output", "npy"}).code, kExitUsage);
  EXPECT_EQ(Run({"encode", "x", "--what", "tokens"}).code, kExitUsage);
  EXPECT_EQ(Run({"encode", "x", "--token-ids", "y"}).code, kExitUsage);
  EXPECT_EQ(Run({"encode", "x", "--deadline", "soon"}).code, kExitUsage);
  EXPECT_EQ(Run({"info", "--cert", "x"}).code, kExitUsage);
  EXPECT_EQ(Run({"tokenize"}).code, kExitUsage);
}

TEST_F(CliTest, FileProblemsExitWithFour) {
  StartServer();
  RunResult run = Run({"encode", Path("missing.txt")});
  EXPECT_EQ(run.code, kExitFile);
  EXPECT_THAT(run.err, HasSubstr("No such file"));
  EXPECT_THAT(run.err, HasSubstr("[INPUT_OPEN_FAILED]"));
  run = Run({"encode", folder_});
  EXPECT_EQ(run.code, kExitFile);
  EXPECT_THAT(run.err, HasSubstr("is a directory"));
  EXPECT_EQ(Run({"encode", Write("a", "b"), "-o", "/no/folder/x"}).code,
            kExitFile);
  EXPECT_EQ(Run({"encode", "--token-ids", Write("i", "1 two")}).code,
            kExitFile);
  EXPECT_EQ(Run({"info", "--ca", Path("missing.pem")}).code, kExitFile);
  EXPECT_EQ(server_.streams, 0);
}

TEST_F(CliTest, UnreachableServerExitsWithThreeAndAHint) {
  const RunResult run = Run({"info", "--retries", "0"});
  EXPECT_EQ(run.code, kExitUnavailable);
  EXPECT_THAT(run.err, StartsWith("longhand: info: "));
  EXPECT_THAT(run.err, HasSubstr("hint: is longhand-server running at "
                                 "127.0.0.1:1?"));
}

TEST_F(CliTest, RefusedInputExitsWithFiveAndTheReason) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int) {
    v1::EncodeStreamRequest request;
    while (stream->Read(&request)) {
    }
    return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT,
                      "the document is empty", "EMPTY_DOCUMENT",
                      {{"received_bytes", "0"}});
  };
  StartServer();
  const std::string empty = Write("empty.txt", "");
  RunResult run =
      Run({"encode", empty, "-v", "--output", "json", "-o", Path("o.json")});
  EXPECT_EQ(run.code, kExitRejected);
  EXPECT_EQ(run.err, "longhand: encode " + empty +
                         ": the document is empty [EMPTY_DOCUMENT]\n"
                         "  code: INVALID_ARGUMENT\n"
                         "  received_bytes: 0\n");
  EXPECT_FALSE(std::filesystem::exists(Path("o.json")));
  EXPECT_EQ(Run({"encode", "-"}).code, kExitRejected);
}

TEST_F(CliTest, ServerErrorAndDeadlineExitWithOne) {
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream* stream,
                         int attempt) {
    v1::EncodeStreamRequest request;
    if (attempt == 1) return grpc::Status(grpc::StatusCode::INTERNAL, "oops");
    // Ends when the client's deadline has passed.
    while (stream->Read(&request)) {
    }
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "late");
  };
  StartServer();
  const std::string path = Write("a.txt", "text");
  RunResult run = Run({"encode", path});
  EXPECT_EQ(run.code, kExitServerError);
  EXPECT_THAT(run.err, HasSubstr("oops [INTERNAL]"));
  run = Run({"encode", path, "--deadline", "100ms"});
  EXPECT_EQ(run.code, kExitServerError);
  EXPECT_THAT(run.err, HasSubstr("hint: allow more with --deadline"));
}

TEST_F(CliTest, InputThatCannotBeReadTwiceIsStillSentAgain) {
  server_.on_stream = [this](grpc::ServerContext* context,
                             FakeServer::Stream* stream, int attempt) {
    if (attempt > 1) return server_.EncodeByRule(stream);
    v1::EncodeStreamRequest request;
    stream->Read(&request);
    stream->Read(&request);
    context->AddTrailingMetadata("grpc-retry-pushback-ms", "1");
    return MakeStatus(grpc::StatusCode::UNAVAILABLE, "busy", "OVERLOADED", {});
  };
  StartServer();
  const std::string text = MakeText(200 * 1000);
  const std::string fifo = Path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  auto writer = std::async(std::launch::async, [&] { WriteFifo(fifo, text); });
  const RunResult run = Run({"encode", "-", "-v"}, fifo);
  writer.wait();
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.err, HasSubstr("attempt 1 failed: busy"));
  EXPECT_EQ(server_.text, text);
}

TEST_F(CliTest, InterruptCancelsTheCall) {
  std::promise<void> started;
  std::promise<bool> cancelled;
  server_.on_stream = [&](grpc::ServerContext* context,
                          FakeServer::Stream* stream, int) {
    v1::EncodeStreamRequest request;
    stream->Read(&request);
    started.set_value();
    while (stream->Read(&request)) {
    }
    cancelled.set_value(context->IsCancelled());
    return grpc::Status::OK;
  };
  StartServer();
  int in[2];
  ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);  // never written: a silent terminal
  const int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const pid_t pid = Spawn({"encode", "-"}, in[0], out);
  started.get_future().wait();
  kill(pid, SIGINT);
  const RunResult run = Wait(pid);
  EXPECT_EQ(run.code, kExitInterrupted);
  EXPECT_EQ(run.err, "longhand: interrupted\n");
  EXPECT_TRUE(cancelled.get_future().get());
  close(in[0]);
  close(in[1]);
  close(out);
}

TEST_F(CliTest, ClosedOutputEndsQuietly) {
  StartServer();
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  close(out[0]);
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t pid =
      Spawn({"encode", Write("a.txt", MakeText(5000)), "--output", "jsonl"}, in,
            out[1]);
  const RunResult run = Wait(pid);
  EXPECT_EQ(run.code, kExitOutputClosed);
  EXPECT_THAT(run.err, IsEmpty());
  close(in);
  close(out[1]);
}

TEST_F(CliTest, ProgressIsShownWhenAskedFor) {
  StartServer();
  const std::string path = Write("a.txt", MakeText(2000));
  EXPECT_THAT(Run({"encode", path, "--progress"}).err, HasSubstr("\r2.0 KiB"));
  EXPECT_THAT(Run({"encode", path, "--no-progress"}).err, IsEmpty());
}

TEST_F(CliTest, HelpMentionsEveryOption) {
  const RunResult main = Run({"--help"});
  EXPECT_EQ(main.code, kExitOk);
  for (const char* word :
       {"encode", "explain", "info", "tokenize", "--version", "Exit status",
        "130", "LONGHAND_SERVER", "NO_COLOR", "Examples"}) {
    EXPECT_THAT(main.out, HasSubstr(word));
  }
  const std::vector<std::string> connection = {
      "--server", "--tls",         "--ca",       "--cert",    "--key",
      "--help",   "--server-name", "--deadline", "--retries", "--verbose"};
  const std::map<std::string, std::vector<std::string>> options = {
      {"encode",
       {"--model",
        "--mechanism",
        "--visibility",
        "--gate",
        "--chunk-tokens",
        "--chunker",
        "--pooling",
        "--outputs",
        "--token-ids",
        "--piece-bytes",
        "--output",
        "--out",
        "--what",
        "--row-spans",
        "--rows",
        "--progress",
        "--no-progress",
        "FILE",
        "longhand.encode.v1",
        "--spans",
        "--span",
        "--head-gates",
        "--retrieval-layers",
        "--features",
        "--merge",
        "--top-k",
        "--anchors",
        "--anchor-share",
        "--neighbors",
        "--state-codec",
        "--state-rank",
        "--min-chunk-tokens",
        "--overlap-tokens",
        "--anchor-weight",
        "--document-weight"}},
      {"explain",
       {"--layer", "--head", "--mean-only", "--format", "--out", "--mechanism",
        "--chunk-tokens", "--top-k", "--progress", "FILE", "400 chunks"}},
      {"info", {"--model", "--output"}},
      {"tokenize", {"--model", "--output", "--text", "--rows", "FILE"}}};
  for (const auto& [command, names] : options) {
    const RunResult help = Run({command, "--help"});
    EXPECT_EQ(help.code, kExitOk);
    for (const std::string& name : names) {
      EXPECT_THAT(help.out, HasSubstr(name)) << command;
    }
    for (const std::string& name : connection) {
      EXPECT_THAT(help.out, HasSubstr(name)) << command;
    }
    EXPECT_THAT(help.out, HasSubstr("Exit status"));
    EXPECT_THAT(help.out, HasSubstr("Examples"));
  }
  EXPECT_THAT(Run({"--version"}).out, StartsWith("longhand "));
}

}  // namespace
}  // namespace longhand::client
