#include "core/layers/embedding.h"

#include <algorithm>

#include "core/compute/vector_ops.h"

namespace longhand {

void Embedding::Apply(absl::Span<const int32_t> ids,
                      absl::Span<const int32_t> position_ids,
                      float* out) const {
  for (size_t r = 0; r < ids.size(); ++r) {
    float* row = out + r * hidden_size;
    std::copy_n(tokens.data() + int64_t{ids[r]} * hidden_size, hidden_size,
                row);
    if (!segment.empty()) AddTo(segment.data(), hidden_size, row);
    AddTo(positions.data() + int64_t{position_ids[r]} * hidden_size,
          hidden_size, row);
  }
  norm.Apply(static_cast<int>(ids.size()), out);
}

}  // namespace longhand
