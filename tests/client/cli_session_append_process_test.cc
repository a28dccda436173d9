// Runs `longhand session append` against FakeServer.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
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

class CliSessionAppendTest : public CliTest {
 protected:
  void Start() {
    StartServer();
    id_ = sessions_.Add();
  }

  std::vector<std::string> Append(const std::vector<std::string>& rest) const {
    std::vector<std::string> args = {"session", "append", id_};
    args.insert(args.end(), rest.begin(), rest.end());
    return args;
  }

  // Waits for a state of the server that a running command brings about.
  void AwaitContent(const std::string& content) {
    while (sessions_.Content(id_) != content) usleep(10000);
  }

  FakeSessions& sessions_ = server_.sessions;
  std::string id_;
};

std::vector<json> ParseLines(const std::string& text) {
  std::vector<json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(json::parse(line));
  }
  return lines;
}

TEST_F(CliSessionAppendTest, TableShowsTheChunksAndTheSession) {
  Start();
  const std::string text = MakeText(2500);
  RunResult run = Run(Append({Write("a.txt", text), "--durability", "shared"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.err, IsEmpty());
  EXPECT_EQ(sessions_.Content(id_), text);
  EXPECT_EQ(sessions_.appends[0].min_durability(), v1::DURABILITY_SHARED);
  EXPECT_THAT(run.out, HasSubstr("    0     0-1000    1000  1.0000  word0 "));
  EXPECT_THAT(run.out, HasSubstr("appended    2.4 KiB in 1 appends"));
  EXPECT_THAT(run.out, HasSubstr("2,000 in final chunks"));

  // A further part: its first chunk began in the part before.
  run = Run(Append({Write("b.txt", "tail " + MakeText(1000)), "--file-offset",
                    "end", "--close"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("2000-3000    1000  1.0000  tail word0"));
  EXPECT_THAT(run.out, HasSubstr("state       closed"));
  EXPECT_EQ(sessions_.Content(id_), text + "tail " + MakeText(1000));
}

TEST_F(CliSessionAppendTest, TheSameCommandGoesOnWhereItEnded) {
  Start();
  const std::string text = MakeText(5000);
  const std::string file = Write("a.txt", text);
  sessions_.Write(id_, text.substr(0, 2000));
  RunResult run = Run(Append({file, "--output", "json"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(sessions_.Content(id_), text);
  EXPECT_THAT(run.err, HasSubstr("the session has the first 2,000 bytes of " +
                                 file + " already"));
  const json result = json::parse(run.out);
  EXPECT_EQ(result["format"], "longhand.session_append.v1");
  EXPECT_EQ(result["appended"]["bytes"], 3000);
  EXPECT_EQ(result["appended"]["skipped_bytes"], 2000);
  EXPECT_EQ(result["session"]["committed_offset"], 5000);
  ASSERT_EQ(result["chunks"].size(), 3);
  EXPECT_EQ(result["chunks"][0]["index"], 2);
  EXPECT_EQ(result["chunks"][0]["vector"].size(), FakeSessions::kHidden);

  run = Run(Append({Write("other.txt", "something short")}));
  EXPECT_EQ(run.code, kExitSession);
  EXPECT_THAT(run.err, HasSubstr("[SOURCE_TOO_SHORT]"));
  EXPECT_THAT(run.err, HasSubstr("--file-offset"));
  EXPECT_EQ(sessions_.Content(id_), text);
}

TEST_F(CliSessionAppendTest, JsonLinesAndProvisionalChunks) {
  Start();
  const std::string text = MakeText(1500);
  const std::string file = Write("a.txt", text);
  // Standard input follows what the session has.
  sessions_.Write(id_, "0123456789");
  RunResult run =
      Run(Append({"-", "--output", "jsonl", "--provisional"}), file);
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(sessions_.Content(id_), "0123456789" + text);
  const std::vector<json> lines = ParseLines(run.out);
  ASSERT_EQ(lines.size(), 3);
  EXPECT_EQ(lines[0]["type"], "chunk");
  EXPECT_EQ(lines[1]["type"], "provisional_chunk");
  EXPECT_EQ(lines[1]["index"], 999);
  EXPECT_EQ(lines[2]["type"], "result");
  EXPECT_EQ(lines[2]["session"]["session_id"], id_);
  run = Run(Append({"-", "--output", "json", "--provisional"}), file);
  EXPECT_EQ(json::parse(run.out)["provisional_chunks"].size(), 1);
}

TEST_F(CliSessionAppendTest, NpyHoldsTheNewRows) {
  Start();
  RunResult run =
      Run(Append({Write("a.txt", MakeText(2500)), "--output", "npy", "-o",
                  Path("c.npy"), "--row-spans", Path("c.json")}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const std::string bytes = ReadFile(Path("c.npy"));
  EXPECT_THAT(bytes, HasSubstr("'shape': (2, 4), }"));
  EXPECT_EQ(DecodeFloats(absl::string_view(bytes).substr(128))->size(), 8);
  EXPECT_EQ(json::parse(ReadFile(Path("c.json")))["chunks"][1]["begin_byte"],
            1000);
}

TEST_F(CliSessionAppendTest, RowsThatWereLostAreNotLeftOutInSilence) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count == 1) {
      fault = {.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "lost")};
    }
    return fault;
  };
  Start();
  RunResult run = Run(Append({Write("a.txt", MakeText(2500)), "--output", "npy",
                              "-o", Path("c.npy")}));
  EXPECT_EQ(run.code, kExitServerError);
  EXPECT_THAT(run.err, HasSubstr("the results of 2 chunks were lost"));
  EXPECT_FALSE(std::filesystem::exists(Path("c.npy")));
  EXPECT_EQ(sessions_.Content(id_), MakeText(2500));
}

TEST_F(CliSessionAppendTest, TokenIdsAndQuiet) {
  Start();
  const RunResult run =
      Run(Append({"--token-ids", Write("ids", "[1, 258, 3]"), "--quiet"}));
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, IsEmpty());
  EXPECT_EQ(sessions_.Content(id_),
            std::string("\1\0\0\0\2\1\0\0\3\0\0\0", 12));
}

TEST_F(CliSessionAppendTest, InterruptionSaysHowToGoOn) {
  std::promise<void> started;
  int count = 0;
  sessions_.on_append = [&](const auto&, int) {
    std::optional<AppendFault> fault;
    if (++count == 2) {
      started.set_value();
      fault = {.apply = false,
               .status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "busy"),
               .pushback = "60000"};
    }
    return fault;
  };
  Start();
  const std::string text = MakeText(5000);
  const std::string file = Write("a file.txt", text);
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = open(Path("stdout").c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const pid_t pid = Spawn(Append({file, "--piece-bytes", "1000"}), in, out);
  started.get_future().wait();
  kill(pid, SIGINT);
  const RunResult run = Wait(pid);
  close(in);
  close(out);
  EXPECT_EQ(run.code, kExitInterrupted);
  EXPECT_THAT(run.err, HasSubstr("everything up to offset 1000"));
  EXPECT_THAT(run.err, HasSubstr("session append " + id_ + " '" + file +
                                 "' --piece-bytes 1000 --file-offset 0\n"));
  EXPECT_THAT(run.out, IsEmpty());

  sessions_.on_append = nullptr;
  const RunResult again =
      Run(Append({file, "--piece-bytes", "1000", "--file-offset", "0"}));
  ASSERT_EQ(again.code, kExitOk) << again.err;
  EXPECT_EQ(sessions_.Content(id_), text);
}

TEST_F(CliSessionAppendTest, FollowingEndsInOrderWhenItIsInterrupted) {
  Start();
  const std::string file = Write("log.txt", "");
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = open(Path("stdout").c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const pid_t pid =
      Spawn(Append({file, "--follow", "--output", "json"}), in, out);
  std::string text;
  for (const char* line : {"one\n", "two\n", "three\n"}) {
    std::ofstream(file, std::ios::app) << line;
    text += line;
    AwaitContent(text);
  }
  kill(pid, SIGINT);
  const RunResult run = Wait(pid);
  close(in);
  close(out);
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.err, HasSubstr("interrupt again"));
  EXPECT_EQ(json::parse(run.out)["session"]["committed_offset"], text.size());
}

TEST_F(CliSessionAppendTest, AFollowedFileThatShrinksIsAnError) {
  Start();
  const std::string file = Write("log.txt", "a long first line\n");
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const pid_t pid = Spawn(Append({file, "--follow"}), in, out);
  AwaitContent("a long first line\n");
  std::filesystem::resize_file(file, 3);
  const RunResult run = Wait(pid);
  close(in);
  close(out);
  EXPECT_EQ(run.code, kExitFile);
  EXPECT_THAT(run.err, HasSubstr("[INPUT_TRUNCATED]"));
}

TEST_F(CliSessionAppendTest, ErrorsHaveTheirExitCodesAndAdvice) {
  struct Case {
    grpc::StatusCode code;
    std::string reason;
    int exit_code;
    std::string advice;
  };
  Start();
  const std::string file = Write("a.txt", "text");
  for (const Case& test : std::vector<Case>{
           {grpc::StatusCode::NOT_FOUND, "SESSION_EXPIRED", kExitSession,
            "--ttl"},
           {grpc::StatusCode::FAILED_PRECONDITION, "SESSION_CLOSED",
            kExitSession, "a new session"},
           {grpc::StatusCode::FAILED_PRECONDITION, "MODEL_FINGERPRINT_MISMATCH",
            kExitSession, "to a new one"},
           {grpc::StatusCode::FAILED_PRECONDITION, "DURABILITY_UNAVAILABLE",
            kExitRejected, "--durability"},
           {grpc::StatusCode::ABORTED, "CONCURRENT_APPEND", kExitSession,
            "another program"},
           {grpc::StatusCode::ABORTED, "STALE_GENERATION", kExitUnavailable,
            "To go on:"},
           {grpc::StatusCode::UNAVAILABLE, "STORE_DEGRADED", kExitUnavailable,
            "To go on:"},
           {grpc::StatusCode::RESOURCE_EXHAUSTED, "SESSION_TOKEN_LIMIT",
            kExitRejected, ""},
           {grpc::StatusCode::INTERNAL, "NUMERIC", kExitServerError, ""}}) {
    sessions_.on_append = [&](const auto&, int) {
      return AppendFault{
          .apply = false,
          .status = MakeStatus(test.code, "no", test.reason, {})};
    };
    const RunResult run = Run(Append({file, "--retries", "1"}));
    EXPECT_EQ(run.code, test.exit_code) << test.reason;
    EXPECT_THAT(run.err, HasSubstr("[" + test.reason + "]"));
    EXPECT_THAT(run.err, HasSubstr(test.advice));
  }
  EXPECT_EQ(sessions_.Content(id_), "");
}

TEST_F(CliSessionAppendTest, ItWaitsLongerForTheServerThanOtherCommands) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count <= 10) {
      fault = {.apply = false,
               .status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "busy")};
    }
    return fault;
  };
  Start();
  const RunResult run = Run(Append({Write("a.txt", "text")}));
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(sessions_.Content(id_), "text");
}

TEST_F(CliSessionAppendTest, UsageErrorsExitWithTwo) {
  id_ = "x";
  EXPECT_EQ(Run(Append({})).code, kExitUsage);
  EXPECT_EQ(Run(Append({"f", "--token-ids", "g"})).code, kExitUsage);
  EXPECT_EQ(Run(Append({"-", "--follow"})).code, kExitUsage);
  EXPECT_EQ(Run(Append({"f", "--output", "npy"})).code, kExitUsage);
  EXPECT_EQ(Run(Append({"f", "--row-spans", "g"})).code, kExitUsage);
  EXPECT_EQ(Run(Append({"f", "--durability", "eternal"})).code, kExitUsage);
  EXPECT_EQ(Run(Append({"f", "--file-offset", "middle"})).code, kExitUsage);
  EXPECT_EQ(
      Run(Append({"f", "--output", "npy", "-o", "g", "--provisional"})).code,
      kExitUsage);
}

}  // namespace
}  // namespace longhand::client
