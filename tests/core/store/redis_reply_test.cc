// The parser of replies takes what the protocol allows, however it is cut, and
// nothing else; it asks for no memory that was not sent.

#include "core/store/redis_reply.h"

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/core/store/store_testing.h"

namespace longhand {
namespace {

using Type = RedisReply::Type;

// Hands out `bytes` in pieces, then fails.
RespReader ReaderOf(std::string bytes, size_t piece = SIZE_MAX) {
  return RespReader(
      [bytes = std::move(bytes), piece,
       place = size_t{0}]() mutable -> absl::StatusOr<std::string_view> {
        const std::string_view part =
            std::string_view(bytes).substr(place, piece);
        place += part.size();
        if (part.empty()) return absl::OutOfRangeError("end");
        return part;
      });
}

const char kNested[] =
    "*5\r\n+OK\r\n$6\r\na\r\nb\0c\r\n:-42\r\n$-1\r\n*2\r\n-ERR no\r\n*0\r\n";
const std::string kReply(kNested, sizeof(kNested) - 1);

TEST(RespReader, ReadsWhateverTheCuts) {
  for (size_t piece = 1; piece <= kReply.size(); ++piece) {
    RespReader reader = ReaderOf(kReply + ":1\r\n", piece);
    const auto reply = reader.Read();
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->type, Type::kArray);
    ASSERT_EQ(reply->elements.size(), 5u);
    EXPECT_TRUE(reply->elements[0].Is("OK"));
    EXPECT_EQ(reply->elements[1].text, std::string("a\r\nb\0c", 6));
    EXPECT_EQ(reply->elements[2].integer, -42);
    EXPECT_TRUE(reply->elements[3].is_null());
    ASSERT_EQ(reply->elements[4].elements.size(), 2u);
    EXPECT_TRUE(reply->elements[4].elements[0].is_error());
    EXPECT_EQ(reply->elements[4].elements[0].text, "ERR no");
    EXPECT_EQ(reply->elements[4].elements[1].type, Type::kArray);
    EXPECT_EQ(reader.Read()->integer, 1);
    EXPECT_FALSE(reader.has_rest());
  }
}

TEST(RespReader, CutRepliesHaveNoResult) {
  for (size_t size = 0; size < kReply.size(); ++size) {
    EXPECT_EQ(ReaderOf(kReply.substr(0, size)).Read().status().code(),
              absl::StatusCode::kOutOfRange)
        << size;
  }
}

TEST(RespReader, RefusesWhatIsNoReply) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "*1\r\n";
  for (const std::string& bytes :
       {std::string("HTTP/1.1 400 Bad Request\r\n"), std::string("\r\n"),
        std::string("$\r\n"), std::string("$-2\r\n"),
        std::string("$+1\r\na\r\n"), std::string("$ 1\r\na\r\n"),
        std::string("$1\r\nab\r\n"), std::string("$99999999999999999999\r\n"),
        std::string("*-5\r\n"), std::string("*1048577\r\n"),
        std::string("$268435457\r\n"), std::string(":1x\r\n"),
        std::string(":-\r\n"), deep, std::string(100000, '+')}) {
    EXPECT_EQ(testing::ReasonOf(ReaderOf(bytes, 4096).Read()),
              "STORE_UNAVAILABLE")
        << bytes.substr(0, 40);
  }
}

// A length says nothing about what will come.
TEST(RespReader, PromisesTakeNoMemory) {
  std::string bytes;
  for (int i = 0; i < 3; ++i) bytes += "*1048576\r\n";
  bytes += "$268435456\r\nabc";
  EXPECT_EQ(ReaderOf(bytes).Read().status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(RespReader, ALineHasTheSameLimitWhateverTheCuts) {
  constexpr size_t kLimit = 16 << 10;
  for (const size_t length : {kLimit, kLimit + 1}) {
    const std::string line = std::string(length - 1, 'x');
    for (const size_t piece : {size_t{1}, size_t{1000}, kLimit + 1, SIZE_MAX}) {
      const auto reply = ReaderOf("+" + line + "\r\n", piece).Read();
      EXPECT_EQ(reply.ok(), length == kLimit) << piece;
    }
  }
}

TEST(RespReader, SurvivesNoise) {
  std::mt19937 random(1);
  const std::string alphabet = "*$:+-0123456789\r\nab";
  int good = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = kReply;
    for (int changes = random() % 4; changes >= 0; --changes) {
      bytes[random() % bytes.size()] = alphabet[random() % alphabet.size()];
    }
    good += ReaderOf(bytes, 1 + random() % 8).Read().ok();
  }
  EXPECT_GT(good, 0);
  EXPECT_LT(good, 20000);
}

TEST(RedisCommand, Format) {
  EXPECT_EQ(FormatRedisCommand({"SET", "k\r\n", std::string_view("\0", 1)}),
            absl::StrCat("*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$1\r\n",
                         std::string(1, '\0'), "\r\n"));
}

}  // namespace
}  // namespace longhand
