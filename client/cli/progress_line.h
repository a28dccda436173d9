// The line on stderr that shows how far a document is. FormatProgress is pure;
// a ProgressLine belongs to one thread.
#ifndef LONGHAND_CLIENT_CLI_PROGRESS_LINE_H_
#define LONGHAND_CLIENT_CLI_PROGRESS_LINE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/cli/table.h"
#include "client/encoder_client.h"

namespace longhand::client {

struct ProgressState {
  StreamProgress progress;
  std::optional<uint64_t> total_bytes;  // of the document, where known
  absl::Duration elapsed;
};

// Bytes sent (of the total), tokens encoded, tokens/s and, where the total is
// known, the time that is left; at most `width` columns.
std::string FormatProgress(const ProgressState& state, int width);

class ProgressLine {
 public:
  // Silent unless `enabled`. `total_bytes` as in ProgressState.
  ProgressLine(bool enabled, std::optional<uint64_t> total_bytes);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Update(const StreamProgress& progress);
  // Wipes the line; the next Update draws it again.
  void Clear();

 private:
  const bool enabled_;
  const Terminal terminal_;
  const absl::Time start_;
  ProgressState state_;
  bool drawn_ = false;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_PROGRESS_LINE_H_
