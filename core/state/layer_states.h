// LayerStates: the parts that the chunks of a document leave in one layer, in
// the document's order. A view; the states and the index must outlive it. Safe
// from many threads.
#ifndef LONGHAND_CORE_STATE_LAYER_STATES_H_
#define LONGHAND_CORE_STATE_LAYER_STATES_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/state/chunk_state.h"
#include "core/state/state_index.h"

namespace longhand {

struct LayerStates {
  absl::Span<const ChunkState* const> chunks;
  int layer = 0;  // among those that leave a part
  // [chunks]: where the meta values of each lie, for those who look at all of
  // them many times; may be empty.
  absl::Span<const float* const> metas = {};
  // Of the first chunks; may be null.
  const StateIndex* index = nullptr;

  int64_t size() const { return int64_t(chunks.size()); }
  const float* meta(int64_t slot) const {
    return metas.empty() ? chunks[slot]->meta(layer) : metas[slot];
  }
  // A head's block: in place, or decoded into buffer [head_floats].
  const float* Head(int64_t slot, int head, float* buffer) const {
    const ChunkState& state = *chunks[slot];
    const std::byte* packed = state.packed_head(layer, head);
    if (state.codec().is_identity()) {
      return reinterpret_cast<const float*>(packed);
    }
    state.codec().Decode(state.layout(), packed, buffer);
    return buffer;
  }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STATE_LAYER_STATES_H_
