#include "server/logging.h"

#include <string>

#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr char kTime[] = "2024-01-02T03:04:05.678Z";

TEST(LoggingTest, TextLinesAreOneLineEach) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, LogLevel::kInfo, kTime, "event",
                          {{"text", "a\nb\x1b"}, {"count", 3}, {"on", true}}),
            "2024-01-02T03:04:05.678Z info event text=\"a\\nb\\u001b\" "
            "count=3 on=true");
}

TEST(LoggingTest, JsonLinesParse) {
  const std::string line =
      FormatLogLine(LogFormat::kJson, LogLevel::kError, kTime, "bad thing",
                    {{"reason", "not UTF-8: \xff"}, {"seconds", 0.5}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json.at("time"), kTime);
  EXPECT_EQ(json.at("level"), "error");
  EXPECT_EQ(json.at("event"), "bad thing");
  EXPECT_EQ(json.at("seconds"), 0.5);
}

}  // namespace
}  // namespace longhand
