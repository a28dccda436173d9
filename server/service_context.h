// ServiceContext: what all services and reactors share. Owned by the Server;
// outlives every call. Its members are thread-safe.
#ifndef LONGHAND_SERVER_SERVICE_CONTEXT_H_
#define LONGHAND_SERVER_SERVICE_CONTEXT_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "core/engine/encoder.h"
#include "server/access.h"
#include "server/admission.h"
#include "server/metrics.h"
#include "server/open_calls.h"
#include "server/served_model.h"
#include "server/session_host.h"
#include "server/unread_responses.h"

namespace longhand {

struct RequestLimits {
  uint64_t max_message_bytes = uint64_t{4} << 20;
  absl::Duration max_request = absl::Minutes(10);
  absl::Duration max_stream = absl::Hours(1);
  absl::Duration stall_timeout = absl::Minutes(5);
  // Calls that take longer are logged as such; 0: none.
  absl::Duration slow_request = absl::Seconds(10);
  // Results of one stream that wait for its client to read them.
  size_t max_queued_bytes = size_t{4} << 20;
  size_t max_queued_messages = 64;
  // Documents of one EncodeBatch stream that are in work at one time.
  int max_batch_documents = 16;
};

struct ServiceContext {
  const AccessControl& access;
  Admission& admission;
  Encoder& encoder;
  const ServedModel& model;
  Metrics& metrics;
  UnreadResponses& unread;
  OpenCalls& calls;
  RequestLimits limits;
  // Null: the server keeps no sessions.
  SessionHost* sessions = nullptr;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_SERVICE_CONTEXT_H_
