#include "core/store/store_errors.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace longhand {

absl::Status StoreUnavailableError(std::string_view what) {
  return MakeError(
      absl::StatusCode::kUnavailable, "STORE_UNAVAILABLE",
      absl::StrCat("the session store does not work now: ", ToAbsl(what)));
}

absl::Status StoreOpenError(std::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_OPEN", what);
}

absl::Status StoreCorruptError(std::string_view what) {
  return MakeError(
      absl::StatusCode::kDataLoss, "STORE_CORRUPT",
      absl::StrCat(ToAbsl(what),
                   "; the session can't be read: send its document again"));
}

absl::Status StoreLostWritesError() {
  return MakeError(
      absl::StatusCode::kDataLoss, "STORE_LOST_WRITES",
      "the session store does not hold what it acknowledged, as after a "
      "failover: read the session again and continue from its offset");
}

absl::Status FormatTooNewError(std::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FORMAT_TOO_NEW",
                   absl::StrCat(ToAbsl(what),
                                " was written by a newer version of Longhand; "
                                "use that version or a later one"));
}

absl::Status SessionExistsError() {
  return MakeError(absl::StatusCode::kAlreadyExists, "SESSION_EXISTS",
                   "a session of this id is there already; use another id");
}

absl::Status SessionNotFoundError() {
  return MakeError(absl::StatusCode::kNotFound, "SESSION_NOT_FOUND",
                   "there is no session of this id; open a new one");
}

absl::Status WrongReplicaError(std::string_view owner) {
  return MakeError(absl::StatusCode::kAborted, "WRONG_REPLICA",
                   "another replica works on this session; send the call to "
                   "it, or wait until its lease ends",
                   {{"owner", std::string(owner)}});
}

absl::Status StaleGenerationError() {
  return MakeError(absl::StatusCode::kAborted, "STALE_GENERATION",
                   "this replica does not own the session any more; read the "
                   "session again and continue from its offset");
}

bool IsStoreCorrupt(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kDataLoss) return false;
  const auto detail = GetErrorDetail(status);
  return detail.has_value() && detail->reason == "STORE_CORRUPT";
}

}  // namespace longhand
