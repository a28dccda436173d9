// Embedding: token, position and (if the family has it) segment 0 vectors,
// added and normalised. Immutable once loaded; safe from many threads.
#ifndef LONGHAND_CORE_LAYERS_EMBEDDING_H_
#define LONGHAND_CORE_LAYERS_EMBEDDING_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/layers/layer_norm.h"
#include "core/tensor/tensor.h"

namespace longhand {

struct Embedding {
  int hidden_size = 0;
  FloatBuffer tokens;     // [vocabulary, hidden]
  FloatBuffer positions;  // [positions, hidden]
  FloatBuffer segment;    // [hidden], or empty
  LayerNorm norm;

  // out[rows, hidden]. REQUIRES: ids and positions lie inside the tables.
  void Apply(absl::Span<const int32_t> ids,
             absl::Span<const int32_t> position_ids, float* out) const;

  uint64_t byte_size() const {
    return tokens.byte_size() + positions.byte_size() + segment.byte_size() +
           norm.byte_size();
  }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_LAYERS_EMBEDDING_H_
