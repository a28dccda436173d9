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
  FloatBuffer positions;  // [positions, hidden], or empty
  FloatBuffer segment;    // [hidden], or empty
  // [hidden / 2], of the sinusoids; empty: none.
  FloatBuffer frequencies;
  // Axial positions (Kitaev et al. 2020, arXiv:2001.04451, section 3): position
  // p has row p / columns of the first table and row p % columns of the second,
  // side by side. Empty: none.
  struct Axial {
    int rows = 0, columns = 0;
    int row_size = 0, column_size = 0;  // their sum is hidden
    FloatBuffer row_table;              // [rows, row_size]
    FloatBuffer column_table;           // [columns, column_size]
  };
  Axial axial;
  // Factor of the token vectors.
  float scale = 1;
  std::optional<LayerNorm> norm;

  // Sinusoids (Vaswani et al. 2017, arXiv:1706.03762, section 3.5) of `hidden`
  // dimensions, an even number: sine and cosine of position * frequency side by
  // side, with frequency i = 10000^(-2i / hidden), in float arithmetic.
  static FloatBuffer SinusoidFrequencies(int hidden);
  // row[hidden] += the sinusoids of a position.
  void AddSinusoids(int32_t position, float* row) const;
  // row[hidden] += the axial vector of a position.
  void AddAxial(int32_t position, float* row) const;

  // out[rows, hidden]. REQUIRES: ids and positions lie inside the tables.
  void Apply(absl::Span<const int32_t> ids,
             absl::Span<const int32_t> position_ids, float* out) const;

  uint64_t byte_size() const {
    return tokens.byte_size() + positions.byte_size() + segment.byte_size() +
           frequencies.byte_size() + axial.row_table.byte_size() +
           axial.column_table.byte_size() + (norm ? norm->byte_size() : 0);
  }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_LAYERS_EMBEDDING_H_
