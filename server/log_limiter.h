// LogLimiter: keeps a flood of one event from filling a disk. Each event has a
// bucket of lines that fills by and by; what finds it empty is counted, and the
// next line of the event says how many. Thread-safe.
#ifndef LONGHAND_SERVER_LOG_LIMITER_H_
#define LONGHAND_SERVER_LOG_LIMITER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace longhand {

class LogLimiter {
 public:
  static constexpr double kBurst = 20;  // lines
  static constexpr double kLinesPerSecond = 1;

  // Whether a line of `event` may be written at `now`, and if so how many were
  // not since the last. Events are of a closed set: one is remembered for ever.
  std::optional<uint64_t> Admit(std::string_view event, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Bucket {
    double lines = kBurst;
    absl::Time filled;
    uint64_t suppressed = 0;
  };

  absl::Mutex mu_;
  absl::flat_hash_map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_LOG_LIMITER_H_
