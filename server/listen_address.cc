#include "server/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

// The errno of binding `address`, 0 if it works, or nullopt if the name does
// not resolve.
std::optional<int> ProbeBind(const HostPort& address) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  std::string port = absl::StrCat(address.port);
  if (getaddrinfo(address.host.c_str(), port.c_str(), &hints, &list) != 0) {
    return std::nullopt;
  }
  int error = 0;
  for (const addrinfo* a = list; a != nullptr && error == 0; a = a->ai_next) {
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 1) != 0) {
      error = errno;
    }
    close(fd);
  }
  freeaddrinfo(list);
  return error;
}

std::string Advice(std::optional<int> error) {
  if (!error.has_value()) {
    return "the host name does not resolve; give an address of this machine";
  }
  switch (*error) {
    case EADDRINUSE:
      return "the port is in use; stop the program that holds it (`ss -ltnp` "
             "lists them) or choose another port (0 picks a free one)";
    case EACCES:
      return "this user may not use the port; choose one above 1023";
    case EADDRNOTAVAIL:
      return "this machine has no such address; use 127.0.0.1 or one that "
             "`ip address` lists";
    case 0:
      return "the port was in use a moment ago; try again";
    default:
      return std::strerror(*error);
  }
}

}  // namespace

std::optional<HostPort> SplitHostPort(std::string_view address) {
  HostPort result;
  size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = address.substr(0, colon);
  std::string_view port = address.substr(colon + 1);
  if (host.starts_with("[")) {
    if (!host.ends_with("]")) return std::nullopt;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // IPv6 without brackets
  }
  if (host.empty() || !absl::SimpleAtoi(ToAbsl(port), &result.port))
    return std::nullopt;
  if (result.port < 0 || result.port > 65535) return std::nullopt;
  result.host = std::string(host);
  return result;
}

absl::Status CheckListenAddress(std::string_view address) {
  if (address.starts_with(kUnixPrefix) && address.size() > kUnixPrefix.size()) {
    return absl::OkStatus();
  }
  if (SplitHostPort(address).has_value()) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
      absl::StrCat("not an address to listen on: \"", ToAbsl(address),
                   "\"; write HOST:PORT, [IPV6]:PORT or "
                   "unix:PATH"));
}

bool IsLocalAddress(std::string_view address) {
  if (address.starts_with(kUnixPrefix)) return true;
  std::optional<HostPort> split = SplitHostPort(address);
  if (!split.has_value()) return false;
  in_addr v4;
  if (inet_pton(AF_INET, split->host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  return split->host == "localhost" || split->host == "::1";
}

absl::Status ExplainBindFailure(const std::string& address) {
  std::string why;
  if (address.starts_with(kUnixPrefix)) {
    why =
        "the socket's directory must exist and be writable, and no other "
        "server may listen on it";
  } else if (std::optional<HostPort> split = SplitHostPort(address)) {
    why = Advice(ProbeBind(*split));
  }
  return MakeError(absl::StatusCode::kUnavailable, "LISTEN_FAILED",
                   absl::StrCat("cannot listen on ", address, ": ", why),
                   {{"address", address}});
}

}  // namespace longhand
