// Reading linear layers from a weight file into packed form.
#ifndef LONGHAND_CORE_LAYERS_LINEAR_H_
#define LONGHAND_CORE_LAYERS_LINEAR_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/compute/matmul.h"
#include "core/weights/weight_scope.h"

namespace longhand {

// Where one linear layer lies in the file.
struct LinearSource {
  WeightScope scope;
  int outputs = 0;
  bool has_bias = true;  // else it is 0
};

// Reads `weight` [outputs, inputs] and `bias` [outputs] of each source and
// packs them as one layer with their outputs side by side, in order. Errors are
// those of WeightScope::LoadF32.
absl::StatusOr<PackedLinear> LoadLinear(absl::Span<const LinearSource> sources,
                                        int inputs, LinearOptions options = {});

}  // namespace longhand

#endif  // LONGHAND_CORE_LAYERS_LINEAR_H_
