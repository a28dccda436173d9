// WeightedSum: sums of many long vectors with weights, dispatched on the CPU at
// run time (Google Highway). A plain function on the calling thread, safe from
// many threads. Its slow twin of the same name is in namespace reference
// (reference.h).
#ifndef LONGHAND_CORE_COMPUTE_WEIGHTED_SUM_H_
#define LONGHAND_CORE_COMPUTE_WEIGHTED_SUM_H_

#include <cstdint>

#include "absl/types/span.h"

namespace longhand {

// For r in [0, rows): y[r] += sum over s in order of
// weights[r * weight_stride + s] * x[s], vectors of `size`. The order of
// summation of one row does not depend on the other rows, nor on how the
// sources are divided over several calls.
struct WeightedSumArgs {
  absl::Span<const float* const> x;  // [sources] of [size]
  const float* weights;              // [rows, sources]
  int64_t weight_stride;
  absl::Span<float* const> y;  // [rows] of [size]
  int64_t size;
};
void WeightedSum(const WeightedSumArgs& args);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_WEIGHTED_SUM_H_
