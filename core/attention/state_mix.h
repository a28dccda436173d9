// StateMix: sums of the states that chunks have selected, with their weights.
// Plain functions on the calling thread, safe from many threads with distinct
// workspaces.
#ifndef LONGHAND_CORE_ATTENTION_STATE_MIX_H_
#define LONGHAND_CORE_ATTENTION_STATE_MIX_H_

#include "absl/types/span.h"
#include "core/compute/workspace.h"
#include "core/state/layer_states.h"

namespace longhand {

// What one chunk takes of a head's blocks.
struct StateMix {
  absl::Span<const int> slots;  // ascending
  const float* weights;         // [slots.size()]
  float* sum;                   // [head_floats]: what is added to
};

// sum += weight * block for each slot in order, for every mix on its own. Only
// blocks that somebody takes something from are read, and each once. The blocks
// of this head have `head_floats` each.
void MixStates(const LayerStates& states, int head, int64_t head_floats,
               absl::Span<const StateMix> mixes, Workspace& workspace);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_STATE_MIX_H_
