// MeasureLoad: sends a load to a server and says what became of it. One thread
// does everything, on a completion queue, so that thousands of requests under
// way need no threads of their own.
#ifndef LONGHAND_CLIENT_LOAD_RUNNER_H_
#define LONGHAND_CLIENT_LOAD_RUNNER_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client_options.h"
#include "client/load_corpus.h"
#include "client/load_plan.h"
#include "client/load_recorder.h"
#include "client/load_schedule.h"
#include "longhand/v1/encoder_service.pb.h"
#include "longhand/v1/model_service.pb.h"

namespace longhand::client {

// kAuto: Encode if request and answer fit in a message, else EncodeStream.
enum class LoadMethod { kAuto, kEncode, kStream };

struct LoadProgress {
  absl::Duration elapsed;
  uint64_t sent = 0, ended = 0, outstanding = 0;
};

struct LoadOptions {
  // `deadline` is that of each request, from its intended time on; what
  // `retry` allows is done for each request, max_attempts 1: nothing.
  ClientOptions connection;
  int connections = 1;
  LoadShape shape;
  absl::Duration warm_up;  // not measured; part of shape.length
  // Answers after that are late, as are those after the deadline.
  absl::Duration goal = absl::InfiniteDuration();
  // Whether a closed loop's client whose request was refused waits as long as
  // the server asks. Failures to connect are always followed by a pause.
  bool heed_advice = false;
  LoadMethod method = LoadMethod::kAuto;
  v1::EncodeOptions encode;
  size_t piece_bytes = 64 << 10;
  // Ends the load early; what was measured is reported. May be null.
  Cancellation* cancellation = nullptr;
  // A few times a second.
  std::function<void(const LoadProgress&)> on_progress;
};

// Whether kAuto sends a document of that size by EncodeStream.
bool NeedsStream(const v1::Model& model, const v1::EncodeOptions& options,
                 uint64_t content_bytes, uint64_t tokens);

// Connects, sends the documents of `plan`, cut from `corpus`, and waits for the
// answers. Errors: those of the TLS files; UNAVAILABLE if there is no
// connection; CANCELLED before the first request. What happens to requests is
// in the report.
absl::StatusOr<LoadReport> MeasureLoad(const LoadOptions& options,
                                       const LoadPlan& plan,
                                       const LoadCorpus& corpus,
                                       const v1::Model& model);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_RUNNER_H_
