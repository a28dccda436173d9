#include "server/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "server/listen_address.h"
#include "server/logging.h"

namespace longhand {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// For files of sessions, connections to stores, scrapes and the like.
constexpr rlim_t kReservedDescriptors = 64;
// How long a connection waits where the system has nothing to give.
constexpr int kRetryMilliseconds = 100;

// All that `address` resolves to; empty if nothing.
std::vector<UniqueFd> BindAddress(const HostPort& address, int* port) {
  std::vector<UniqueFd> sockets;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  if (getaddrinfo(address.host.c_str(), nullptr, &hints, &list) != 0) return {};
  *port = address.port;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    UniqueFd fd(
        socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) continue;  // a machine without IPv6, say
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // Connections inherit it.
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_storage bound = {};
    std::memcpy(&bound, a->ai_addr, a->ai_addrlen);
    // The port is at the same place in both.
    reinterpret_cast<sockaddr_in*>(&bound)->sin_port =
        htons(static_cast<uint16_t>(*port));
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&bound), a->ai_addrlen) !=
            0 ||
        listen(fd.get(), SOMAXCONN) != 0) {
      sockets.clear();
      break;
    }
    socklen_t size = sizeof(bound);
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size);
    *port = ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
    sockets.push_back(std::move(fd));
  }
  freeaddrinfo(list);
  return sockets;
}

// Removes a socket that a server left behind; not one that is in use.
std::optional<UniqueFd> BindUnix(const std::string& path) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) return std::nullopt;
  std::memcpy(name.sun_path, path.data(), path.size());
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  constexpr int kType = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  struct stat left = {};
  if (lstat(path.c_str(), &left) == 0 && S_ISSOCK(left.st_mode)) {
    const UniqueFd probe(socket(AF_UNIX, kType, 0));
    if (connect(probe.get(), address, sizeof(name)) == 0 ||
        errno != ECONNREFUSED) {
      return std::nullopt;
    }
    unlink(path.c_str());
  }
  UniqueFd fd(socket(AF_UNIX, kType, 0));
  if (bind(fd.get(), address, sizeof(name)) != 0 ||
      listen(fd.get(), SOMAXCONN) != 0) {
    return std::nullopt;
  }
  return fd;
}

// The first descriptor that no connection gets: the lowest free number is the
// one given, so the number tells how many are in use.
rlim_t FirstReserved() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return RLIM_INFINITY;
  return limit.rlim_cur - std::min(kReservedDescriptors, limit.rlim_cur / 4);
}

MetricFamily Counter(const char* name, const char* help, int64_t value) {
  ClientMetric metric;
  metric.counter.value = static_cast<double>(value);
  return {name, help, MetricType::Counter, {metric}};
}

}  // namespace

absl::StatusOr<std::shared_ptr<Listener>> Listener::Open(
    const std::string& address) {
  std::vector<UniqueFd> sockets;
  std::string unix_path;
  int port = -1;
  if (address.starts_with(kUnixPrefix)) {
    unix_path = address.substr(kUnixPrefix.size());
    std::optional<UniqueFd> fd = BindUnix(unix_path);
    if (fd.has_value()) sockets.push_back(*std::move(fd));
  } else if (std::optional<HostPort> split = SplitHostPort(address)) {
    sockets = BindAddress(*split, &port);
  }
  UniqueFd stop_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (sockets.empty() || stop_event.get() < 0) {
    return ExplainBindFailure(address);
  }
  return std::shared_ptr<Listener>(
      new Listener(std::move(sockets), std::move(stop_event), port, unix_path));
}

Listener::Listener(std::vector<UniqueFd> sockets, UniqueFd stop_event, int port,
                   std::string unix_path)
    : sockets_(std::move(sockets)),
      stop_event_(std::move(stop_event)),
      port_(port),
      unix_path_(std::move(unix_path)) {}

Listener::~Listener() { Stop(); }

void Listener::Start(std::unique_ptr<Acceptor> acceptor) {
  LH_CHECK(!thread_.joinable());
  acceptor_ = std::move(acceptor);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    LH_CHECK(eventfd_write(stop_event_.get(), 1) == 0);
    thread_.join();
  }
  if (!sockets_.empty() && !unix_path_.empty()) unlink(unix_path_.c_str());
  sockets_.clear();
  acceptor_.reset();
}

void Listener::Run() {
  std::vector<pollfd> watched = {{stop_event_.get(), POLLIN, 0}};
  for (const UniqueFd& socket : sockets_) {
    watched.push_back({socket.get(), POLLIN, 0});
  }
  while (poll(watched.data(), watched.size(), -1) >= 0 || errno == EINTR) {
    if (watched[0].revents != 0) return;
    for (const UniqueFd& socket : sockets_) AcceptAll(socket.get());
  }
}

void Listener::AcceptAll(int socket) {
  // Now and then the stop event gets its turn.
  for (int i = 0; i < 64; ++i) {
    const int connection =
        accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection >= 0) {
      TakeConnection(connection);
    } else if (!HandleAcceptError(errno)) {
      return;
    }
  }
}

void Listener::TakeConnection(int connection) {
  if (static_cast<rlim_t>(connection) >= FirstReserved()) {
    close(connection);
    return Refused("too many connections are open");
  }
  accepted_.fetch_add(1, std::memory_order_relaxed);
  Acceptor::NewConnectionParameters parameters;
  parameters.fd = connection;  // which gRPC closes
  acceptor_->HandleNewConnection(&parameters);
}

bool Listener::HandleAcceptError(int error) {
  switch (error) {
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: {
      Refused("the system has no descriptor or memory to give");
      pollfd stop = {stop_event_.get(), POLLIN, 0};
      poll(&stop, 1, kRetryMilliseconds);
      return false;
    }
    default:  // of that connection, not of the socket: see accept(2)
      return true;
  }
}

void Listener::Refused(const char* why) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  Log(LogLevel::kWarning, "connection refused", {{"cause", why}});
}

std::vector<MetricFamily> Listener::Collect() const {
  return {Counter("longhand_connections_accepted_total",
                  "Connections that were handed to gRPC.", accepted_.load()),
          Counter("longhand_connections_refused_total",
                  "Connections that found no free file descriptor.",
                  refused_.load())};
}

}  // namespace longhand
