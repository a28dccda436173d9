#include "server/trace_context.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using ::testing::MatchesRegex;

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kSpan[] = "b7ad6b7169203331";

std::string Header(const std::string& version, const std::string& trace,
                   const std::string& span, const std::string& flags) {
  return version + "-" + trace + "-" + span + "-" + flags;
}

TEST(TraceContextTest, WellFormedParents) {
  struct Case {
    std::string header;
    bool sampled;
  };
  const std::vector<Case> cases = {
      {Header("00", kTrace, kSpan, "01"), true},
      {Header("00", kTrace, kSpan, "00"), false},
      {Header("00", kTrace, kSpan, "ff"), true},
      {Header("00", kTrace, kSpan, "0e"), false},
      // Later versions, with and without more.
      {Header("01", kTrace, kSpan, "01"), true},
      {Header("01", kTrace, kSpan, "01") + "-more", true},
      {Header("01", kTrace, kSpan, "01") + "-", true},
      {Header("cc", kTrace, kSpan, "00") + "-what the-future-brings", false},
      {Header("fe", kTrace, kSpan, "01"), true},
  };
  for (const Case& c : cases) {
    const auto parent = ParseTraceparent(c.header);
    ASSERT_TRUE(parent.has_value()) << c.header;
    EXPECT_EQ(parent->trace_id, kTrace) << c.header;
    EXPECT_EQ(parent->span_id, kSpan) << c.header;
    EXPECT_EQ(parent->sampled, c.sampled) << c.header;
  }
}

TEST(TraceContextTest, AnythingElseIsNone) {
  const std::string good = Header("00", kTrace, kSpan, "01");
  std::vector<std::string> headers = {
      "",
      "00",
      good.substr(1),
      " " + good,
      good + " ",
      good + "-",
      good + "-more",
      good + "x",
      Header("01", kTrace, kSpan, "01") + "x",
      Header("01", kTrace, kSpan, "01") + ".more",
      Header("ff", kTrace, kSpan, "01"),
      Header("0F", kTrace, kSpan, "01"),
      Header("0x", kTrace, kSpan, "01"),
      Header("00", std::string(32, '0'), kSpan, "01"),
      Header("00", kTrace, std::string(16, '0'), "01"),
      Header("00", "0AF7651916CD43DD8448EB211C80319C", kSpan, "01"),
      Header("00", kTrace, "B7AD6B7169203331", "01"),
      Header("00", kTrace, kSpan, "0A"),
      Header("00", kTrace, kSpan, "0"),
      Header("00", kTrace, kSpan, "x1"),
      Header("00", std::string(kTrace).substr(1), kSpan, "01x"),
      Header("00", "0af7651916cd43dd8448eb211c80319\n", kSpan, "01"),
      Header("00", "0af7651916cd43dd8448eb211c80319\xc3", kSpan, "01"),
      std::string(good.size(), '-'),
      std::string(good.size(), '\0'),
      std::string(10000, '0'),
  };
  // Any dash elsewhere, and every shorter text.
  for (size_t dash : {2, 35, 52}) {
    headers.push_back(good);
    headers.back()[dash] = '0';
  }
  for (size_t size = 0; size < good.size(); ++size) {
    headers.push_back(good.substr(0, size));
  }
  for (const std::string& header : headers) {
    EXPECT_FALSE(ParseTraceparent(header).has_value()) << header;
  }
}

class StartTraceTest : public ::testing::Test {
 protected:
  TraceContext Start(const std::vector<std::string>& headers) {
    std::multimap<grpc::string_ref, grpc::string_ref> metadata;
    for (const std::string& header : headers) {
      metadata.emplace("traceparent",
                       grpc::string_ref(header.data(), header.size()));
    }
    return StartTrace(metadata);
  }
};

TEST_F(StartTraceTest, ACallGoesOnWithTheCallersTrace) {
  const TraceContext trace = Start({Header("00", kTrace, kSpan, "01")});
  EXPECT_EQ(trace.trace_id, kTrace);
  EXPECT_EQ(trace.parent_id, kSpan);
  EXPECT_THAT(trace.span_id, MatchesRegex("[0-9a-f]{16}"));
  EXPECT_NE(trace.span_id, kSpan);
}

TEST_F(StartTraceTest, ElseItBeginsOne) {
  const std::string good = Header("00", kTrace, kSpan, "01");
  std::set<std::string> traces;
  for (const std::vector<std::string>& headers :
       std::vector<std::vector<std::string>>{
           {}, {"nonsense"}, {good, good}, {good, "nonsense"}}) {
    const TraceContext trace = Start(headers);
    EXPECT_THAT(trace.trace_id, MatchesRegex("[0-9a-f]{32}"));
    EXPECT_THAT(trace.span_id, MatchesRegex("[0-9a-f]{16}"));
    EXPECT_NE(trace.trace_id, kTrace);
    EXPECT_EQ(trace.parent_id, "");
    traces.insert(trace.trace_id);
  }
  EXPECT_EQ(traces.size(), 4U);
}

}  // namespace
}  // namespace longhand
