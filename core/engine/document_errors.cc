#include "core/engine/document_errors.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace longhand {

absl::Status CheckTokenIds(absl::Span<const int32_t> ids, uint64_t first,
                           int32_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    const uint64_t position = first + i;
    return MakeError(
        absl::StatusCode::kInvalidArgument, "TOKEN_ID_OUT_OF_RANGE",
        absl::StrCat("token ", position, " has the id ",
                     static_cast<uint32_t>(ids[i]),
                     ", but the vocabulary ends at ", vocab_size - 1,
                     "; make the ids with this model's tokenizer"),
        {{"position", absl::StrCat(position)},
         {"id", absl::StrCat(static_cast<uint32_t>(ids[i]))},
         {"vocab_size", absl::StrCat(vocab_size)}});
  }
  return absl::OkStatus();
}

absl::Status MixedContentError() {
  return MakeError(absl::StatusCode::kInvalidArgument, "MIXED_CONTENT",
                   "a document is given either as text or as token ids; this "
                   "one has both, send two documents");
}

absl::Status TokenizerMissingError() {
  return MakeError(absl::StatusCode::kFailedPrecondition, "TOKENIZER_MISSING",
                   "the model is served without a tokenizer; send token ids");
}

absl::Status TextNeededError(std::string_view what) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "TEXT_NEEDED",
      absl::StrCat(ToAbsl(what),
                   " text, not token ids; send the text, or use the chunker "
                   "\"fixed\" without spans"));
}

absl::Status EmptyDocumentError() {
  return MakeError(absl::StatusCode::kInvalidArgument, "EMPTY_DOCUMENT",
                   "the document is empty: it holds no token to encode; send "
                   "some text or token ids");
}

absl::Status DocumentTooLongError(bool is_text, uint64_t length_bytes,
                                  uint64_t limit_bytes) {
  return MakeError(
      absl::StatusCode::kResourceExhausted, "DOCUMENT_TOO_LONG",
      absl::StrCat("the document is too long: ", length_bytes,
                   is_text ? " bytes" : " bytes (4 for each token id)",
                   " received so far, the limit is ", limit_bytes,
                   "; send it as several documents, or have the operator raise "
                   "the server's limit (--max-document-bytes)"),
      {{"limit_bytes", absl::StrCat(limit_bytes)},
       {"length_bytes", absl::StrCat(length_bytes)}});
}

absl::Status WorkingMemoryError(uint64_t limit_bytes) {
  return MakeError(
      absl::StatusCode::kUnavailable, "OVERLOADED",
      "the server's memory for documents is taken by other requests; try again "
      "later",
      {{"limit_bytes", absl::StrCat(limit_bytes)}});
}

absl::Status DeadlineError() {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                   "the deadline passed before the document was encoded; give "
                   "more time, or send less text");
}

absl::Status CancelledError() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED",
                   "the call was cancelled");
}

}  // namespace longhand
