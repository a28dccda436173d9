// Names of sessions and of what they hold: plain values.
#ifndef LONGHAND_CORE_STORE_SESSION_KEY_H_
#define LONGHAND_CORE_STORE_SESSION_KEY_H_

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace longhand {

// 128 random bits, made by the server.
using SessionId = std::array<uint8_t, 16>;

// A session belongs to one tenant: the same id of another tenant is another
// session.
struct SessionKey {
  std::string tenant;
  SessionId id{};

  auto operator<=>(const SessionKey&) const = default;
};

// 22 characters of base64url without padding, and back; nothing for anything
// that FormatSessionId does not give.
std::string FormatSessionId(const SessionId& id);
std::optional<SessionId> ParseSessionId(std::string_view text);

// Folds every change of a session's content into one value; two sessions of
// equal digests took the same changes.
using SessionDigest = std::array<uint8_t, 32>;

// SHA-256 over everything that an encoded chunk depends on.
using ChunkKey = std::array<uint8_t, 32>;

// Where acknowledged content is. Ordered.
enum class Durability {
  kMemory,  // lost with the process
  kLocal,   // in a synced log of this machine; survives kill -9
  kShared,  // acknowledged by the shared store; a failover of it may lose it
};

std::string_view DurabilityName(Durability durability);

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_SESSION_KEY_H_
