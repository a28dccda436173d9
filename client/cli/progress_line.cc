#include "client/cli/progress_line.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "client/cli/text_display.h"

namespace longhand::client {
namespace {

// Tokens in the whole document, from the share that was received.
double ExpectedTokens(const ProgressState& state) {
  const auto& server = state.progress.server;
  return static_cast<double>(server.received_tokens()) *
         static_cast<double>(*state.total_bytes) /
         static_cast<double>(server.received_bytes());
}

}  // namespace

std::string FormatProgress(const ProgressState& state, int width) {
  const auto& server = state.progress.server;
  std::string line = FormatBytes(state.progress.sent_bytes);
  if (state.total_bytes) {
    absl::StrAppend(&line, " of ", FormatBytes(*state.total_bytes));
  }
  absl::StrAppend(&line, " sent, ", FormatCount(server.encoded_tokens()),
                  " tokens encoded");
  const double seconds = absl::ToDoubleSeconds(state.elapsed);
  if (seconds > 0 && server.encoded_tokens() > 0) {
    const double rate = static_cast<double>(server.encoded_tokens()) / seconds;
    absl::StrAppend(&line, ", ", FormatCount(static_cast<uint64_t>(rate)),
                    " tokens/s");
    if (state.total_bytes && server.received_bytes() > 0) {
      const double left =
          ExpectedTokens(state) - static_cast<double>(server.encoded_tokens());
      absl::StrAppend(&line, ", ",
                      FormatTime(absl::Seconds(left > 0 ? left / rate : 0)),
                      " left");
    }
  }
  return FitWidth(line, width);
}

ProgressLine::ProgressLine(bool enabled, std::optional<uint64_t> total_bytes)
    : enabled_(enabled),
      terminal_(DescribeTerminal(STDERR_FILENO)),
      start_(absl::Now()) {
  state_.total_bytes = total_bytes;
}

ProgressLine::~ProgressLine() { Clear(); }

void ProgressLine::Update(const StreamProgress& progress) {
  if (!enabled_) return;
  state_.progress = progress;
  state_.elapsed = absl::Now() - start_;
  // One column less: a full last column wraps on some terminals.
  const std::string line = FormatProgress(state_, terminal_.width - 1);
  const int padding = terminal_.width - 1 - DisplayWidth(line);
  std::fprintf(stderr, "\r%s%*s", line.c_str(), padding > 0 ? padding : 0, "");
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::Clear() {
  if (!drawn_) return;
  std::fprintf(stderr, "\r%*s\r", terminal_.width - 1, "");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace longhand::client
