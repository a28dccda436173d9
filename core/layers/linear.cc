#include "core/layers/linear.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/tensor/tensor.h"

namespace longhand {

absl::StatusOr<PackedLinear> LoadLinear(absl::Span<const WeightScope> scopes,
                                        int inputs, int outputs,
                                        LinearOptions options) {
  const size_t matrix_size = size_t(inputs) * size_t(outputs);
  FloatBuffer weights = FloatBuffer::Uninitialized(scopes.size() * matrix_size);
  FloatBuffer bias = FloatBuffer::Uninitialized(scopes.size() * outputs);
  for (size_t i = 0; i < scopes.size(); ++i) {
    LH_ASSIGN_OR_RETURN(FloatBuffer part,
                        scopes[i].LoadF32("weight", {outputs, inputs}));
    std::copy_n(part.data(), matrix_size, weights.data() + i * matrix_size);
    LH_ASSIGN_OR_RETURN(FloatBuffer part_bias,
                        scopes[i].LoadF32("bias", {outputs}));
    std::copy_n(part_bias.data(), outputs, bias.data() + i * outputs);
  }
  return PackedLinear::Pack(weights.span(), bias.span(), inputs,
                            outputs * static_cast<int>(scopes.size()), options);
}

}  // namespace longhand
