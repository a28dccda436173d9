// The program longhand-server, from start to exit, with a tiny model.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/test_server.h"

namespace longhand::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kModel[] = LONGHAND_TESTDATA_DIR "/parity/bert";

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file),
          std::istreambuf_iterator<char>()};
}

// One run of longhand-server on free loopback ports; killed with the object.
class ServerProcess {
 public:
  explicit ServerProcess(std::vector<std::string> flags)
      : directory_(::testing::TempDir() + "server.XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    std::vector<std::string> arguments = {
        LONGHAND_SERVER,    "--listen=127.0.0.1:0",
        "--metrics-listen", "127.0.0.1:0",
        "--port-file",      directory_ + "/port",
        "--log-format",     "json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      const int log =
          open((directory_ + "/log").c_str(), O_CREAT | O_WRONLY, 0600);
      dup2(log, STDOUT_FILENO);
      dup2(log, STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }

  ~ServerProcess() {
    if (!exited_) {
      kill(pid_, SIGKILL);
      WaitForExit();
    }
    for (const char* name : {"/port", "/log"}) {
      unlink((directory_ + name).c_str());
    }
    rmdir(directory_.c_str());
  }

  // The address once the server is ready; "" if it exits instead.
  std::string WaitForAddress() {
    for (;;) {
      const std::string port = ReadAll(directory_ + "/port");
      if (!port.empty()) {
        return "127.0.0.1:" + port.substr(0, port.find('\n'));
      }
      if (waitpid(pid_, &status_, WNOHANG) == pid_) {
        exited_ = true;
        return "";
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  void Signal(int number) const { kill(pid_, number); }

  // The exit code, or -1 if a signal ended it.
  int WaitForExit() {
    if (!exited_) waitpid(pid_, &status_, 0);
    exited_ = true;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }

  std::string Log() const { return ReadAll(directory_ + "/log"); }

 private:
  std::string directory_;
  pid_t pid_ = -1;
  bool exited_ = false;
  int status_ = 0;
};

std::vector<std::string> TinyModel() {
  return {"--model", kModel, "--without-tokenizer", "--workers", "1"};
}

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

TEST(ServerProcessTest, ServesAndDrains) {
  ServerProcess process(TinyModel());
  const std::string address = process.WaitForAddress();
  ASSERT_NE(address, "") << process.Log();
  std::shared_ptr<grpc::Channel> channel = ChannelTo(address);
  EXPECT_EQ(HealthOf(channel, ""), "SERVING");
  auto stub = v1::EncoderService::NewStub(channel);
  v1::EncodeRequest request;
  for (uint32_t i = 0; i < 20; ++i) request.mutable_token_ids()->add_ids(10);
  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status status = stub->Encode(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.document_vector().size(),
            sizeof(float) * response.summary().hidden_size());
  EXPECT_EQ(response.summary().received_tokens(), 20U);

  request.mutable_token_ids()->add_ids(0xffffffffU);
  grpc::ClientContext bad_context;
  EXPECT_EQ(ReasonOf(stub->Encode(&bad_context, request, &response)),
            "TOKEN_ID_OUT_OF_RANGE");

  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 0) << process.Log();
  EXPECT_THAT(process.Log(), HasSubstr("\"drained\""));
}

TEST(ServerProcessTest, TheLogSaysWhatRuns) {
  ServerProcess process(TinyModel());
  ASSERT_NE(process.WaitForAddress(), "") << process.Log();
  process.Signal(SIGINT);
  EXPECT_EQ(process.WaitForExit(), 0);
  std::map<std::string, nlohmann::json> events;
  std::istringstream lines(process.Log());
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    ASSERT_FALSE(json.is_discarded()) << line;
    events[json.at("event")] = json;
  }
  EXPECT_EQ(events.at("model loaded").at("family"), "bert");
  EXPECT_EQ(events.at("model loaded").at("precision_effective"), "fp32");
  EXPECT_EQ(events.at("encoder started").at("workers"), 1);
  EXPECT_EQ(events.at("listening").at("tls"), false);
  EXPECT_GT(events.at("listening").at("metrics_port"), 0);
}

TEST(ServerProcessTest, DocumentsDoNotReachTheLog) {
  std::vector<std::string> flags = TinyModel();
  flags.insert(flags.end(), {"--log-level", "debug"});
  ServerProcess process(flags);
  const std::string address = process.WaitForAddress();
  ASSERT_NE(address, "") << process.Log();
  auto stub = v1::EncoderService::NewStub(ChannelTo(address));
  v1::EncodeRequest request;
  request.set_text("canary-7f3a \xff");
  request.mutable_options()->set_mechanism("canary-91bc\n");
  grpc::ClientContext context;
  v1::EncodeResponse response;
  EXPECT_FALSE(stub->Encode(&context, request, &response).ok());
  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 0);
  EXPECT_THAT(process.Log(), HasSubstr("\"method\":\"Encode\""));
  EXPECT_THAT(process.Log(), Not(HasSubstr("canary")));
}

TEST(ServerProcessTest, ASecondSignalEndsTheDrain) {
  ServerProcess process(TinyModel());
  const std::string address = process.WaitForAddress();
  ASSERT_NE(address, "") << process.Log();
  std::shared_ptr<grpc::Channel> channel = ChannelTo(address);
  auto stub = v1::EncoderService::NewStub(channel);
  grpc::ClientContext context;
  auto stream = stub->EncodeStream(&context);
  v1::EncodeStreamRequest config;
  config.mutable_config();
  ASSERT_TRUE(stream->Write(config));
  ASSERT_EQ(HealthOf(channel, ""), "SERVING");
  process.Signal(SIGTERM);
  while (process.Log().find("\"draining\"") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 3) << process.Log();
}

TEST(ServerProcessTest, WhatCannotStartSaysWhy) {
  ServerProcess running(TinyModel());
  const std::string address = running.WaitForAddress();
  ASSERT_NE(address, "") << running.Log();
  struct Case {
    std::vector<std::string> flags;
    int exit_code;
    std::string message;
  };
  const std::vector<Case> cases = {
      {{"--wrokers", "3"}, 2, "--wrokers"},
      {{"--listen", "0.0.0.0:0"}, 2, "without TLS"},
      {{"--model", "no/such/model"}, 1, "no/such/model"},
      {{"--precision", "fp17"}, 1, "fp17"},
      {{"--default-mechanism", "magic"}, 1, "mechanism"},
      {{"--default-chunk-tokens", "1000000"}, 1, "chunk_tokens"},
      {{"--listen", address}, 1, "in use"},
      {{"--metrics-listen", address}, 1, "in use"},
      {{"--port-file", "/no/such/directory/port"}, 1, "--port-file"},
  };
  for (const Case& c : cases) {
    std::vector<std::string> flags = TinyModel();
    flags.insert(flags.end(), c.flags.begin(), c.flags.end());
    ServerProcess process(flags);
    EXPECT_EQ(process.WaitForAddress(), "") << c.message;
    EXPECT_EQ(process.WaitForExit(), c.exit_code) << process.Log();
    EXPECT_THAT(process.Log(), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace longhand::testing
