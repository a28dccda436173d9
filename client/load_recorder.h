// LoadRecorder: what became of the requests of a load, by class. Times are
// since the load began and are given by the caller. Belongs to one thread; a
// LoadReport is a value.
//
// Requests whose intended time lies in the measured window are counted, however
// late they end. Throughput counts the answers that come in the window,
// whenever their requests were sent: with long documents that is not the same,
// and only so are both true of a load that goes on before and after.
#ifndef LONGHAND_CLIENT_LOAD_RECORDER_H_
#define LONGHAND_CLIENT_LOAD_RECORDER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/load_histogram.h"
#include "client/load_schedule.h"

namespace longhand::client {

// How one attempt ended.
struct LoadOutcome {
  absl::Status status;
  uint64_t tokens = 0;  // of the document, if it was answered
  // The value of grpc-retry-pushback-ms, if there was one.
  std::optional<std::string> pushback;
};

// Waits that the server asked for.
struct RetryAdvice {
  uint64_t pushbacks = 0;    // attempts with grpc-retry-pushback-ms
  uint64_t retry_infos = 0;  // attempts with google.rpc.RetryInfo
  absl::Duration min = absl::InfiniteDuration();  // of both
  absl::Duration max;
};

// Attempts that ended alike.
struct LoadError {
  uint64_t count = 0;
  absl::Status sample;  // of the first one
};

// arrivals = sent + not_sent, and sent = ok + late + rejected +
// deadline_exceeded + unfinished.
struct LoadStats {
  uint64_t arrivals = 0;
  uint64_t not_sent = 0;           // too many were under way
  uint64_t sent = 0;               // retries not counted
  uint64_t ok = 0;                 // answered in time
  uint64_t late = 0;               // answered, but not in time
  uint64_t rejected = 0;           // any other status
  uint64_t deadline_exceeded = 0;  // that status, whoever gave it
  uint64_t unfinished = 0;         // still under way when the load was ended
  uint64_t retries = 0;
  LatencyHistogram latency;         // of ok and late, from the intended time
  LatencyHistogram reject_latency;  // of rejected attempts, each from its own
  // Attempts by code and ErrorInfo.reason ("" where gRPC itself gave it).
  std::map<std::pair<absl::StatusCode, std::string>, LoadError> errors;
  RetryAdvice advice;

  // In the window.
  uint64_t answered = 0, answered_in_time = 0;  // requests
  uint64_t answered_tokens = 0, answered_tokens_in_time = 0;

  void Merge(const LoadStats& other);
};

struct LoadReport {
  std::vector<LoadStats> classes;  // as in the mix
  absl::Duration window;           // how long was measured
  LatencyHistogram send_lag;       // how long after their time requests left
  uint64_t peak_outstanding = 0;
  bool interrupted = false;

  LoadStats Total() const;
  // OK if any request was answered or none failed; otherwise the most frequent
  // error, with its details.
  absl::Status CheckAnswered() const;
};

class LoadRecorder {
 public:
  struct Options {
    size_t classes = 1;
    // The window. An infinite end: that of the last answer.
    absl::Duration begin, end = absl::InfiniteDuration();
    // Answers after that are late.
    absl::Duration goal = absl::InfiniteDuration();
  };
  explicit LoadRecorder(const Options& options);

  void OnNotSent(const LoadRequest& request, size_t class_index);
  // `outstanding`: with this one.
  void OnSent(const LoadRequest& request, size_t class_index,
              absl::Duration now, uint64_t outstanding);
  // An attempt after which the request is tried again.
  void OnRetry(const LoadRequest& request, size_t class_index,
               const LoadOutcome& outcome, absl::Duration now);
  void OnEnd(const LoadRequest& request, size_t class_index,
             const LoadOutcome& outcome, absl::Duration now);
  void OnUnfinished(const LoadRequest& request, size_t class_index);

  // The window ends now, if it has not yet.
  void Interrupt(absl::Duration now);
  LoadReport Finish() const;

 private:
  bool Counts(const LoadRequest& request) const;
  void RecordFailure(const LoadRequest& request, const LoadOutcome& outcome,
                     absl::Duration now, LoadStats* stats) const;
  void RecordAnswer(const LoadRequest& request, const LoadOutcome& outcome,
                    absl::Duration now, LoadStats* stats);

  const Options options_;
  absl::Duration end_;
  absl::Duration last_answer_;
  LoadReport report_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_RECORDER_H_
