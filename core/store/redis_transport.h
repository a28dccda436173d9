// RedisTransport: one connection to the shared store: TCP or a Unix socket,
// with TLS if asked for. Each call ends after the timeout at the latest if the
// other side does nothing. For one thread at a time.
#ifndef LONGHAND_CORE_STORE_REDIS_TRANSPORT_H_
#define LONGHAND_CORE_STORE_REDIS_TRANSPORT_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/file.h"

struct ssl_ctx_st;
struct ssl_st;

namespace longhand {

// HOST:PORT, [IPV6]:PORT, or an absolute path in `host`.
struct RedisAddress {
  std::string host;
  std::string port;

  bool is_unix() const { return port.empty(); }
};

// FAILED_PRECONDITION (STORE_OPEN).
absl::StatusOr<RedisAddress> ParseRedisAddress(std::string_view address);

// What all connections of one store have in common: whom to trust and who we
// are. Immutable; safe from many threads.
class TlsContext {
 public:
  // The server's certificate must come from `ca_file`; ours is optional. All
  // are PEM files. FAILED_PRECONDITION (STORE_OPEN) if one can't be read.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(
      const std::string& ca_file, const std::string& cert_file,
      const std::string& key_file);

  ssl_ctx_st* get() const { return context_.get(); }

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  std::unique_ptr<ssl_ctx_st, Free> context_;
};

class RedisTransport {
 public:
  // `tls` null: none. Errors of all calls: UNAVAILABLE (STORE_UNAVAILABLE).
  static absl::StatusOr<std::unique_ptr<RedisTransport>> Connect(
      const RedisAddress& address, std::shared_ptr<const TlsContext> tls,
      absl::Duration timeout);
  ~RedisTransport();

  absl::Status Send(std::string_view bytes);
  // Some bytes, at least one; valid until the next call.
  absl::StatusOr<std::string_view> Receive();
  // Whether nothing has come, not even the end, since the last call.
  bool IsQuiet() const;

 private:
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };

  RedisTransport(UniqueFd fd, absl::Duration timeout);
  absl::Status StartTls(const RedisAddress& address,
                        std::shared_ptr<const TlsContext> tls);
  absl::Status WaitFor(short events, absl::Time deadline) const;
  absl::Status SendRaw(std::string_view bytes);
  absl::StatusOr<std::string_view> ReceiveRaw();
  // Passes on what the TLS engine wants to send.
  absl::Status FlushTls();
  // Gives the TLS engine what comes from the other side.
  absl::Status FeedTls();

  const UniqueFd fd_;
  const absl::Duration timeout_;
  std::shared_ptr<const TlsContext> tls_;
  std::unique_ptr<ssl_st, FreeSsl> ssl_;  // null without TLS
  std::string raw_buffer_, buffer_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_REDIS_TRANSPORT_H_
