// A document that arrives in one message and is answered by one message: the
// common part of Encode and EncodeBatch.
#ifndef LONGHAND_SERVER_WHOLE_DOCUMENT_H_
#define LONGHAND_SERVER_WHOLE_DOCUMENT_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encoder.h"
#include "longhand/v1/encoder_service.pb.h"
#include "server/call.h"
#include "server/document_slot.h"
#include "server/service_context.h"

namespace longhand {

// How large an answer may get, and what to tell the client about it.
struct ResponseLimit {
  uint64_t max_bytes = 0;
  std::string_view advice;
};

// For the log line of the call.
CallWork WorkOf(const v1::EncodeSummary& summary);

// Whose document it is.
struct WholeDocumentCall {
  const ServiceContext& service;
  const Caller& caller;
  absl::Time deadline;
  ResponseLimit limit;
  // Where the document is kept while it waits and while it is open.
  std::shared_ptr<DocumentSlot> slot;
};

// Opens a document once it is admitted, feeds it and finishes it. `done` is
// called exactly once, from any thread or before this returns, with the
// response or with an error: of Admission, of the encoder, or
// RESOURCE_EXHAUSTED (RESPONSE_TOO_LARGE); not at all if this returns an error.
// Does not block; needs `request` no longer when it returns.
absl::Status EncodeWholeDocument(
    const WholeDocumentCall& call, const v1::EncodeRequest& request,
    absl::AnyInvocable<void(absl::StatusOr<v1::EncodeResponse>)> done);

}  // namespace longhand

#endif  // LONGHAND_SERVER_WHOLE_DOCUMENT_H_
