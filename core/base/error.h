// Errors with a stable, machine-readable reason and metadata beside the
// sentence for people. Core attaches them to an absl::Status as a payload; the
// server turns them into google.rpc.ErrorInfo. Pure functions; safe from any
// thread.
#ifndef LONGHAND_CORE_BASE_ERROR_H_
#define LONGHAND_CORE_BASE_ERROR_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace longhand {

// What a client program can act on.
struct ErrorDetail {
  // UPPER_SNAKE_CASE, at most 63 characters, never changed once released.
  std::string reason;
  // The dynamic values of the message, such as {"limit_bytes", "67108864"}.
  std::map<std::string, std::string> metadata;
};

// A status whose message says what was wrong and what to do about it.
absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message,
                       std::map<std::string, std::string> metadata = {});

// The detail attached by MakeError, or nullopt.
std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status);

// The same error as seen one level up: `context` and ": " go before the
// message, `reason` replaces the reason, the metadata stays.
absl::Status WithContext(const absl::Status& status, std::string_view reason,
                         std::string_view context);

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_ERROR_H_
