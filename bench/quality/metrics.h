// The figures of a retrieval experiment: which chunks answer a query, at which
// rank the first of them stands, and how sure a difference between two systems
// is. Pure functions; safe from any thread.
#ifndef LONGHAND_BENCH_QUALITY_METRICS_H_
#define LONGHAND_BENCH_QUALITY_METRICS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "bench/quality/text_units.h"

namespace longhand::quality {

// The chunks that answer a query whose gold range is `gold` (not empty): those
// that hold more than half of its bytes. If none does, because the range is cut
// into pieces, those that hold the most of it; none if no chunk touches it.
// Indices into `chunks`, rising.
struct CorrectChunks {
  std::vector<int> indices;
  bool majority = false;  // whether one holds more than half
};
CorrectChunks FindCorrectChunks(const ByteRange& gold,
                                absl::Span<const ByteRange> chunks);

// The rank, from 1, of the best of the `correct` entries: one more than the
// number of other entries that score at least as much. A tie, which is a
// difference below 1e-6, counts against the correct entry. 0, never found, if
// there is no correct entry. `correct` rises.
int RankOfBest(absl::Span<const float> scores, absl::Span<const int> correct);

struct RetrievalMetrics {
  double mrr = 0;          // mean of 1 / rank
  double recall_at_1 = 0;  // share of ranks 1
  double recall_at_10 = 0;
  int queries = 0;
};
RetrievalMetrics ComputeMetrics(absl::Span<const int> ranks);

// 1 / rank, and 0 for rank 0.
double ReciprocalRank(int rank);

struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;
};

// The mean of `differences` with its 95 % bootstrap interval (percentiles of
// `resamples` samples). Whole groups are drawn, with replacement: queries of
// one document are not independent. `groups` gives each difference's group,
// from 0 to fewer than its size. All zero for no differences.
Interval BootstrapMean(absl::Span<const double> differences,
                       absl::Span<const int> groups, int resamples,
                       uint64_t seed);

}  // namespace longhand::quality

#endif  // LONGHAND_BENCH_QUALITY_METRICS_H_
