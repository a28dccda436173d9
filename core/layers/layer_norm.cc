#include "core/layers/layer_norm.h"

#include "core/base/status_macros.h"
#include "core/compute/vector_ops.h"

namespace longhand {

absl::StatusOr<LayerNorm> LayerNorm::Load(const WeightScope& scope, int size,
                                          float eps, NormKind kind) {
  LayerNorm norm;
  LH_ASSIGN_OR_RETURN(norm.scale_, scope.LoadF32("weight", {size}));
  if (kind == NormKind::kLayerNorm) {
    LH_ASSIGN_OR_RETURN(norm.bias_, scope.LoadF32("bias", {size}));
  }
  norm.eps_ = eps;
  return norm;
}

void LayerNorm::Apply(int rows, float* x) const {
  const int size = static_cast<int>(scale_.size());
  if (bias_.empty()) {
    RmsNormRows(x, rows, size, scale_.data(), size, eps_);
  } else {
    LayerNormRows(x, rows, size, scale_.data(), bias_.data(), eps_);
  }
}

}  // namespace longhand
