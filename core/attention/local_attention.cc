#include "core/attention/local_attention.h"

#include <cmath>

#include "core/compute/softmax_attention.h"

namespace longhand {

void LocalSoftmaxAttention(const AttentionOptions& options, const float* qkv,
                           int rows, ComputeContext& compute, float* context,
                           float* log_sums) {
  const int hidden = options.hidden();
  const int64_t stride = 3 * int64_t{hidden};
  SoftmaxAttention(
      {.queries = qkv,
       .keys = qkv + hidden,
       .values = qkv + 2 * hidden,
       .query_stride = stride,
       .key_stride = stride,
       .num_queries = rows,
       .num_keys = rows,
       .num_heads = options.num_heads,
       .head_dim = options.head_dim,
       .scale = 1.0f / std::sqrt(static_cast<float>(options.head_dim)),
       .context = context,
       .context_stride = hidden,
       .log_sums = log_sums},
      compute.workspace());
}

}  // namespace longhand
