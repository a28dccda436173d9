// The errors that all session stores have in common. They name no path, address
// or content: they may reach a client. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_STORE_STORE_ERRORS_H_
#define LONGHAND_CORE_STORE_STORE_ERRORS_H_

#include <string_view>

#include "absl/status/status.h"

namespace longhand {

// UNAVAILABLE (STORE_UNAVAILABLE). `what`: what is wrong and what the operator
// can do.
absl::Status StoreUnavailableError(std::string_view what);
// FAILED_PRECONDITION (STORE_OPEN).
absl::Status StoreOpenError(std::string_view what);
// DATA_LOSS (STORE_CORRUPT). `what`: "a stored record is damaged".
absl::Status StoreCorruptError(std::string_view what);
// DATA_LOSS (STORE_LOST_WRITES).
absl::Status StoreLostWritesError();
// FAILED_PRECONDITION (FORMAT_TOO_NEW). `what`: "the snapshot".
absl::Status FormatTooNewError(std::string_view what);
// ALREADY_EXISTS (SESSION_EXISTS).
absl::Status SessionExistsError();
// NOT_FOUND (SESSION_NOT_FOUND).
absl::Status SessionNotFoundError();
// ABORTED (WRONG_REPLICA).
absl::Status WrongReplicaError(std::string_view owner);
// ABORTED (STALE_GENERATION).
absl::Status StaleGenerationError();

// Whether it is DATA_LOSS (STORE_CORRUPT).
bool IsStoreCorrupt(const absl::Status& status);

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_STORE_ERRORS_H_
