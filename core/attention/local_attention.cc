#include "core/attention/local_attention.h"

#include <algorithm>
#include <cmath>

#include "core/compute/matmul.h"
#include "core/compute/merge_ops.h"
#include "core/compute/vector_ops.h"

namespace longhand {

namespace {

// Query rows at a time, so that the scores of a long chunk stay small: 64 MiB.
// No chunk of a model with 512 positions is cut.
constexpr int kQueryRows = 512;
constexpr int64_t kMaxScores = int64_t{1} << 24;

}  // namespace

void LocalSoftmaxAttention(const AttentionOptions& options, const float* qkv,
                           int rows, ComputeContext& compute, float* context,
                           float* log_sums) {
  const int d = options.head_dim;
  const int hidden = options.hidden();
  const int64_t stride = 3 * int64_t{hidden};
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  const int tile = static_cast<int>(
      std::clamp<int64_t>(kMaxScores / rows, 1, std::min(rows, kQueryRows)));
  float* scores =
      compute.workspace().Allocate<float>(size_t(tile) * size_t(rows));
  for (int head = 0; head < options.num_heads; ++head) {
    const float* k = qkv + hidden + head * d;
    const float* v = k + hidden;
    for (int begin = 0; begin < rows; begin += tile) {
      const int count = std::min(tile, rows - begin);
      const float* q = qkv + begin * stride + head * d;
      Gemm(count, rows, d, scale, {q, stride}, {k, stride, /*transposed=*/true},
           scores, rows);
      // Both give the same bits.
      if (log_sums == nullptr) {
        SoftmaxRows(scores, count, rows, rows);
      } else {
        SoftmaxRowsWithLogSum(scores, count, rows, rows,
                              log_sums + int64_t{head} * rows + begin);
      }
      Gemm(count, d, rows, 1.0f, {scores, rows}, {v, stride},
           context + int64_t{begin} * hidden + head * d, hidden);
    }
  }
}

}  // namespace longhand
