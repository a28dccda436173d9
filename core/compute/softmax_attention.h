// SoftmaxAttention: softmax(Q K^T) V, head by head, in one walk, dispatched on
// the CPU at run time (Google Highway). The scores of a few queries at a time
// stay in the first-level cache and the square of them is never there (Dao et
// al. 2022, arXiv:2205.14135). A plain function on the calling thread, safe
// from many threads with distinct workspaces. Its slow twin of the same name is
// in namespace reference (reference.h).
#ifndef LONGHAND_CORE_COMPUTE_SOFTMAX_ATTENTION_H_
#define LONGHAND_CORE_COMPUTE_SOFTMAX_ATTENTION_H_

#include <cstdint>

#include "core/compute/workspace.h"

namespace longhand {

struct SoftmaxAttentionArgs {
  // The heads of a row lie side by side.
  const float* queries;  // [num_queries, heads, head_dim], query_stride apart
  const float* keys;     // [num_keys, heads, head_dim], key_stride apart
  const float* values;   // [num_keys, heads, head_dim], key_stride apart
  int64_t query_stride;
  int64_t key_stride;
  int num_queries;
  int num_keys;  // 1 or more
  int num_heads;
  int head_dim;
  float scale;     // of the scores
  float* context;  // [num_queries, head_dim], context_stride apart
  int64_t context_stride;
  float* log_sums;  // [num_queries]: log(sum of e^score); null: not wanted
};

// A query's results do not depend on the other queries.
void SoftmaxAttention(const SoftmaxAttentionArgs& args, Workspace& workspace);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_SOFTMAX_ATTENTION_H_
