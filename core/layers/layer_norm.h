// LayerNorm: scale and bias of a layer normalisation, or the scale of a root
// mean square normalisation. Immutable once loaded; safe from many threads.
#ifndef LONGHAND_CORE_LAYERS_LAYER_NORM_H_
#define LONGHAND_CORE_LAYERS_LAYER_NORM_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "core/tensor/tensor.h"
#include "core/weights/weight_scope.h"

namespace longhand {

enum class NormKind { kLayerNorm, kRmsNorm };

class LayerNorm {
 public:
  // No parameters; must be assigned before use.
  LayerNorm() = default;

  // Reads `weight` [size] and, unless kRmsNorm, `bias` [size] of `scope`.
  static absl::StatusOr<LayerNorm> Load(const WeightScope& scope, int size,
                                        float eps,
                                        NormKind kind = NormKind::kLayerNorm);

  // x: [rows, size], in place.
  void Apply(int rows, float* x) const;

  uint64_t byte_size() const { return scale_.byte_size() + bias_.byte_size(); }

 private:
  FloatBuffer scale_;  // [size]
  FloatBuffer bias_;   // [size], or empty: kRmsNorm
  float eps_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_LAYERS_LAYER_NORM_H_
