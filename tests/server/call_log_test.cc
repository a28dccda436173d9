// The line that the server logs of each call, as the program writes it, and the
// signals that switch such lines on and off.
#include <signal.h>

#include <chrono>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/access_rules.h"
#include "tests/testing/access_file.h"
#include "tests/testing/server_process.h"
#include "tests/testing/test_server.h"

namespace longhand::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kSpan[] = "b7ad6b7169203331";

// A server with these flags beside those of a tiny model.
class CallLogTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& more) {
    std::vector<std::string> flags = TinyModel();
    flags.insert(flags.end(), more.begin(), more.end());
    process_.emplace(flags);
    const std::string address = process_->WaitForAddress();
    ASSERT_NE(address, "") << process_->Log();
    channel_ = ChannelTo(address);
    encode_ = v1::EncoderService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
  }

  // Lines whose event is one of calls.
  std::vector<nlohmann::json> Calls() const {
    std::vector<nlohmann::json> calls;
    std::istringstream lines(process_->Log());
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      EXPECT_FALSE(json.is_discarded()) << line;
      if (json.is_discarded()) continue;
      const std::string event = json.at("event");
      if (event == "call" || event == "slow call") calls.push_back(json);
    }
    return calls;
  }

  // Waits for so many lines; the last is written after the call has ended.
  std::vector<nlohmann::json> WaitForCalls(size_t count) const {
    while (Calls().size() < count) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return Calls();
  }

  void WaitForLog(const std::string& text) const {
    while (process_->Log().find(text) == std::string::npos) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  grpc::Status GetModel(const std::string& name = "") {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.set_name(name);
    v1::GetModelResponse response;
    return models_->GetModel(&context, request, &response);
  }

  grpc::Status Encode(grpc::ClientContext* context) {
    v1::EncodeRequest request;
    for (uint32_t i = 0; i < 20; ++i) request.mutable_token_ids()->add_ids(10);
    v1::EncodeResponse response;
    return encode_->Encode(context, request, &response);
  }

  std::optional<ServerProcess> process_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::EncoderService::Stub> encode_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

TEST_F(CallLogTest, ALineSaysWhatBecameOfACall) {
  const AccessFile file(TenantsJson(TokenEntry("a", "s3cret")));
  Start({"--log-level", "debug", "--auth-tokens", file.path()});
  grpc::ClientContext context;
  AddToken("s3cret", &context);
  context.AddMetadata("traceparent",
                      std::string("00-") + kTrace + "-" + kSpan + "-01");
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(60));
  ASSERT_TRUE(Encode(&context).ok());
  nlohmann::json call = WaitForCalls(1).at(0);
  EXPECT_EQ(call.at("event"), "call");
  EXPECT_EQ(call.at("level"), "debug");
  EXPECT_EQ(call.at("method"), "Encode");
  EXPECT_EQ(call.at("code"), "OK");
  EXPECT_EQ(call.at("reason"), "OK");
  EXPECT_EQ(call.at("trace_id"), kTrace);
  EXPECT_EQ(call.at("parent_id"), kSpan);
  EXPECT_THAT(call.at("span_id").get<std::string>(),
              MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(call.at("tenant"), TokenTenant("a").substr(0, 8));
  EXPECT_EQ(call.at("peer"), "plain");
  EXPECT_GT(call.at("milliseconds"), 0);
  EXPECT_GT(call.at("tokens"), 0);
  EXPECT_GT(call.at("compute_ms"), 0);
  EXPECT_GE(call.at("queue_ms"), 0);
  EXPECT_GT(call.at("deadline_left_ms"), 0);
  EXPECT_LE(call.at("deadline_left_ms"), 60000);

  grpc::ClientContext wrong;
  AddToken("s3cret2", &wrong);
  EXPECT_EQ(ReasonOf(Encode(&wrong)), "AUTH_INVALID");
  RawCall(channel_, "/longhand.v1.EncoderService/NoSuch", "");
  const std::vector<nlohmann::json> calls = WaitForCalls(3);
  EXPECT_EQ(calls[1].at("reason"), "AUTH_INVALID");
  EXPECT_FALSE(calls[1].contains("tenant"));
  EXPECT_FALSE(calls[1].contains("tokens"));
  EXPECT_NE(calls[1].at("trace_id"), kTrace);
  EXPECT_EQ(calls[2].at("method"), "unknown");
  EXPECT_EQ(calls[2].at("reason"), "METHOD_UNKNOWN");
  EXPECT_THAT(process_->Log(), Not(HasSubstr("s3cret")));
  EXPECT_THAT(process_->Log(), Not(HasSubstr("NoSuch")));
}

TEST_F(CallLogTest, SlowCallsAreWarnedOf) {
  Start({"--slow-request-seconds", "0.000001"});
  ASSERT_TRUE(GetModel().ok());
  const nlohmann::json call = WaitForCalls(1).at(0);
  EXPECT_EQ(call.at("event"), "slow call");
  EXPECT_EQ(call.at("level"), "warning");
  // More of them than a burst.
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(GetModel().ok());
  process_->Signal(SIGTERM);
  EXPECT_EQ(process_->WaitForExit(), 0);
  EXPECT_LT(Calls().size(), 150U);
}

TEST_F(CallLogTest, SignalsSwitchTheLines) {
  Start({"--log-level", "warning"});
  ASSERT_TRUE(GetModel("").ok());
  process_->Signal(SIGUSR1);
  WaitForLog("a line per call is logged");
  EXPECT_THAT(Calls(), SizeIs(0));
  ASSERT_TRUE(GetModel("").ok());
  EXPECT_EQ(GetModel("x\ny").error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(WaitForCalls(2)[1].at("code"), "NOT_FOUND");
  process_->Signal(SIGUSR2);
  WaitForLog("the log is as configured again");
  ASSERT_TRUE(GetModel("").ok());
  process_->Signal(SIGTERM);
  EXPECT_EQ(process_->WaitForExit(), 0);
  EXPECT_THAT(Calls(), SizeIs(2));
}

}  // namespace
}  // namespace longhand::testing
