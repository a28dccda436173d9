#include "server/logging.h"

#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "server/log_limiter.h"

namespace longhand {
namespace {

constexpr char kTime[] = "2024-01-02T03:04:05.678Z";

TEST(LoggingTest, TextLinesAreOneLineEach) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, LogLevel::kInfo, kTime, "event",
                          {{"text", "a\nb\x1b"}, {"count", 3}, {"on", true}}),
            "2024-01-02T03:04:05.678Z info event text=\"a\\nb\\u001b\" "
            "count=3 on=true");
}

// What a terminal or a reader of lines could take for more than a value.
TEST(LoggingTest, LinesArePrintableAscii) {
  const std::string nasty =
      "a\n\r\t\x1b[31m\x7f\xc2\x9b\xe2\x80\xa8\xe2\x80\xae\xff\xc3\xa9" +
      std::string(1, '\0');
  for (LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line =
        FormatLogLine(format, LogLevel::kInfo, kTime, "event",
                      {{"text", nasty}, {"count", 3}});
    for (const char c : line) {
      EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
    }
  }
}

TEST(LoggingTest, LongStringsAreCut) {
  for (LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    for (const char* unit : {"x", "\n", "\xc3\xa9"}) {
      std::string text;
      while (text.size() < 10240) text += unit;
      const std::string line =
          FormatLogLine(format, LogLevel::kInfo, kTime, "event",
                        {{"text", text}, {"after", "it"}});
      EXPECT_LT(line.size(), 6 * 1024 + 200U);
      EXPECT_NE(line.find("... (10240 bytes)\""), std::string::npos);
      EXPECT_NE(line.find("it"), std::string::npos);
    }
  }
  const std::string line =
      FormatLogLine(LogFormat::kText, LogLevel::kInfo, kTime, "event",
                    {{"text", std::string(1024, 'x')}});
  EXPECT_NE(line.find("\"" + std::string(1024, 'x') + "\""), std::string::npos);
}

TEST(LogLimiterTest, AFloodIsCountedInstead) {
  LogLimiter limiter;
  const absl::Time start = absl::FromUnixSeconds(1000);
  const int burst = static_cast<int>(LogLimiter::kBurst);
  for (int i = 0; i < burst; ++i) {
    EXPECT_EQ(limiter.Admit("flood", start), std::optional<uint64_t>(0));
  }
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(limiter.Admit("flood", start + absl::Milliseconds(i)),
              std::nullopt);
  }
  // Another event has its own.
  EXPECT_EQ(limiter.Admit("other", start), std::optional<uint64_t>(0));
  EXPECT_EQ(limiter.Admit("flood", start + absl::Seconds(1.5)),
            std::optional<uint64_t>(500));
  EXPECT_EQ(limiter.Admit("flood", start + absl::Seconds(1.5)), std::nullopt);
  EXPECT_EQ(limiter.Admit("flood", start + absl::Seconds(3)),
            std::optional<uint64_t>(1));
}

TEST(LogLimiterTest, ItRefillsToABurstAndNoFurther) {
  LogLimiter limiter;
  const absl::Time start = absl::FromUnixSeconds(1000);
  const auto admitted = [&](absl::Time now) {
    int count = 0;
    while (limiter.Admit("event", now).has_value()) ++count;
    return count;
  };
  const int burst = static_cast<int>(LogLimiter::kBurst);
  EXPECT_EQ(admitted(start), burst);
  EXPECT_EQ(admitted(start + absl::Seconds(5)), 5);
  EXPECT_EQ(admitted(start + absl::Hours(1)), burst);
  // A clock that is set back neither fills nor blocks.
  EXPECT_EQ(admitted(start), 0);
  EXPECT_EQ(admitted(start + absl::Seconds(3)), 3);
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
