#include "core/store/session_key.h"

namespace longhand {
namespace {

constexpr char kAlphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
// 128 bits, six a character.
constexpr size_t kTextSize = 22;

// -1 if it is none of the alphabet.
int ValueOf(char character) {
  if (character >= 'A' && character <= 'Z') return character - 'A';
  if (character >= 'a' && character <= 'z') return character - 'a' + 26;
  if (character >= '0' && character <= '9') return character - '0' + 52;
  if (character == '-') return 62;
  if (character == '_') return 63;
  return -1;
}

}  // namespace

std::string FormatSessionId(const SessionId& id) {
  std::string text;
  text.reserve(kTextSize);
  uint32_t bits = 0;
  int num_bits = 0;
  for (const uint8_t byte : id) {
    bits = bits << 8 | byte;
    for (num_bits += 8; num_bits >= 6; num_bits -= 6) {
      text += kAlphabet[bits >> (num_bits - 6) & 63];
    }
  }
  text += kAlphabet[bits << (6 - num_bits) & 63];
  return text;
}

std::optional<SessionId> ParseSessionId(std::string_view text) {
  if (text.size() != kTextSize) return std::nullopt;
  SessionId id;
  uint32_t bits = 0;
  int num_bits = 0;
  size_t size = 0;
  for (const char character : text) {
    const int value = ValueOf(character);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | uint32_t(value);
    num_bits += 6;
    if (num_bits >= 8) {
      num_bits -= 8;
      id[size++] = uint8_t(bits >> num_bits);
    }
  }
  // The last character holds two bits more than the id; one id has one text.
  if ((bits & ((1u << num_bits) - 1)) != 0) return std::nullopt;
  return id;
}

std::string_view DurabilityName(Durability durability) {
  switch (durability) {
    case Durability::kMemory:
      return "memory";
    case Durability::kLocal:
      return "local";
    case Durability::kShared:
      return "shared";
  }
  return "";
}

}  // namespace longhand
