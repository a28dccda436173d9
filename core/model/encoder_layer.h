// EncoderLayer: the weights of one transformer layer, and the parts of its
// forward pass around the attention. Post-norm (normalised after attention and
// feed-forward) or pre-norm (before them), as the family has it. Immutable once
// loaded; safe from many threads with distinct ComputeContexts.
#ifndef LONGHAND_CORE_MODEL_ENCODER_LAYER_H_
#define LONGHAND_CORE_MODEL_ENCODER_LAYER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/attention/layer_extras.h"
#include "core/compute/compute_context.h"
#include "core/compute/matmul.h"
#include "core/compute/precision.h"
#include "core/layers/layer_norm.h"
#include "core/model/family.h"
#include "core/weights/weight_scope.h"

namespace longhand {

class EncoderLayer {
 public:
  static absl::StatusOr<EncoderLayer> Load(const WeightScope& scope,
                                           const FamilyRecipe& recipe,
                                           Precision precision);

  // All buffers here have PaddedRows(rows) rows.

  // What the attention is computed from: x[rows, hidden] itself or, pre-norm, a
  // normalised copy in the workspace.
  const float* AttentionInput(const float* x, int rows,
                              ComputeContext& compute) const {
    return pre_norm_ ? Normalized(attention_norm_, x, rows, compute) : x;
  }

  // qkv[rows, 3 * hidden] = the projections of an AttentionInput x[rows,
  // hidden] side by side.
  void ProjectQkv(const float* x, int rows, ComputeContext& compute,
                  float* qkv) const {
    qkv_.Apply(x, rows, compute, qkv);
  }

  // x[rows, hidden] in place, from the attention's context[rows, hidden] to the
  // layer's output.
  void Complete(const float* context, int rows, ComputeContext& compute,
                float* x) const;

  // What else the attention mechanism has here.
  const LayerExtras& extras() const { return extras_; }

  uint64_t byte_size() const;

 private:
  const float* Normalized(const LayerNorm& norm, const float* x, int rows,
                          ComputeContext& compute) const;

  PackedLinear qkv_;               // hidden -> 3 * hidden
  PackedLinear attention_output_;  // added to x
  LayerNorm attention_norm_;
  PackedLinear feed_forward_in_;   // hidden -> intermediate, activated
  PackedLinear feed_forward_out_;  // added to x
  LayerNorm feed_forward_norm_;
  LayerExtras extras_;
  bool pre_norm_ = false;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_ENCODER_LAYER_H_
