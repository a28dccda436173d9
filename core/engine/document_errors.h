// What can go wrong with a document, said the same way wherever documents come
// in. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_ENGINE_DOCUMENT_ERRORS_H_
#define LONGHAND_CORE_ENGINE_DOCUMENT_ERRORS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace longhand {

// INVALID_ARGUMENT (TOKEN_ID_OUT_OF_RANGE) unless all ids are below
// `vocab_size`; `first` is the place of ids[0] in the document.
absl::Status CheckTokenIds(absl::Span<const int32_t> ids, uint64_t first,
                           int32_t vocab_size);

// INVALID_ARGUMENT (MIXED_CONTENT).
absl::Status MixedContentError();
// FAILED_PRECONDITION (TOKENIZER_MISSING).
absl::Status TokenizerMissingError();
// INVALID_ARGUMENT (TEXT_NEEDED). `what` needs it: "the chunker \"x\" needs".
absl::Status TextNeededError(std::string_view what);
// INVALID_ARGUMENT (EMPTY_DOCUMENT).
absl::Status EmptyDocumentError();
// RESOURCE_EXHAUSTED (DOCUMENT_TOO_LONG).
absl::Status DocumentTooLongError(bool is_text, uint64_t length_bytes,
                                  uint64_t limit_bytes);
// UNAVAILABLE (OVERLOADED): no working memory is left.
absl::Status WorkingMemoryError(uint64_t limit_bytes);
// DEADLINE_EXCEEDED, CANCELLED; the reasons are the same.
absl::Status DeadlineError();
absl::Status CancelledError();

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_DOCUMENT_ERRORS_H_
