#include "core/base/sha256.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace longhand {
namespace {

std::string HashOf(std::string_view text) {
  Sha256 hash;
  hash.Update(text);
  return hash.HexDigest();
}

// Examples of FIPS 180-4.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(HashOf(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HashOf("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HashOf(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesHashLikeTheWhole) {
  const std::string text(1'000, 'x');
  for (size_t cut = 0; cut <= text.size(); cut += 37) {
    Sha256 hash;
    hash.Update(std::string_view(text).substr(0, cut));
    hash.Update(std::string_view(text).substr(cut));
    EXPECT_EQ(hash.HexDigest(), HashOf(text)) << cut;
  }
}

TEST(Sha256, SpansAndTextAgree) {
  const std::vector<uint8_t> bytes = {'a', 'b', 'c'};
  Sha256 hash;
  hash.Update(absl::MakeConstSpan(bytes));
  EXPECT_EQ(hash.HexDigest(), HashOf("abc"));
}

TEST(Sha256, GoesOnAfterADigest) {
  Sha256 hash;
  hash.Update("ab");
  EXPECT_EQ(hash.HexDigest(), HashOf("ab"));
  EXPECT_EQ(hash.HexDigest(), HashOf("ab"));
  hash.Update("c");
  EXPECT_EQ(hash.HexDigest(), HashOf("abc"));
}

TEST(Sha256, FieldsDoNotRunTogether) {
  Sha256 left, right;
  left.UpdateField("ab");
  left.UpdateField("c");
  right.UpdateField("a");
  right.UpdateField("bc");
  EXPECT_NE(left.HexDigest(), right.HexDigest());
}

TEST(Sha256, FieldIsLengthThenBytes) {
  Sha256 hash;
  hash.UpdateField("abc");
  using std::string_literals::operator""s;
  EXPECT_EQ(hash.HexDigest(), HashOf("\3\0\0\0\0\0\0\0abc"s));
}

}  // namespace
}  // namespace longhand
