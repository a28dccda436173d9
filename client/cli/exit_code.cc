#include "client/cli/exit_code.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/text_display.h"
#include "client/client_error.h"

namespace longhand::client {
namespace {

int ExitCodeForOwn(const std::string& reason) {
  if (reason == kUsageReason) return kExitUsage;
  if (reason == kOutputClosedReason) return kExitOutputClosed;
  for (const char* prefix : {"INPUT_", "OUTPUT_", "TLS_FILE_"}) {
    if (absl::StartsWith(reason, prefix)) return kExitFile;
  }
  return kExitServerError;
}

std::string Hint(absl::string_view target, const absl::Status& status,
                 const std::optional<ErrorDetail>& detail) {
  if (detail && detail->reason == kUsageReason) return "see longhand --help";
  if (absl::IsUnavailable(status) && !detail) {
    return absl::StrCat("is longhand-server running at ", target,
                        "? Choose another with --server or LONGHAND_SERVER; "
                        "a server with TLS needs --tls or --ca");
  }
  if (absl::IsUnavailable(status)) return "the server is busy; try again later";
  if (absl::IsDeadlineExceeded(status)) return "allow more with --deadline";
  if (absl::IsUnimplemented(status) && !detail) {
    return absl::StrCat("is ", target, " a longhand-server?");
  }
  if (absl::IsUnauthenticated(status)) {
    return "the server may want a client certificate: --cert and --key";
  }
  return "";
}

}  // namespace

int ExitCodeFor(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (detail && detail->domain == kClientDomain) {
    return ExitCodeForOwn(detail->reason);
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kResourceExhausted:
      return kExitRejected;
    default:
      return kExitServerError;
  }
}

std::string FormatError(absl::string_view what, absl::string_view target,
                        const absl::Status& status, bool verbose) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  std::string line = absl::StrCat("longhand: ", what, ": ", status.message());
  if (status.message().empty()) absl::StrAppend(&line, "no message");
  if (detail && detail->reason != kUsageReason) {
    absl::StrAppend(&line, " [", detail->reason, "]");
  } else if (!detail) {
    absl::StrAppend(&line, " [", absl::StatusCodeToString(status.code()), "]");
  }
  std::string text = ToDisplayLine(line) + "\n";
  const std::string hint = Hint(target, status, detail);
  if (!hint.empty()) absl::StrAppend(&text, "hint: ", hint, "\n");
  if (!verbose) return text;
  absl::StrAppend(&text, "  code: ", absl::StatusCodeToString(status.code()),
                  "\n");
  if (!detail) return text;
  for (const auto& [key, value] : detail->metadata) {
    absl::StrAppend(&text, "  ", ToDisplayLine(absl::StrCat(key, ": ", value)),
                    "\n");
  }
  return text;
}

}  // namespace longhand::client
