#include "client/cli/exit_code.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/text_display.h"
#include "client/client_error.h"

namespace longhand::client {
namespace {

// The server has no such store.
constexpr char kDurabilityReason[] = "DURABILITY_UNAVAILABLE";
constexpr char kTokenReason[] = "TOKEN_OVER_PLAINTEXT";

// What a session is not, and what to do about it.
struct SessionProblem {
  const char* reason;
  const char* hint;
};

constexpr SessionProblem kSessionProblems[] = {
    {"SESSION_NOT_FOUND", "`longhand session list` shows the sessions"},
    {"SESSION_EXPIRED",
     "make a new one and append from the start; --ttl lets it live longer"},
    {"SESSION_EVICTED", "make a new one and append from the start"},
    {"SESSION_CLOSED",
     "its document has ended; `longhand session fork` does not open it again, "
     "a new session takes more"},
    {"MODEL_FINGERPRINT_MISMATCH",
     "the server computes otherwise than when the session was made; append the "
     "document to a new one"},
    {"CONCURRENT_APPEND",
     "another program appends to this session; it takes one at a time"},
    {"OFFSET_GAP", "`longhand session show` says what the session has"},
    {"OFFSET_ALREADY_WRITTEN",
     "`longhand session show` says what the session has"},
    {"STATE_DIVERGED",
     "somebody else changed the session; look at it with `longhand session "
     "show`"},
    {"SESSION_CHANGED", "look at it with `longhand session show`"},
    {"OUTCOME_UNKNOWN", "look at it with `longhand session show`"},
    {"DIGEST_MISMATCH", "look at it with `longhand session show`"},
    {"FINGERPRINT_MISMATCH",
     "the snapshot is of another model, other options or another tenant; "
     "append "
     "the document to a new session"},
    {"SESSION_EMPTY", "append some content first"},
    {"CONTENT_GONE", "`longhand session show` says what the session has"},
    {"SOURCE_TOO_SHORT",
     "is it the right file? --file-offset says where it lies in the document"},
    {"SOURCE_OFFSET", "`longhand session show` says what the session has"}};

const SessionProblem* FindSessionProblem(
    const std::optional<ErrorDetail>& detail) {
  if (!detail) return nullptr;
  for (const SessionProblem& problem : kSessionProblems) {
    if (detail->reason == problem.reason) return &problem;
  }
  return nullptr;
}

int ExitCodeForOwn(const std::string& reason) {
  if (reason == kUsageReason || reason == kTokenReason) return kExitUsage;
  if (reason == kOutputClosedReason) return kExitOutputClosed;
  for (const char* prefix : {"INPUT_", "OUTPUT_", "TLS_FILE_", "TOKEN_FILE_"}) {
    if (absl::StartsWith(reason, prefix)) return kExitFile;
  }
  return kExitServerError;
}

std::string Hint(absl::string_view target, const absl::Status& status,
                 const std::optional<ErrorDetail>& detail) {
  if (detail && detail->reason == kUsageReason) return "see longhand --help";
  if (const SessionProblem* problem = FindSessionProblem(detail)) {
    return problem->hint;
  }
  if (detail && detail->reason == kDurabilityReason) {
    return "ask for less with --durability";
  }
  if (absl::IsUnavailable(status) && !detail) {
    return absl::StrCat("is longhand-server running at ", target,
                        "? Choose another with --server or LONGHAND_SERVER; "
                        "a server with TLS needs --tls or --ca");
  }
  if (absl::IsUnavailable(status)) return "the server is busy; try again later";
  if (absl::IsDeadlineExceeded(status))
    return "allow more with --deadline (health: --timeout)";
  if (absl::IsUnimplemented(status) && !detail) {
    return absl::StrCat("is ", target, " a longhand-server?");
  }
  if (detail && detail->reason == kTokenReason) {
    return "--tls or --ca; else --insecure-token-over-plaintext";
  }
  if (absl::IsUnauthenticated(status)) {
    return "name a file that holds your token with --token-file or "
           "LONGHAND_TOKEN_FILE";
  }
  return "";
}

}  // namespace

int ExitCodeFor(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (FindSessionProblem(detail) != nullptr) return kExitSession;
  if (detail && detail->reason == kDurabilityReason) return kExitRejected;
  if (detail && detail->domain == kClientDomain) {
    return ExitCodeForOwn(detail->reason);
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:  // the session is on its way elsewhere
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
