#include "core/session/document_encoder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/engine/document_errors.h"

namespace longhand {

absl::Status StopCondition::Check() const {
  if (cancelled != nullptr && *cancelled) return CancelledError();
  if (absl::Now() >= deadline) return DeadlineError();
  return absl::OkStatus();
}

absl::Status CheckFingerprint(const std::vector<FingerprintField>& ours,
                              const std::vector<FingerprintField>& theirs) {
  const size_t common = std::min(ours.size(), theirs.size());
  size_t i = 0;
  while (i < common && ours[i] == theirs[i]) ++i;
  if (i == ours.size() && i == theirs.size()) return absl::OkStatus();
  const std::string& field = i < ours.size() ? ours[i].name : theirs[i].name;
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "FINGERPRINT_MISMATCH",
      absl::StrCat("this session was made by a server whose \"", field,
                   "\" is not the one here; send it to such a server, or open "
                   "a new session and send the document again"),
      {{"field", field}});
}

}  // namespace longhand
