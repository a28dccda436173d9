// EncoderLayer: the weights of one post-norm transformer layer, and the parts
// of its forward pass around the attention. Immutable once loaded; safe from
// many threads with distinct ComputeContexts.
#ifndef LONGHAND_CORE_MODEL_ENCODER_LAYER_H_
#define LONGHAND_CORE_MODEL_ENCODER_LAYER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/compute/compute_context.h"
#include "core/compute/matmul.h"
#include "core/layers/layer_norm.h"
#include "core/model/family.h"
#include "core/weights/weight_scope.h"

namespace longhand {

class EncoderLayer {
 public:
  static absl::StatusOr<EncoderLayer> Load(const WeightScope& scope,
                                           const FamilyRecipe& recipe);

  // qkv[rows, 3 * hidden] = the projections of x[rows, hidden] side by side.
  // All buffers here have PaddedRows(rows) rows.
  void ProjectQkv(const float* x, int rows, ComputeContext& compute,
                  float* qkv) const {
    qkv_.Apply(x, rows, compute, qkv);
  }

  // x[rows, hidden] in place, from the attention's context[rows, hidden] to the
  // layer's output.
  void Complete(const float* context, int rows, ComputeContext& compute,
                float* x) const;

  uint64_t byte_size() const;

 private:
  PackedLinear qkv_;               // hidden -> 3 * hidden
  PackedLinear attention_output_;  // added to x
  LayerNorm attention_norm_;
  PackedLinear feed_forward_in_;   // hidden -> intermediate, activated
  PackedLinear feed_forward_out_;  // added to x
  LayerNorm feed_forward_norm_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_ENCODER_LAYER_H_
