// Addresses to listen on, in gRPC's notation: "127.0.0.1:50051", "[::1]:0",
// "localhost:50051", "unix:/run/longhand.sock". Pure functions but for the
// probe; safe from any thread.
#ifndef LONGHAND_SERVER_LISTEN_ADDRESS_H_
#define LONGHAND_SERVER_LISTEN_ADDRESS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace longhand {

// What every address of a Unix socket begins with.
inline constexpr std::string_view kUnixPrefix = "unix:";

struct HostPort {
  std::string host;
  int port = 0;
};

// Nullopt unless `address` is HOST:PORT or [IPV6]:PORT.
std::optional<HostPort> SplitHostPort(std::string_view address);

// INVALID_ARGUMENT (reason CONFIG_INVALID) unless `address` is HOST:PORT,
// [IPV6]:PORT or unix:PATH.
absl::Status CheckListenAddress(std::string_view address);

// Whether only programs on this machine can connect. REQUIRES: `address` passed
// CheckListenAddress.
bool IsLocalAddress(std::string_view address);

// Why nothing could be bound to `address`, with advice. Tries to bind it once
// more, for a moment, to learn the reason.
absl::Status ExplainBindFailure(const std::string& address);

}  // namespace longhand

#endif  // LONGHAND_SERVER_LISTEN_ADDRESS_H_
