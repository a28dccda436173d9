// One attempt at EncodeBatch. Internal to the client library.
#ifndef LONGHAND_CLIENT_BATCH_ATTEMPT_H_
#define LONGHAND_CLIENT_BATCH_ATTEMPT_H_

#include <vector>

#include "client/encoder_client.h"
#include "client/retry.h"
#include "longhand/v1/encoder_service.grpc.pb.h"

namespace longhand::client {

// The message that carries `document`.
v1::EncodeRequest ToRequest(const Document& document);

// Sends the documents whose result is UNAVAILABLE and replaces their results;
// those without an answer get the status of the call. The returned status is
// UNAVAILABLE, and repeatable, while there is a document to send again.
Attempt RunBatchAttempt(v1::EncoderService::StubInterface* stub,
                        grpc::ClientContext* context,
                        absl::Span<const Document> documents,
                        std::vector<absl::StatusOr<EncodeResult>>* results);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_BATCH_ATTEMPT_H_
