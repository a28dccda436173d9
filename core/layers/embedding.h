// Embedding: token, position and (if the family has it) segment 0 vectors,
// added and, in most families, normalised. Immutable once loaded; safe from
// many threads.
#ifndef LONGHAND_CORE_LAYERS_EMBEDDING_H_
#define LONGHAND_CORE_LAYERS_EMBEDDING_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "core/layers/layer_norm.h"
#include "core/tensor/tensor.h"

namespace longhand {

struct Embedding {
  int hidden_size = 0;
  FloatBuffer tokens;     // [vocabulary, hidden]
  FloatBuffer positions;  // [positions, hidden], or empty: sinusoids
  FloatBuffer segment;    // [hidden], or empty
  // [hidden / 2], of the sinusoids; empty with a table.
  FloatBuffer frequencies;
  std::optional<LayerNorm> norm;

  // Sinusoids (Vaswani et al. 2017, arXiv:1706.03762, section 3.5) of `hidden`
  // dimensions, an even number: sine and cosine of position * frequency side by
  // side, with frequency i = 10000^(-2i / hidden), in float arithmetic.
  static FloatBuffer SinusoidFrequencies(int hidden);
  // row[hidden] += the sinusoids of a position.
  void AddSinusoids(int32_t position, float* row) const;

  // out[rows, hidden]. REQUIRES: ids and positions lie inside the tables.
  void Apply(absl::Span<const int32_t> ids,
             absl::Span<const int32_t> position_ids, float* out) const;

  uint64_t byte_size() const {
    return tokens.byte_size() + positions.byte_size() + segment.byte_size() +
           frequencies.byte_size() + (norm ? norm->byte_size() : 0);
  }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_LAYERS_EMBEDDING_H_
