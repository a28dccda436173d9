// Errors of the client library: absl::Status whose payloads are the details
// that the server sent (google.rpc.ErrorInfo, RetryInfo and others, keyed by
// their type URL). Pure functions; safe from any thread.
#ifndef LONGHAND_CLIENT_CLIENT_ERROR_H_
#define LONGHAND_CLIENT_CLIENT_ERROR_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace longhand::client {

// ErrorInfo.domain of errors that this library found itself, without an answer
// from the server. The server's own domain is "longhand".
inline constexpr absl::string_view kClientDomain = "client.longhand";

// What a program can act on; the sentence for people is status.message().
struct ErrorDetail {
  // UPPER_SNAKE_CASE and stable.
  std::string reason;
  // Who says so: "longhand" or kClientDomain.
  std::string domain;
  // The dynamic values of the message, such as {"limit_bytes", "67108864"}.
  std::map<std::string, std::string> metadata;
};

// The ErrorInfo in `status`. nullopt if the error has none: it then comes from
// gRPC itself, such as a refused connection or a passed deadline.
std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status);

// How long the server asks callers to wait (google.rpc.RetryInfo).
std::optional<absl::Duration> GetRetryDelay(const absl::Status& status);

// An error in domain kClientDomain. `message` says what to do about it.
absl::Status MakeClientError(absl::StatusCode code, absl::string_view reason,
                             absl::string_view message,
                             std::map<std::string, std::string> metadata = {});

// As MakeClientError; the code is that of `error_number` (an errno) and the
// message is "`what`: <its text>".
absl::Status MakeErrnoError(int error_number, absl::string_view reason,
                            absl::string_view what);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLIENT_ERROR_H_
