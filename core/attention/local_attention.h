// Softmax attention inside one chunk, shared by the mechanisms that have it.
// Safe from many threads with distinct ComputeContexts.
#ifndef LONGHAND_CORE_ATTENTION_LOCAL_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_LOCAL_ATTENTION_H_

#include "core/attention/attention.h"

namespace longhand {

// context[rows, hidden] = softmax(Q K^T / sqrt(head_dim)) V, head by head.
// qkv: [rows, 3 * hidden]. log_sums [heads, rows], unless null: the log of each
// softmax's sum of exponentials.
void LocalSoftmaxAttention(const AttentionOptions& options, const float* qkv,
                           int rows, ComputeContext& compute, float* context,
                           float* log_sums = nullptr);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_LOCAL_ATTENTION_H_
