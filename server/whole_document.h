// A document that arrives in one message and is answered by one message: the
// common part of Encode and EncodeBatch.
#ifndef LONGHAND_SERVER_WHOLE_DOCUMENT_H_
#define LONGHAND_SERVER_WHOLE_DOCUMENT_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encoder.h"
#include "longhand/v1/encoder_service.pb.h"
#include "server/service_context.h"

namespace longhand {

// How large an answer may get, and what to tell the client about it.
struct ResponseLimit {
  uint64_t max_bytes = 0;
  std::string_view advice;
};

// Opens a document, feeds it and finishes it. `done` is called exactly once,
// from a worker thread or before this returns, with the response or with
// RESOURCE_EXHAUSTED (RESPONSE_TOO_LARGE) or the encoder's error; not at all if
// this returns an error. Does not block. Dropping the document cancels it.
absl::StatusOr<std::shared_ptr<Document>> EncodeWholeDocument(
    const ServiceContext& context, const v1::EncodeRequest& request,
    absl::Time deadline, ResponseLimit limit,
    absl::AnyInvocable<void(absl::StatusOr<v1::EncodeResponse>)> done);

}  // namespace longhand

#endif  // LONGHAND_SERVER_WHOLE_DOCUMENT_H_
