#include "core/layers/linear.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/tensor/tensor.h"

namespace longhand {

absl::StatusOr<PackedLinear> LoadLinear(absl::Span<const LinearSource> sources,
                                        int inputs, LinearOptions options) {
  size_t outputs = 0;
  for (const LinearSource& source : sources) outputs += size_t(source.outputs);
  FloatBuffer weights = FloatBuffer::Uninitialized(outputs * size_t(inputs));
  FloatBuffer bias = FloatBuffer::Zeroed(outputs);
  size_t row = 0;
  for (const LinearSource& source : sources) {
    LH_ASSIGN_OR_RETURN(
        FloatBuffer part,
        source.scope.LoadF32("weight", {source.outputs, inputs}));
    std::copy_n(part.data(), part.size(),
                weights.data() + row * size_t(inputs));
    if (source.has_bias) {
      LH_ASSIGN_OR_RETURN(FloatBuffer part_bias,
                          source.scope.LoadF32("bias", {source.outputs}));
      std::copy_n(part_bias.data(), part_bias.size(), bias.data() + row);
    }
    row += size_t(source.outputs);
  }
  return PackedLinear::Pack(weights.span(), bias.span(), inputs,
                            static_cast<int>(outputs), options);
}

}  // namespace longhand
