#include "server/call.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "server/grpc_status.h"
#include "server/logging.h"

namespace longhand {

absl::Time CallDeadline(const grpc::ServerContextBase& context,
                        absl::Duration max_duration) {
  absl::Time limit = absl::Now() + max_duration;
  std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return limit;
  return std::min(limit, absl::FromChrono(deadline));
}

absl::Status CancelReason(absl::Time deadline) {
  if (absl::Now() >= deadline) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                     "the deadline passed before the result was complete");
  }
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED",
                   "the client cancelled the call");
}

void LogCall(std::string_view method, const absl::Status& status,
             absl::Duration elapsed) {
  const bool fault = absl::IsInternal(status) || absl::IsUnknown(status) ||
                     absl::IsDataLoss(status);
  Log(fault ? LogLevel::kError : LogLevel::kDebug, "call",
      {{"method", method},
       {"code", absl::StatusCodeToString(status.code())},
       {"reason", StatusReason(status)},
       {"milliseconds", absl::ToDoubleMilliseconds(elapsed)}});
}

absl::Status ResponseTooLarge(std::string_view advice, uint64_t size_bytes,
                              uint64_t limit_bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted, "RESPONSE_TOO_LARGE",
                   absl::StrCat("the response takes ", size_bytes,
                                " bytes or more, the limit of a message is ",
                                limit_bytes, "; ", ToAbsl(advice)),
                   {{"limit_bytes", absl::StrCat(limit_bytes)},
                    {"size_bytes", absl::StrCat(size_bytes)}});
}

}  // namespace longhand
