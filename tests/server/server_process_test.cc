// The program longhand-server, from start to exit, with a tiny model.
#include "tests/testing/server_process.h"

#include <signal.h>

#include <chrono>
#include <map>
#include <sstream>
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

TEST(ServerProcessTest, BudgetsOverTheMemoryAreWarnedOf) {
  for (const bool over : {false, true}) {
    std::vector<std::string> flags = TinyModel();
    flags.insert(flags.end(), {"--max-working-bytes", over ? "4096GiB" : "1GiB",
                               "--session-memory-bytes", "64MiB",
                               "--grpc-memory-bytes", "64MiB"});
    ServerProcess process(flags);
    ASSERT_NE(process.WaitForAddress(), "") << process.Log();
    const auto warning = HasSubstr("the budgets are more memory");
    if (over) {
      EXPECT_THAT(process.Log(), warning);
    } else {
      EXPECT_THAT(process.Log(), Not(warning));
    }
  }
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

TEST(ServerProcessTest, ClientsCannotFloodTheLog) {
  ServerProcess process(TinyModel());
  const std::string address = process.WaitForAddress();
  ASSERT_NE(address, "") << process.Log();
  auto stub = v1::EncoderService::NewStub(ChannelTo(address));
  v1::EncodeRequest request;
  request.set_text("text");
  // Protobuf itself complains of a string that is not UTF-8.
  request.mutable_options()->set_mechanism("\xff");
  for (int i = 0; i < 200; ++i) {
    grpc::ClientContext context;
    v1::EncodeResponse response;
    EXPECT_FALSE(stub->Encode(&context, request, &response).ok());
  }
  process.Signal(SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 0);
  std::istringstream lines(process.Log());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
  EXPECT_LT(count, 100);
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
