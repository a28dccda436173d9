#include "core/base/json.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using ::testing::HasSubstr;

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

std::string Reason(const absl::Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

nlohmann::json Parsed(std::string_view text) {
  absl::StatusOr<nlohmann::json> json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << json.status();
  return json.ok() ? *json : nlohmann::json();
}

TEST(ParseJson, AgreesWithTheLibraryOnValidText) {
  for (const std::string_view text :
       {R"({})", R"([])", R"(null)", R"("x")", R"( -12.5e3 )",
        R"({"a": [1, -2, 3.5, true, false, null, "\u00e9\ud83d\ude00"],
            "b": {"c": {"a": [[], {}, [{}]]}}, "": 18446744073709551615})",
        "{\"\xC3\xA9\": \"\xF0\x9F\x98\x80\"}  \n\t "}) {
    EXPECT_EQ(Parsed(text), nlohmann::json::parse(text)) << text;
  }
}

TEST(ParseJson, SameKeyInDifferentObjectsIsFine) {
  EXPECT_EQ(Parsed(R"([{"a":1},{"a":2},{"b":{"a":3},"a":4}])")[2]["a"], 4);
}

struct BadText {
  std::string text;
  std::string fragment;
};

TEST(ParseJson, RefusesBadText) {
  const std::vector<BadText> cases = {
      {"", "line 1"},
      {"{", "line 1"},
      {"{\"a\":1}x", "line 1, byte 8"},
      {"{\n\"a\": 1,\n\"b\": ?}", "line 3, byte 16"},
      {"{'a':1}", "byte 2"},
      {"{\"a\":1,}", "byte 8"},
      {"[1 2]", "byte 4"},
      {"// comment\n{}", "line 1"},
      {"NaN", "line 1"},
      {"[Infinity]", "line 1"},
      {"[01]", "line 1"},
      {"[1e999]", "byte 6: number overflow"},
      {"\"\x01\"", "line 1"},
      {"\"\xFF\"", "UTF-8"},
      {"\"\xC0\xAF\"", "UTF-8"},          // overlong
      {"\"\xED\xA0\x80\"", "UTF-8"},      // surrogate
      {"\"\xF4\x90\x80\x80\"", "UTF-8"},  // beyond U+10FFFF
      {"\"\\ud800\"", "surrogate"},
      {std::string("{}\0", 3), "zero byte"},
      {std::string("{}\0{}", 5), "byte 3"},
      {std::string("\"\0\"", 3), "zero byte"},
      {"\xEF\xBB\xBF{}", "byte order mark"},
      {R"({"a":1,"a":1})", "\"a\" is given twice"},
      {R"({"x":[{"b":{},"c":0,"b":[]}]})", "\"b\" is given twice"},
      {R"({"a":1,"\u0061":2})", "\"a\" is given twice"},
  };
  for (const BadText& bad : cases) {
    const absl::Status status = ParseJson(bad.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.text;
    EXPECT_EQ(Reason(status), "JSON_INVALID") << bad.text;
    EXPECT_THAT(Message(status), HasSubstr(bad.fragment)) << bad.text;
  }
}

TEST(ParseJson, MessagesStayShortAndPrintable) {
  const std::string text = "\"" + std::string(1'000'000, 'x') + "\xFF\"";
  const absl::Status status = ParseJson(text).status();
  EXPECT_FALSE(status.ok());
  EXPECT_LT(status.message().size(), 1'000u);
  for (char c : status.message()) {
    EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
  }
}

std::string Nested(int depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(ParseJson, DepthLimit) {
  EXPECT_TRUE(ParseJson(Nested(64)).ok());
  EXPECT_THAT(Message(ParseJson(Nested(65)).status()),
              HasSubstr("nested deeper than 64 levels"));
  EXPECT_TRUE(ParseJson(R"({"a":[]})", {.max_depth = 2}).ok());
  EXPECT_FALSE(ParseJson(R"({"a":[{}]})", {.max_depth = 2}).ok());
  EXPECT_TRUE(ParseJson("1", {.max_depth = 0}).ok());
  // Far beyond any stack.
  EXPECT_FALSE(ParseJson(std::string(5'000'000, '[')).ok());
}

TEST(ParseJson, ByteLimit) {
  EXPECT_TRUE(ParseJson("[1]", {.max_bytes = 3}).ok());
  const absl::Status status = ParseJson("[1]", {.max_bytes = 2}).status();
  EXPECT_EQ(Reason(status), "JSON_INVALID");
  EXPECT_THAT(Message(status), HasSubstr("3 bytes; at most 2"));
}

TEST(ParseJson, ValueLimit) {
  EXPECT_TRUE(ParseJson("[1,2,3]", {.max_values = 4}).ok());
  EXPECT_THAT(Message(ParseJson("[1,2,3]", {.max_values = 3}).status()),
              HasSubstr("more than 3 values"));
}

TEST(GetInt, RangeTypeAndDefault) {
  const nlohmann::json json = Parsed(
      R"({"n":12,"min":-9223372036854775808,"big":18446744073709551615,
          "f":3.0,"s":"12","b":true,"z":null,"a":[1]})");
  EXPECT_EQ(*GetInt(json, "n", 1, 12), 12);
  EXPECT_EQ(*GetInt(json, "n", 1, 12, 5), 12);
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(*GetInt(json, "min", kMin, kMax), kMin);
  EXPECT_EQ(*GetInt(json, "missing", 1, 2, 7), 7);
  EXPECT_EQ(*GetInt(json, "z", 1, 2, 7), 7);
  for (const char* key : {"big", "f", "s", "b", "a"}) {
    // A default does not excuse a wrong value.
    EXPECT_EQ(Reason(GetInt(json, key, kMin, kMax, 7).status()),
              "CONFIG_INVALID")
        << key;
  }
  EXPECT_EQ(Message(GetInt(json, "n", 1, 11).status()),
            "\"n\" must be an integer from 1 to 11; found 12");
  EXPECT_EQ(Message(GetInt(json, "n", 13, 20).status()),
            "\"n\" must be an integer from 13 to 20; found 12");
  EXPECT_EQ(Message(GetInt(json, "missing", 1, 2).status()),
            "\"missing\" must be an integer from 1 to 2; found no such key");
  EXPECT_EQ(Message(GetInt(json, "z", 1, 2).status()),
            "\"z\" must be an integer from 1 to 2; found null");
  EXPECT_EQ(Message(GetInt(json, "s", 1, 2).status()),
            "\"s\" must be an integer from 1 to 2; found \"12\"");
  EXPECT_EQ(Message(GetInt(json, "a", 1, 2).status()),
            "\"a\" must be an integer from 1 to 2; found an array");
}

TEST(GetDouble, RangeTypeAndDefault) {
  nlohmann::json json = Parsed(R"({"e":1e-12,"n":1,"s":"1"})");
  json["nan"] = std::nan("");
  json["inf"] = std::numeric_limits<double>::infinity();
  EXPECT_EQ(*GetDouble(json, "e", 0, 1), 1e-12);
  EXPECT_EQ(*GetDouble(json, "n", 0, 1), 1.0);
  EXPECT_EQ(*GetDouble(json, "missing", 0, 1, 0.5), 0.5);
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const char* key : {"s", "nan", "inf", "missing"}) {
    EXPECT_EQ(Reason(GetDouble(json, key, -kInf, kInf).status()),
              "CONFIG_INVALID")
        << key;
  }
  EXPECT_EQ(Message(GetDouble(json, "n", 2, 3).status()),
            "\"n\" must be a number from 2 to 3; found 1");
}

TEST(GetBool, TypeAndDefault) {
  const nlohmann::json json = Parsed(R"({"t":true,"f":false,"n":1})");
  EXPECT_TRUE(*GetBool(json, "t"));
  EXPECT_FALSE(*GetBool(json, "f", true));
  EXPECT_TRUE(*GetBool(json, "missing", true));
  EXPECT_EQ(Message(GetBool(json, "n").status()),
            "\"n\" must be true or false; found 1");
  EXPECT_FALSE(GetBool(json, "missing").ok());
}

TEST(GetString, TypeAndDefault) {
  const nlohmann::json json = Parsed(R"({"s":"gelu","e":"","n":1})");
  EXPECT_EQ(*GetString(json, "s"), "gelu");
  EXPECT_EQ(*GetString(json, "e", "x"), "");
  EXPECT_EQ(*GetString(json, "missing", "x"), "x");
  EXPECT_EQ(Message(GetString(json, "n").status()),
            "\"n\" must be a string; found 1");
  EXPECT_FALSE(GetString(json, "missing").ok());
}

TEST(Getters, NotAnObject) {
  EXPECT_EQ(Message(GetInt(Parsed("[1]"), "n", 0, 1, 1).status()),
            "\"n\" must be an integer from 0 to 1 in an object; found an "
            "array");
  EXPECT_FALSE(GetString(Parsed("3"), "n", "x").ok());
}

}  // namespace
}  // namespace longhand
