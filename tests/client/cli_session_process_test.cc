// Runs the `longhand session` commands besides append against FakeServer.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "client/cli/exit_code.h"
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

class CliSessionTest : public CliTest {
 protected:
  FakeSessions& sessions_ = server_.sessions;
};

TEST_F(CliSessionTest, CreateTakesTheOptionsAndGivesTheId) {
  StartServer();
  RunResult run = Run({"session", "create", "--quiet", "--ttl", "90m",
                       "--mechanism", "bsbr", "--chunk-tokens", "64"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  ASSERT_EQ(run.out.size(), 23);
  const std::string id = run.out.substr(0, 22);
  EXPECT_EQ(sessions_.Get(id).session_id(), id);
  EXPECT_EQ(sessions_.last_create.ttl().seconds(), 5400);
  EXPECT_EQ(sessions_.last_create.options().chunk_tokens(), 64);

  run = Run({"session", "create", "--output", "json"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(json::parse(run.out)["state"], "open");
  run = Run({"session", "create"});
  EXPECT_THAT(run.out, HasSubstr("mechanism bsbr"));
}

TEST_F(CliSessionTest, ListShowAndDelete) {
  StartServer();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(sessions_.Add());
  sessions_.Write(ids[3], MakeText(12345));
  RunResult run = Run({"session", "list"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("12,345"));
  EXPECT_THAT(run.out, HasSubstr("5 sessions\n"));
  run = Run({"session", "list", "--quiet"});
  EXPECT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 5);
  EXPECT_THAT(run.out, HasSubstr(ids[4] + "\n"));
  run = Run({"session", "list", "--output", "json"});
  EXPECT_EQ(json::parse(run.out)[3]["committed_offset"], 12345);

  run = Run({"session", "show", ids[3]});
  EXPECT_THAT(run.out, HasSubstr("12,345, 12,345 of it durable (shared), "
                                 "12,000 in final chunks"));
  run = Run({"session", "show", ids[3], "--output", "json"});
  const json shown = json::parse(run.out);
  EXPECT_EQ(shown["state_digest"].get<std::string>().size(), 64);
  EXPECT_EQ(shown["create_time"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(shown["options"]["mechanism"], "bsbr");

  // Those that are there go, whatever is wrong with the others.
  run = Run({"session", "delete", ids[0], "no_such_session_______", ids[1]});
  EXPECT_EQ(run.code, kExitSession);
  EXPECT_THAT(run.err, HasSubstr("[SESSION_NOT_FOUND]"));
  EXPECT_THAT(run.err, HasSubstr("hint: `longhand session list`"));
  EXPECT_EQ(sessions_.size(), 3);
}

TEST_F(CliSessionTest, QuestionsAreAnsweredWithChunks) {
  StartServer();
  const std::string id = sessions_.Add();
  std::string text = MakeText(2500);
  text[3] = '\x1b';
  sessions_.Write(id, text);
  RunResult run = Run({"session", "query", id, "Who pays?", "Why?"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("Who pays?\nWEIGHT  CHUNK   BYTES  TEXT\n"
                                 "0.7500      0  0-1000  wor\\x1b"));
  EXPECT_THAT(run.out, HasSubstr("Why?\n"));
  EXPECT_THAT(run.out, HasSubstr("COSINE"));
  EXPECT_THAT(run.out, HasSubstr("2 chunks were searched"));
  EXPECT_THAT(run.out, Not(HasSubstr("\x1b")));
  EXPECT_TRUE(sessions_.last_query.texts());

  std::string questions;
  for (int i = 0; i < 70; ++i) {
    questions += "question " + std::to_string(i) + "\n\n";
  }
  run = Run({"session", "query", id, "first", "--questions",
             Write("q.txt", questions), "--output", "json", "--similar", "3",
             "--document-weight", "-1"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const json result = json::parse(run.out);
  ASSERT_EQ(result["answers"].size(), 71);
  EXPECT_EQ(result["answers"][0]["question"], "first");
  EXPECT_EQ(result["answers"][70]["question"], "question 69");
  EXPECT_FALSE(result["answers"][0]["similar"][0].contains("text"));
  EXPECT_EQ(result["answers"][0]["own_vector"].size(), FakeSessions::kHidden);
  EXPECT_EQ(sessions_.calls["QuerySession"], 3);
  EXPECT_EQ(sessions_.last_query.max_similar(), 3);
  EXPECT_EQ(sessions_.last_query.document_weight(), -1);
  EXPECT_EQ(Run({"session", "query", id}).code, kExitUsage);
}

TEST_F(CliSessionTest, ForkRewindAndEdit) {
  StartServer();
  const std::string id = sessions_.Add();
  sessions_.Write(id, "hello wide world");
  RunResult run = Run({"session", "fork", id, "--quiet"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  const std::string fork = run.out.substr(0, 22);
  EXPECT_EQ(sessions_.Get(fork).parent_session_id(), id);

  run = Run({"session", "edit", id, "--begin", "6", "--end", "10", "--text",
             "small", "--output", "json"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(sessions_.Content(id), "hello small world");
  EXPECT_EQ(json::parse(run.out)["format"], "longhand.session_change.v1");
  EXPECT_EQ(json::parse(run.out)["chunks"][0]["index"], 0);
  run = Run({"session", "edit", id, "--begin", "0", "--end", "0", "--file",
             Write("head.txt", "# ")});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("changed     1 chunks"));
  EXPECT_EQ(sessions_.Content(id), "# hello small world");
  EXPECT_EQ(Run({"session", "edit", id, "--begin", "7"}).code, kExitOk);
  EXPECT_EQ(sessions_.Content(id), "# hello");

  run = Run({"session", "rewind", id, "2", "--quiet"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, IsEmpty());
  EXPECT_EQ(sessions_.Content(id), "# ");
  EXPECT_EQ(Run({"session", "rewind", id, "3"}).code, kExitRejected);
  EXPECT_EQ(sessions_.Content(fork), "hello wide world");
}

TEST_F(CliSessionTest, SnapshotsAreWrittenWholeAndReadBack) {
  StartServer();
  const std::string id = sessions_.Add();
  const std::string text = MakeText(300 * 1000);
  sessions_.Write(id, text);
  const std::string file = Path("a.lhs");
  RunResult run = Run({"session", "export", id, "-o", file});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(ReadFile(file), "FAKESNAP" + text);
  run = Run({"session", "export", id, "-o", file});
  EXPECT_EQ(run.code, kExitFile);
  EXPECT_THAT(run.err, HasSubstr("--force"));
  EXPECT_EQ(Run({"session", "export", id, "-o", file, "--force"}).code,
            kExitOk);
  EXPECT_EQ(Run({"session", "export", id}).out, "FAKESNAP" + text);
  const std::string none = "no_such_session_______";
  EXPECT_EQ(Run({"session", "export", none, "-o", Path("b")}).code,
            kExitSession);
  EXPECT_FALSE(std::filesystem::exists(Path("b")));

  run = Run({"session", "import", file, "--quiet", "--ttl", "1h"});
  ASSERT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(sessions_.Content(run.out.substr(0, 22)), text);
  EXPECT_EQ(Run({"session", "import", "-"}, file).code, kExitOk);
  EXPECT_EQ(Run({"session", "import", Write("x", "nonsense")}).code,
            kExitRejected);
  EXPECT_EQ(Run({"session", "import", Path("missing")}).code, kExitFile);
}

TEST_F(CliSessionTest, UsageErrorsExitWithTwo) {
  EXPECT_EQ(Run({"session"}).code, kExitUsage);
  EXPECT_EQ(Run({"session", "nonsense"}).code, kExitUsage);
  EXPECT_EQ(Run({"session", "show"}).code, kExitUsage);
  EXPECT_EQ(Run({"session", "create", "--ttl", "soon"}).code, kExitUsage);
  EXPECT_EQ(Run({"session", "rewind", "x"}).code, kExitUsage);
  EXPECT_EQ(Run({"session", "edit", "x"}).code, kExitUsage);
  EXPECT_EQ(Run({"session", "edit", "x", "--begin", "0", "--text", "a",
                 "--file", "b"})
                .code,
            kExitUsage);
}

TEST_F(CliSessionTest, EveryCommandHasHelpWithExamples) {
  const std::map<std::string, std::vector<std::string>> options = {
      {"create", {"--ttl", "--mechanism", "--chunk-tokens", "--quiet"}},
      {"list", {"--output", "--quiet"}},
      {"show", {"SESSION", "--output", "state_digest"}},
      {"append",
       {"FILE", "--token-ids", "--file-offset", "--follow", "--close",
        "--durability", "--piece-bytes", "--output", "--out", "--row-spans",
        "--rows", "--provisional", "--quiet", "--no-progress",
        "longhand.session_append.v1"}},
      {"query",
       {"QUESTION", "--questions", "--attended", "--similar", "--texts",
        "--document-weight"}},
      {"fork", {"--ttl", "--quiet"}},
      {"rewind", {"OFFSET", "--durability"}},
      {"edit", {"--begin", "--end", "--text", "--file", "--durability"}},
      {"delete", {"SESSION"}},
      {"export", {"--out", "--force"}},
      {"import", {"FILE", "--ttl"}}};
  const RunResult all = Run({"session", "--help"});
  EXPECT_EQ(all.code, kExitOk);
  for (const auto& [command, words] : options) {
    EXPECT_THAT(all.out, HasSubstr("  " + command));
    const RunResult help = Run({"session", command, "--help"});
    EXPECT_EQ(help.code, kExitOk);
    for (const std::string& word : words) {
      EXPECT_THAT(help.out, HasSubstr(word)) << command;
    }
    for (const char* word : {"Examples:", "Exit status:", "--server", "--ca"}) {
      EXPECT_THAT(help.out, HasSubstr(word)) << command;
    }
  }
}

}  // namespace
}  // namespace longhand::client
