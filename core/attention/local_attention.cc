#include "core/attention/local_attention.h"

#include <cmath>

#include "core/compute/matmul.h"
#include "core/compute/merge_ops.h"
#include "core/compute/vector_ops.h"

namespace longhand {

void LocalSoftmaxAttention(const AttentionOptions& options, const float* qkv,
                           int rows, ComputeContext& compute, float* context,
                           float* log_sums) {
  const int d = options.head_dim;
  const int hidden = options.hidden();
  const int64_t stride = 3 * int64_t{hidden};
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  float* scores =
      compute.workspace().Allocate<float>(size_t(rows) * size_t(rows));
  for (int head = 0; head < options.num_heads; ++head) {
    const float* q = qkv + head * d;
    const float* k = q + hidden;
    const float* v = k + hidden;
    Gemm(rows, rows, d, scale, {q, stride}, {k, stride, /*transposed=*/true},
         scores, rows);
    // Both give the same bits.
    if (log_sums == nullptr) {
      SoftmaxRows(scores, rows, rows, rows);
    } else {
      SoftmaxRowsWithLogSum(scores, rows, rows, rows,
                            log_sums + int64_t{head} * rows);
    }
    Gemm(rows, d, rows, 1.0f, {scores, rows}, {v, stride}, context + head * d,
         hidden);
  }
}

}  // namespace longhand
