#include "core/store/redis_transport.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

constexpr size_t kReadBytes = 64 << 10;

absl::Status CannotConnect() {
  return StoreUnavailableError(
      "can't connect to the shared store; see that it runs and that this "
      "machine reaches it");
}
absl::Status ConnectionLost() {
  return StoreUnavailableError(
      "the connection to the shared store broke; see that it runs");
}
absl::Status TlsFailed() {
  return StoreUnavailableError(
      "the shared store's TLS can't be trusted: see that its certificate is "
      "valid for the configured address, comes from the configured CA, and "
      "that it accepts our certificate");
}

absl::StatusOr<UniqueFd> StartConnecting(int family, const sockaddr* address,
                                         socklen_t size) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return CannotConnect();
  if (connect(fd.get(), address, size) != 0 && errno != EINPROGRESS) {
    return CannotConnect();
  }
  return fd;
}

// Waits for the end of a connect.
absl::Status FinishConnecting(int fd, absl::Duration timeout) {
  pollfd wanted{fd, POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof(error);
  if (poll(&wanted, 1, int(absl::ToInt64Milliseconds(timeout))) != 1 ||
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    return CannotConnect();
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path,
                                     absl::Duration timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  LH_CHECK(path.size() < sizeof(address.sun_path));
  std::copy(path.begin(), path.end(), address.sun_path);
  LH_ASSIGN_OR_RETURN(
      UniqueFd fd,
      StartConnecting(AF_UNIX, reinterpret_cast<const sockaddr*>(&address),
                      sizeof(address)));
  LH_RETURN_IF_ERROR(FinishConnecting(fd.get(), timeout));
  return fd;
}

absl::StatusOr<UniqueFd> ConnectTcp(const RedisAddress& address,
                                    absl::Duration timeout) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) !=
      0) {
    return StoreUnavailableError(
        "the shared store's host name is not known; see the configured "
        "address and the name service");
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    auto fd = StartConnecting(one->ai_family, one->ai_addr, one->ai_addrlen);
    if (!fd.ok() || !FinishConnecting(fd->get(), timeout).ok()) continue;
    const int on = 1;
    // It only costs time if these do not work.
    setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd->get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    return fd;
  }
  return CannotConnect();
}

bool IsIpAddress(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

}  // namespace

absl::StatusOr<RedisAddress> ParseRedisAddress(std::string_view address) {
  if (!address.empty() && address[0] == '/') {
    if (address.size() < sizeof(sockaddr_un::sun_path)) {
      return RedisAddress{std::string(address), ""};
    }
    return StoreOpenError(absl::StrCat(
        "the path of the shared store's socket is too long: at most ",
        sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  }
  const size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, std::min(colon, address.size()));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    host = "";  // an IPv6 address needs its brackets
  }
  uint32_t port = 0;
  if (colon == std::string_view::npos || host.empty() ||
      !absl::SimpleAtoi(ToAbsl(address.substr(colon + 1)), &port) ||
      port == 0 || port > 65535) {
    return StoreOpenError(absl::StrCat(
        "\"", ToAbsl(address), "\" is not an address of a shared store: use ",
        "HOST:PORT, [IPV6]:PORT or the absolute path of a Unix socket"));
  }
  return RedisAddress{std::string(host), absl::StrCat(port)};
}

void TlsContext::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(
    const std::string& ca_file, const std::string& cert_file,
    const std::string& key_file) {
  auto tls = std::make_shared<TlsContext>();
  tls->context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = tls->context_.get();
  LH_CHECK(context != nullptr);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const bool loaded =
      SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr) == 1 &&
      (cert_file.empty() ||
       (SSL_CTX_use_certificate_chain_file(context, cert_file.c_str()) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key_file.c_str(),
                                    SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(context) == 1));
  ERR_clear_error();
  if (!loaded) {
    return StoreOpenError(absl::StrCat(
        "can't use the TLS files of the shared store (CA \"", ca_file,
        "\", certificate \"", cert_file, "\", key \"", key_file,
        "\"): they must be readable PEM files, and the "
        "key that of the certificate"));
  }
  return tls;
}

void RedisTransport::FreeSsl::operator()(ssl_st* ssl) const { SSL_free(ssl); }

RedisTransport::RedisTransport(UniqueFd fd, absl::Duration timeout)
    : fd_(std::move(fd)), timeout_(timeout) {}

RedisTransport::~RedisTransport() = default;

absl::StatusOr<std::unique_ptr<RedisTransport>> RedisTransport::Connect(
    const RedisAddress& address, std::shared_ptr<const TlsContext> tls,
    absl::Duration timeout) {
  auto fd = address.is_unix() ? ConnectUnix(address.host, timeout)
                              : ConnectTcp(address, timeout);
  if (!fd.ok()) return fd.status();
  auto transport = std::unique_ptr<RedisTransport>(
      new RedisTransport(*std::move(fd), timeout));
  if (tls != nullptr) {
    LH_RETURN_IF_ERROR(transport->StartTls(address, std::move(tls)));
  }
  return transport;
}

absl::Status RedisTransport::StartTls(const RedisAddress& address,
                                      std::shared_ptr<const TlsContext> tls) {
  tls_ = std::move(tls);
  ssl_.reset(SSL_new(tls_->get()));
  LH_CHECK(ssl_ != nullptr);
  // Memory instead of the socket: OpenSSL's own writes could raise SIGPIPE.
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  const char* host = address.host.c_str();
  if (IsIpAddress(address.host)) {
    LH_CHECK(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host) ==
             1);
  } else if (!address.is_unix()) {
    LH_CHECK(SSL_set1_host(ssl_.get(), host) == 1);
    SSL_set_tlsext_host_name(ssl_.get(), host);
  }
  while (true) {
    const int result = SSL_connect(ssl_.get());
    const int error = SSL_get_error(ssl_.get(), result);
    LH_RETURN_IF_ERROR(FlushTls());
    if (result == 1) return absl::OkStatus();
    ERR_clear_error();
    if (error != SSL_ERROR_WANT_READ) return TlsFailed();
    LH_RETURN_IF_ERROR(FeedTls());
  }
}

absl::Status RedisTransport::WaitFor(short events, absl::Time deadline) const {
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    pollfd wanted{fd_.get(), events, 0};
    const int ready = poll(&wanted, 1, int(std::max<int64_t>(left, 0)));
    if (ready == 1) return absl::OkStatus();
    if (ready < 0 && errno == EINTR) continue;
    return StoreUnavailableError(
        "the shared store does not answer in time; see its load and the "
        "network, or give it more time");
  }
}

absl::Status RedisTransport::SendRaw(std::string_view bytes) {
  absl::Time deadline = absl::Now() + timeout_;
  while (!bytes.empty()) {
    const ssize_t sent =
        send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(size_t(sent));
      deadline = absl::Now() + timeout_;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      LH_RETURN_IF_ERROR(WaitFor(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return ConnectionLost();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> RedisTransport::ReceiveRaw() {
  raw_buffer_.resize(kReadBytes);
  const absl::Time deadline = absl::Now() + timeout_;
  while (true) {
    const ssize_t received =
        recv(fd_.get(), raw_buffer_.data(), raw_buffer_.size(), 0);
    if (received > 0) {
      return std::string_view(raw_buffer_.data(), size_t(received));
    }
    if (received == 0) return ConnectionLost();
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      LH_RETURN_IF_ERROR(WaitFor(POLLIN, deadline));
    } else if (errno != EINTR) {
      return ConnectionLost();
    }
  }
}

absl::Status RedisTransport::FlushTls() {
  BIO* out = SSL_get_wbio(ssl_.get());
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out, &bytes);
  if (size <= 0) return absl::OkStatus();
  absl::Status sent = SendRaw({bytes, size_t(size)});
  static_cast<void>(BIO_reset(out));
  return sent;
}

absl::Status RedisTransport::FeedTls() {
  LH_ASSIGN_OR_RETURN(const std::string_view bytes, ReceiveRaw());
  LH_CHECK(BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(),
                     int(bytes.size())) == int(bytes.size()));
  return absl::OkStatus();
}

absl::Status RedisTransport::Send(std::string_view bytes) {
  if (ssl_ == nullptr) return SendRaw(bytes);
  while (!bytes.empty()) {
    const size_t part = std::min(bytes.size(), kReadBytes);
    // Into memory: it never waits, and takes all or fails.
    if (SSL_write(ssl_.get(), bytes.data(), int(part)) != int(part)) {
      ERR_clear_error();
      return ConnectionLost();
    }
    bytes.remove_prefix(part);
    LH_RETURN_IF_ERROR(FlushTls());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> RedisTransport::Receive() {
  if (ssl_ == nullptr) return ReceiveRaw();
  buffer_.resize(kReadBytes);
  while (true) {
    const int size = SSL_read(ssl_.get(), buffer_.data(), int(buffer_.size()));
    if (size > 0) return std::string_view(buffer_.data(), size_t(size));
    const int error = SSL_get_error(ssl_.get(), size);
    ERR_clear_error();
    LH_RETURN_IF_ERROR(FlushTls());
    if (error != SSL_ERROR_WANT_READ) return ConnectionLost();
    LH_RETURN_IF_ERROR(FeedTls());
  }
}

bool RedisTransport::IsQuiet() const {
  pollfd wanted{fd_.get(), POLLIN, 0};
  if (poll(&wanted, 1, 0) != 0) return false;
  return ssl_ == nullptr || SSL_pending(ssl_.get()) == 0;
}

}  // namespace longhand
