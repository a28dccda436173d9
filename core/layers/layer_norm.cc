#include "core/layers/layer_norm.h"

#include "core/base/status_macros.h"
#include "core/compute/vector_ops.h"

namespace longhand {

absl::StatusOr<LayerNorm> LayerNorm::Load(const WeightScope& scope, int size,
                                          float eps) {
  LayerNorm norm;
  LH_ASSIGN_OR_RETURN(norm.scale_, scope.LoadF32("weight", {size}));
  LH_ASSIGN_OR_RETURN(norm.bias_, scope.LoadF32("bias", {size}));
  norm.eps_ = eps;
  return norm;
}

void LayerNorm::Apply(int rows, float* x) const {
  LayerNormRows(x, rows, static_cast<int>(scale_.size()), scale_.data(),
                bias_.data(), eps_);
}

}  // namespace longhand
