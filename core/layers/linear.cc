#include "core/layers/linear.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/tensor/tensor.h"

namespace longhand {

absl::StatusOr<PackedLinear> LoadLinear(absl::Span<const LinearSource> sources,
                                        int inputs, LinearOptions options) {
  // Read before anything of their size is allocated: what a configuration
  // asks for need not be there.
  std::vector<FloatBuffer> parts, biases;
  size_t outputs = 0;
  for (const LinearSource& source : sources) {
    LH_ASSIGN_OR_RETURN(
        FloatBuffer part,
        source.scope.LoadF32("weight", {source.outputs, inputs}));
    parts.push_back(std::move(part));
    biases.emplace_back();
    if (source.has_bias) {
      LH_ASSIGN_OR_RETURN(biases.back(),
                          source.scope.LoadF32("bias", {source.outputs}));
    }
    outputs += size_t(source.outputs);
  }
  FloatBuffer weights = FloatBuffer::Uninitialized(outputs * size_t(inputs));
  FloatBuffer bias = FloatBuffer::Zeroed(outputs);
  size_t row = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    std::copy_n(parts[i].data(), parts[i].size(),
                weights.data() + row * size_t(inputs));
    std::copy_n(biases[i].data(), biases[i].size(), bias.data() + row);
    row += size_t(sources[i].outputs);
  }
  return PackedLinear::Pack(weights.span(), bias.span(), inputs,
                            static_cast<int>(outputs), options);
}

}  // namespace longhand
