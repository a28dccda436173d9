// LatencyHistogram: any number of durations in a bounded memory, in buckets
// whose width is at most 1/128 of their values (as HdrHistogram does it). A
// value; const methods are safe from many threads.
#ifndef LONGHAND_CLIENT_LOAD_HISTOGRAM_H_
#define LONGHAND_CLIENT_LOAD_HISTOGRAM_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace longhand::client {

// Values of one bucket.
struct LatencyBucket {
  absl::Duration upper;  // the largest value that belongs to it
  uint64_t count = 0;
};

class LatencyHistogram {
 public:
  LatencyHistogram();

  // To the microsecond. Negative ones count as 0, those above 38 hours as that.
  void Record(absl::Duration latency);
  void Merge(const LatencyHistogram& other);

  uint64_t count() const { return count_; }
  // Exact; 0 if there is none.
  absl::Duration max() const { return max_; }
  absl::Duration Mean() const;
  // The smallest recorded value that `percent` of all do not exceed (nearest
  // rank), at most 1/128 too large and never above max(). 0 if there is none.
  absl::Duration Percentile(double percent) const;
  // Those that are not empty, ascending.
  std::vector<LatencyBucket> Buckets() const;

 private:
  std::vector<uint64_t> counts_;  // by bucket
  uint64_t count_ = 0;
  absl::Duration sum_;
  absl::Duration max_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_HISTOGRAM_H_
