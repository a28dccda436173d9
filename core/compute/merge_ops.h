// Vector loops for joining attention outputs, dispatched on the CPU at run time
// (Google Highway). Plain functions on the calling thread, safe from many
// threads. Each has a slow twin of the same name in namespace reference
// (reference.h).
#ifndef LONGHAND_CORE_COMPUTE_MERGE_OPS_H_
#define LONGHAND_CORE_COMPUTE_MERGE_OPS_H_

#include <cstdint>

namespace longhand {

// SoftmaxRows, and log_sum[rows]: the log of each row's sum of exponentials
// before it was divided by it.
void SoftmaxRowsWithLogSum(float* x, int rows, int columns, int64_t stride,
                           float* log_sum);

// out[r] = a[r] . b for rows of `size` floats, `stride` apart.
void RowDots(const float* a, int64_t stride, int rows, const float* b,
             int64_t size, float* out);

// context[r] = (1 - share[r]) * context[r] + share[r] * scale[r] * other[r]
// for rows of `size` floats; context has its own row stride.
struct BlendRowsArgs {
  const float* other;  // [rows, size]
  const float* scale;  // [rows]
  const float* share;  // [rows], 0 to 1
  int rows;
  int64_t size;
  float* context;
  int64_t context_stride;
};
void BlendRows(const BlendRowsArgs& args);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_MERGE_OPS_H_
