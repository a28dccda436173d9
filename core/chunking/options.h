// The numbers that chunkers take from ChunkerOptions, with defaults filled in
// and checked. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_CHUNKING_OPTIONS_H_
#define LONGHAND_CORE_CHUNKING_OPTIONS_H_

#include "absl/status/statusor.h"
#include "core/chunking/chunker.h"

namespace longhand {

// At least 1; at most max_tokens. INVALID_ARGUMENT (CHUNKER_OPTIONS) if it is
// negative or not below max_tokens. REQUIRES: max_tokens >= 1.
absl::StatusOr<int> ResolveMinTokens(const ChunkerOptions& options);

// At least 0 and below max_tokens; INVALID_ARGUMENT (CHUNKER_OPTIONS)
// otherwise. REQUIRES: max_tokens >= 1.
absl::StatusOr<int> ResolveOverlapTokens(const ChunkerOptions& options);

}  // namespace longhand

#endif  // LONGHAND_CORE_CHUNKING_OPTIONS_H_
