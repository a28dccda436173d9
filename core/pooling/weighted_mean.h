// The document side that the mean and the cls pooler share: a mean of the chunk
// vectors, weighted by the caller. Pure functions.
#ifndef LONGHAND_CORE_POOLING_WEIGHTED_MEAN_H_
#define LONGHAND_CORE_POOLING_WEIGHTED_MEAN_H_

#include "core/pooling/pooler.h"

namespace longhand {

inline void AddWeighted(absl::Span<const float> pooled, int64_t weight,
                        PoolState* state) {
  state->values.resize(pooled.size());
  for (size_t i = 0; i < pooled.size(); ++i) {
    state->values[i] += double{pooled[i]} * weight;
  }
  state->weight += weight;
}

inline void FinishWeighted(const PoolState& state, absl::Span<float> document) {
  for (size_t i = 0; i < document.size(); ++i) {
    document[i] = static_cast<float>(state.values[i] / state.weight);
  }
}

}  // namespace longhand

#endif  // LONGHAND_CORE_POOLING_WEIGHTED_MEAN_H_
