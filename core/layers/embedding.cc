#include "core/layers/embedding.h"

#include <algorithm>
#include <cmath>

#include "core/compute/vector_ops.h"

namespace longhand {

FloatBuffer Embedding::SinusoidFrequencies(int hidden) {
  FloatBuffer frequencies = FloatBuffer::Uninitialized(size_t(hidden) / 2);
  const float step = float(-std::log(10000.0) / hidden);
  for (int i = 0; i < hidden / 2; ++i) {
    frequencies.data()[i] = std::exp(float(2 * i) * step);
  }
  return frequencies;
}

void Embedding::AddSinusoids(int32_t position, float* row) const {
  for (const float frequency : frequencies.span()) {
    const float angle = float(position) * frequency;
    *row++ += std::sin(angle);
    *row++ += std::cos(angle);
  }
}

void Embedding::AddAxial(int32_t position, float* row) const {
  AddTo(axial.row_table.data() +
            int64_t{position / axial.columns} * axial.row_size,
        axial.row_size, row);
  AddTo(axial.column_table.data() +
            int64_t{position % axial.columns} * axial.column_size,
        axial.column_size, row + axial.row_size);
}

void Embedding::Apply(absl::Span<const int32_t> ids,
                      absl::Span<const int32_t> position_ids,
                      float* out) const {
  for (size_t r = 0; r < ids.size(); ++r) {
    float* row = out + r * hidden_size;
    std::copy_n(tokens.data() + int64_t{ids[r]} * hidden_size, hidden_size,
                row);
    if (scale != 1) Scale(scale, hidden_size, row);
    if (!segment.empty()) AddTo(segment.data(), hidden_size, row);
    if (!positions.empty()) {
      AddTo(positions.data() + int64_t{position_ids[r]} * hidden_size,
            hidden_size, row);
    } else if (axial.columns > 0) {
      AddAxial(position_ids[r], row);
    } else {
      AddSinusoids(position_ids[r], row);
    }
  }
  if (norm) norm->Apply(static_cast<int>(ids.size()), out);
}

}  // namespace longhand
