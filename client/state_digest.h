// The digest that a session has after an append (docs/sessions.md,
// "Appending"). Internal to the client library. Pure; safe from any thread.
#ifndef LONGHAND_CLIENT_STATE_DIGEST_H_
#define LONGHAND_CLIENT_STATE_DIGEST_H_

#include <string>

#include "absl/strings/string_view.h"
#include "longhand/v1/session_service.pb.h"

namespace longhand::client {

// `digest`: of the session before it, 32 bytes. Empty, for not known, if it has
// another length.
std::string DigestAfter(absl::string_view digest,
                        const v1::AppendSessionRequest& request);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_STATE_DIGEST_H_
