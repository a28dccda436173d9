// `longhand load` as a command: what it sends, counts, writes and returns.
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "grpcpp/server_context.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli_case.h"

namespace longhand::client {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The fake server's tokens are bytes.
class LoadTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    server_.on_encode = [this](grpc::ServerContext*,
                               const v1::EncodeRequest& request,
                               v1::EncodeResponse* response, int) {
      Answer(request, response);
      return grpc::Status::OK;
    };
    text_ = Write("text", MakeText(4999) + "\n");
  }

  // As if it had been encoded; keeps what came.
  void Answer(const v1::EncodeRequest& request, v1::EncodeResponse* response) {
    const size_t size =
        request.has_text()
            ? request.text().size()
            : static_cast<size_t>(request.token_ids().ids_size());
    if (request.has_text()) {
      response->mutable_summary()->set_received_bytes(size);
    }
    response->mutable_summary()->set_received_tokens(size);
    const std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back(request);
  }

  // Runs it and parses its JSON. It must return `code`.
  json Load(std::vector<std::string> args, int code = kExitOk) {
    args.insert(args.begin(), "load");
    args.insert(args.end(), {"--output", "json"});
    const RunResult run = Run(args);
    EXPECT_EQ(run.code, code) << run.err;
    error_ = run.err;
    return run.out.empty() ? json() : json::parse(run.out);
  }

  static void ExpectCountsAddUp(const json& stats) {
    EXPECT_EQ(stats["arrivals"].get<int>(),
              stats["sent"].get<int>() + stats["not_sent"].get<int>());
    EXPECT_EQ(stats["sent"].get<int>(),
              stats["ok"].get<int>() + stats["late"].get<int>() +
                  stats["rejected"].get<int>() +
                  stats["deadline_exceeded"].get<int>() +
                  stats["unfinished"].get<int>());
    EXPECT_EQ(stats["latency"]["count"].get<int>(),
              stats["ok"].get<int>() + stats["late"].get<int>());
  }

  std::string text_;
  std::string error_;
  std::mutex mutex_;
  std::vector<v1::EncodeRequest> requests_;
};

TEST_F(LoadTest, AClosedLoopSendsTheMix) {
  StartServer();
  const json report =
      Load({text_, "--clients", "3", "--requests", "200", "--ramp-up", "10ms",
            "--mix", "short:3:20-30,long:1:400", "--gate", "0.25"});
  EXPECT_EQ(report["format"], "longhand.load.v1");
  EXPECT_EQ(report["loop"], "closed");
  EXPECT_EQ(report["input"]["tokens"], 5000);
  EXPECT_EQ(report["options"]["gate"], 0.25);
  EXPECT_LE(report["peak_outstanding"], 3);
  EXPECT_EQ(report["total"]["sent"], 200);
  EXPECT_EQ(report["total"]["ok"], 200);
  int sent = 0;
  for (const json& stats : report["classes"]) {
    ExpectCountsAddUp(stats);
    EXPECT_GT(stats["sent"], 20);
    EXPECT_GE(stats["latency"]["p99"], stats["latency"]["p50"]);
    EXPECT_GT(stats["latency"]["p50"], 0);
    sent += stats["sent"].get<int>();
  }
  EXPECT_EQ(sent, 200);
  // The first one is the command's own.
  ASSERT_EQ(requests_.size(), 201U);
  size_t bytes = 0, longs = 0;
  std::set<std::string> texts;
  for (size_t i = 1; i < requests_.size(); ++i) {
    EXPECT_EQ(requests_[i].options().gate(), 0.25F);
    const size_t size = requests_[i].text().size();
    EXPECT_TRUE(size == 400 || (size >= 20 && size <= 30)) << size;
    bytes += size;
    longs += size == 400 ? 1 : 0;
    texts.insert(requests_[i].text());
  }
  EXPECT_EQ(report["classes"][1]["sent"], longs);
  EXPECT_EQ(report["total"]["throughput"]["answered_tokens"], bytes);
  EXPECT_GT(texts.size(), 150U);
}

TEST_F(LoadTest, ASeedSendsTheSameDocuments) {
  StartServer();
  const auto texts = [this](const std::string& seed, const char* clients) {
    requests_.clear();
    Load({text_, "--clients", clients, "--requests", "30", "--mix", "a:1:1-500",
          "--load-seed", seed});
    std::multiset<std::string> all;
    for (const v1::EncodeRequest& request : requests_) {
      all.insert(request.text());
    }
    return all;
  };
  const auto some = texts("5", "1");
  EXPECT_EQ(texts("5", "4"), some);
  EXPECT_NE(texts("6", "1"), some);
}

TEST_F(LoadTest, IdsAndStreams) {
  StartServer();
  const std::string ids = Write("ids", "[1, 2, 3, 4, 5]");
  json report = Load({"--token-ids", ids, "--requests", "5", "--mix", "a:1:7"});
  EXPECT_EQ(report["total"]["ok"], 5);
  EXPECT_EQ(report["input"]["tokens"], 5);
  EXPECT_EQ(requests_.back().token_ids().ids_size(), 7);
  EXPECT_EQ(server_.tokenizes, 0);
  report =
      Load({text_, "--input", "ids", "--requests", "5", "--mix", "a:1:20"});
  EXPECT_EQ(requests_.back().token_ids().ids_size(), 20);
  const int encodes = server_.encodes;
  report = Load({text_, "--method", "stream", "--piece-bytes", "100",
                 "--clients", "1", "--requests", "3", "--mix", "a:1:1234",
                 "--mechanism", "bsbr"});
  EXPECT_EQ(report["total"]["ok"], 3);
  EXPECT_EQ(report["total"]["throughput"]["answered_tokens"], 3 * 1234);
  EXPECT_EQ(server_.encodes, encodes + 1);  // the command's own
  EXPECT_EQ(server_.streams, 3);
  EXPECT_EQ(server_.pieces, 13);
  EXPECT_EQ(server_.text.size(), 1234U);
  EXPECT_EQ(server_.options.mechanism(), "bsbr");
  // Those that do not fit in a message are streamed without being told.
  report = Load(
      {text_, "--requests", "2", "--clients", "1", "--mix", "a:1:1200000"});
  EXPECT_EQ(report["total"]["ok"], 2);
  EXPECT_EQ(server_.streams, 5);
}

TEST_F(LoadTest, RefusalsAreCountedAndNotRepeated) {
  server_.on_encode = [this](grpc::ServerContext* context,
                             const v1::EncodeRequest& request,
                             v1::EncodeResponse* response, int attempt) {
    if (attempt > 1 && attempt % 2 == 0) {
      context->AddTrailingMetadata("grpc-retry-pushback-ms", "5");
      return MakeStatus(grpc::StatusCode::UNAVAILABLE, "no room", "OVERLOADED",
                        {});
    }
    Answer(request, response);
    return grpc::Status::OK;
  };
  StartServer();
  const std::vector<std::string> args = {
      text_, "--clients", "1", "--requests", "20", "--mix", "a:1:10"};
  json total = Load(args)["total"];
  EXPECT_EQ(total["ok"], 10);
  EXPECT_EQ(total["rejected"], 10);
  EXPECT_EQ(total["retries"], 0);
  EXPECT_EQ(total["reject_latency"]["count"], 10);
  EXPECT_EQ(total["errors"],
            json::parse(R"([{"code": "UNAVAILABLE", "reason": "OVERLOADED",
                             "message": "no room", "count": 10}])"));
  EXPECT_EQ(total["advice"]["pushbacks"], 10);
  EXPECT_FLOAT_EQ(total["advice"]["max"], 0.005F);
  ExpectCountsAddUp(total);
  // With retries all are answered.
  std::vector<std::string> more = args;
  more.insert(more.end(), {"--retries", "1", "--heed-advice"});
  total = Load(more)["total"];
  EXPECT_EQ(total["ok"], 20);
  EXPECT_EQ(total["rejected"], 0);
  EXPECT_EQ(total["retries"], total["errors"][0]["count"]);
  EXPECT_GE(total["retries"], 19);
}

TEST_F(LoadTest, DeadlinesAndLateAnswers) {
  server_.on_encode = [&](grpc::ServerContext* context,
                          const v1::EncodeRequest& request,
                          v1::EncodeResponse* response, int attempt) {
    if (attempt == 2) {
      while (!context->IsCancelled()) usleep(1000);
    }
    Answer(request, response);
    return grpc::Status::OK;
  };
  StartServer();
  json report = Load({text_, "--clients", "1", "--requests", "2", "--mix",
                      "a:1:10", "--deadline", "500ms"});
  EXPECT_EQ(report["deadline"], 0.5);
  EXPECT_EQ(report["answer_within"], 0.5);
  EXPECT_EQ(report["total"]["deadline_exceeded"], 1);
  EXPECT_EQ(report["total"]["ok"], 1);
  EXPECT_EQ(report["total"]["errors"][0]["reason"], "");
  // No answer comes within a nanosecond.
  report = Load({text_, "--clients", "1", "--requests", "4", "--mix", "a:1:10",
                 "--answer-within", "1ns"});
  EXPECT_EQ(report["deadline"], nullptr);
  EXPECT_EQ(report["total"]["late"], 4);
  EXPECT_EQ(report["total"]["ok"], 0);
  EXPECT_EQ(report["total"]["throughput"]["goodput_tokens_per_second"], 0);
  EXPECT_GT(report["total"]["throughput"]["tokens_per_second"], 0);
  ExpectCountsAddUp(report["total"]);
}

TEST_F(LoadTest, AnOpenLoopDoesNotWaitAndSaysWhatItDidNotSend) {
  std::atomic<bool> stand_still{false};
  server_.on_encode = [&](grpc::ServerContext* context,
                          const v1::EncodeRequest& request,
                          v1::EncodeResponse* response, int) {
    while (stand_still && !context->IsCancelled()) usleep(1000);
    stand_still = true;  // after the command's own
    Answer(request, response);
    return grpc::Status::OK;
  };
  StartServer();
  const json report = Load(
      {text_, "--rate", "1000", "--arrivals", "constant", "--requests", "50",
       "--max-outstanding", "7", "--mix", "a:1:10", "--deadline", "1s"},
      kExitServerError);
  EXPECT_EQ(report["loop"], "open");
  EXPECT_EQ(report["peak_outstanding"], 7);
  EXPECT_EQ(report["total"]["arrivals"], 50);
  EXPECT_EQ(report["total"]["sent"], 7);
  EXPECT_EQ(report["total"]["not_sent"], 43);
  EXPECT_EQ(report["total"]["deadline_exceeded"], 7);
  EXPECT_EQ(report["send_lag"]["count"], 7);
  EXPECT_THAT(error_, HasSubstr("none of 7 requests was answered"));
}

TEST_F(LoadTest, WhatTheServerDidNotTakeIsNoAnswer) {
  server_.on_encode = [this](grpc::ServerContext*,
                             const v1::EncodeRequest& request,
                             v1::EncodeResponse* response, int attempt) {
    Answer(request, response);
    if (attempt == 3) response->mutable_summary()->set_received_bytes(9);
    return grpc::Status::OK;
  };
  server_.on_stream = [](grpc::ServerContext*, FakeServer::Stream*, int) {
    return grpc::Status::OK;
  };
  StartServer();
  json report =
      Load({text_, "--clients", "1", "--requests", "4", "--mix", "a:1:10"});
  EXPECT_EQ(report["total"]["ok"], 3);
  EXPECT_EQ(report["total"]["rejected"], 1);
  EXPECT_EQ(report["total"]["errors"][0]["reason"], "INCOMPLETE_RESULT");
  report = Load({text_, "--clients", "1", "--requests", "4", "--mix", "a:1:10",
                 "--method", "stream"},
                kExitServerError);
  EXPECT_EQ(report["total"]["errors"][0]["reason"], "INCOMPLETE_RESULT");
  EXPECT_EQ(report["total"]["errors"][0]["count"], 4);
}

TEST_F(LoadTest, CtrlCReportsWhatWasMeasured) {
  std::promise<void> busy;
  server_.on_encode = [&](grpc::ServerContext* context,
                          const v1::EncodeRequest& request,
                          v1::EncodeResponse* response, int attempt) {
    if (attempt == 6) busy.set_value();
    while (attempt >= 6 && !context->IsCancelled()) usleep(1000);
    Answer(request, response);
    return grpc::Status::OK;
  };
  StartServer();
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = open(Path("stdout").c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const pid_t pid =
      Spawn({"load", text_, "--clients", "1", "--duration", "1h", "--warm-up",
             "0", "--mix", "a:1:10", "--output", "json"},
            in, out);
  busy.get_future().wait();
  kill(pid, SIGINT);
  const RunResult run = Wait(pid);
  close(in);
  close(out);
  EXPECT_EQ(run.code, kExitInterrupted);
  EXPECT_EQ(run.err, "longhand: interrupted\n");
  const json report = json::parse(run.out);
  EXPECT_EQ(report["interrupted"], true);
  EXPECT_EQ(report["total"]["sent"], 5);
  EXPECT_EQ(report["total"]["ok"], 4);
  EXPECT_EQ(report["total"]["unfinished"], 1);
  EXPECT_GT(report["window_seconds"], 0);
  EXPECT_LT(report["window_seconds"], 3600);
}

TEST_F(LoadTest, TheTableHasARowPerClassAndSaysWhatTheLoadWas) {
  StartServer();
  const RunResult run = Run({"load", text_, "--clients", "2", "--requests",
                             "100", "--mix", "short:3:10,long:1:100"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(run.out, HasSubstr("CLASS  SENT   OK  LATE  REFUSED  DEADLINE  "
                                 "OPEN  TOKENS/S"));
  EXPECT_THAT(run.out, HasSubstr("\nshort "));
  EXPECT_THAT(run.out, HasSubstr("\nlong "));
  EXPECT_THAT(run.out,
              HasSubstr("\ntotal   100  100     0        0         0"));
  EXPECT_THAT(run.out, HasSubstr("closed loop, 2 clients, 1 connection\n"));
}

TEST_F(LoadTest, MistakesEndItBeforeTheLoad) {
  const std::string empty = Write("empty", " \n");
  EXPECT_EQ(Run({"load"}).code, kExitUsage);
  EXPECT_EQ(Run({"load", text_, "--mix", "a:1"}).code, kExitUsage);
  EXPECT_EQ(Run({"load", text_, "--rate", "0"}).code, kExitUsage);
  EXPECT_EQ(Run({"load", text_, "--rate", "5", "--clients", "2"}).code,
            kExitUsage);
  EXPECT_EQ(Run({"load", text_, "--requests", "5", "--duration", "2s"}).code,
            kExitUsage);
  EXPECT_EQ(Run({"load", text_}).code, kExitUnavailable);
  server_.on_encode = [](grpc::ServerContext*, const v1::EncodeRequest&,
                         v1::EncodeResponse*, int) {
    return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT, "no such thing",
                      "UNKNOWN_MECHANISM", {});
  };
  StartServer();
  EXPECT_EQ(Run({"load", Path("none")}).code, kExitFile);
  const RunResult run = Run({"load", text_, "--mechanism", "none"});
  EXPECT_EQ(run.code, kExitRejected);
  EXPECT_THAT(run.err, HasSubstr("no such thing [UNKNOWN_MECHANISM]"));
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(server_.encodes, 1);
  EXPECT_EQ(Run({"load", "--token-ids", empty}).code, kExitFile);
}

}  // namespace
}  // namespace longhand::client
