// How clients connect and try again: EncoderClient and SessionClient take the
// same options. Plain values.
#ifndef LONGHAND_CLIENT_CLIENT_OPTIONS_H_
#define LONGHAND_CLIENT_CLIENT_OPTIONS_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cancellation.h"

namespace longhand::client {

// PEM files. Empty `ca_file`: the system's certificate authorities.
struct TlsOptions {
  std::string ca_file;
  std::string cert_file;  // the client's certificate, with key_file
  std::string key_file;
  std::string server_name;  // that the certificate carries, if not the target's
};

// A call about to be tried again.
struct RetryEvent {
  int failed_attempts = 0;
  absl::Duration delay;
  absl::Status status;  // of the last attempt
};

// Attempts that end with UNAVAILABLE, and those on a session that ended because
// another server or another call has it at the moment (ABORTED with the reason
// WRONG_REPLICA, STALE_GENERATION or CONCURRENT_APPEND; QUEUE_TIMEOUT), are
// repeated as long as nothing of the result was handed out and the deadline
// allows the wait. The wait is the server's grpc-retry-pushback-ms (negative:
// do not retry) or RetryInfo, else it grows from initial_backoff by
// `multiplier` to max_backoff, less up to a half by chance.
struct RetryOptions {
  int max_attempts = 4;  // 1: no retries
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
  double multiplier = 2;
  // Called on the caller's thread before each wait.
  std::function<void(const RetryEvent&)> on_retry;
};

struct ClientOptions {
  std::string target = "127.0.0.1:50051";  // any gRPC target
  std::optional<TlsOptions> tls;           // nullopt: plaintext
  // A file with the token that tells the server who calls; read again when it
  // changes. Empty: none is sent.
  std::string token_file;
  // Send it without TLS to other machines too, where everybody on the way can
  // read it.
  bool insecure_token_over_plaintext = false;
  // From the start of a call to its end, retries included.
  absl::Duration deadline = absl::InfiniteDuration();
  int max_message_bytes = 64 << 20;  // received; the server bounds what is sent
  RetryOptions retry;
  // HTTP/2 pings while calls run; 0: none.
  absl::Duration keepalive_interval = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(10);
  // Whether http_proxy and its kin apply.
  bool use_http_proxy = false;
};

struct CallOptions {
  std::optional<absl::Duration> deadline;  // instead of ClientOptions.deadline
  Cancellation* cancellation = nullptr;    // borrowed; may be null
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLIENT_OPTIONS_H_
