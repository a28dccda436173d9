#include "core/store/session_key.h"

#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

TEST(SessionKey, FormatsAsBase64Url) {
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    SessionId id;
    for (uint8_t& byte : id) byte = uint8_t(random());
    const std::string text = FormatSessionId(id);
    EXPECT_EQ(text,
              absl::WebSafeBase64Escape(std::string(id.begin(), id.end())));
    EXPECT_EQ(ParseSessionId(text), id);
  }
}

TEST(SessionKey, OneIdHasOneText) {
  SessionId id{};
  std::string text = FormatSessionId(id);
  int accepted = 0;
  for (int last = 0; last < 256; ++last) {
    text.back() = char(last);
    const auto parsed = ParseSessionId(text);
    if (!parsed) continue;
    ++accepted;
    EXPECT_EQ(FormatSessionId(*parsed), text);
  }
  EXPECT_EQ(accepted, 4);  // two bits of the last character are the id's
}

TEST(SessionKey, RefusesWhatFormatDoesNotGive) {
  const std::string good(22, 'A');
  ASSERT_TRUE(ParseSessionId(good));
  for (const std::string& bad :
       {std::string(), std::string(21, 'A'), std::string(23, 'A'),
        good + "==", std::string(21, 'A') + "=", "+" + std::string(21, 'A'),
        "/" + std::string(21, 'A'), " " + std::string(21, 'A'),
        std::string(21, 'A') + '\0', std::string(21, 'A') + "\xc3"}) {
    EXPECT_FALSE(ParseSessionId(bad)) << bad;
  }
}

TEST(SessionKey, DurabilitiesAreOrdered) {
  EXPECT_LT(Durability::kMemory, Durability::kLocal);
  EXPECT_LT(Durability::kLocal, Durability::kShared);
  EXPECT_EQ(DurabilityName(Durability::kLocal), "local");
}

}  // namespace
}  // namespace longhand
