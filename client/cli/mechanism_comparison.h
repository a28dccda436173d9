// What `longhand compare` measures: one document encoded with one mechanism
// after the other, and how their vectors agree. Belongs to one thread.
#ifndef LONGHAND_CLIENT_CLI_MECHANISM_COMPARISON_H_
#define LONGHAND_CLIENT_CLI_MECHANISM_COMPARISON_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/vector_agreement.h"
#include "client/content_source.h"
#include "client/encoder_client.h"
#include "longhand/v1/encoder_service.pb.h"

namespace longhand::client {

struct ComparisonRequest {
  std::vector<std::string> mechanisms;  // each once, not empty
  std::string reference;                // one of them
  // For all of them, but for what one does not look at.
  v1::EncodeOptions options;
  int repeat = 1;
  // Borrowed; must be able to rewind.
  ContentSource* text = nullptr;
  size_t piece_bytes = 64 << 10;
};

// Called on the calling thread; may be empty.
struct ComparisonHooks {
  // Before each encoding.
  std::function<void(const std::string& mechanism)> on_run;
  std::function<void(const StreamProgress&)> on_progress;
};

// What came of one mechanism.
struct MechanismResult {
  std::string mechanism;
  // If it is not OK the rest but `unused_options` has no meaning.
  absl::Status status;
  // Names of options that were left out because it does not look at them.
  std::vector<std::string> unused_options;
  // Of the first run.
  EncodeResult encoded;
  // Medians over the runs, as the server measured.
  double total_seconds = 0, compute_seconds = 0;
  // With the reference; empty if that failed.
  VectorAgreement agreement;
};

// In the order of the request. A mechanism that fails has that as its status;
// an error of the source or a cancelled call ends it all.
absl::StatusOr<std::vector<MechanismResult>> CompareMechanisms(
    EncoderClient* client, const ComparisonRequest& request,
    const ComparisonHooks& hooks = {}, const CallOptions& call = {});

// Takes the option of that name (of EncodeOptions or of MechanismOptions) out.
// False if it was not set or is none.
bool ClearOption(const std::string& name, v1::EncodeOptions* options);

// REQUIRES: not empty.
double Median(std::vector<double> values);

// OK if all went well; otherwise the first failure, with its code and details,
// saying how many there are.
absl::Status SummarizeFailures(const std::vector<MechanismResult>& results);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_MECHANISM_COMPARISON_H_
