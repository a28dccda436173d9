// EncoderLayer: the weights of one transformer layer, and the parts of its
// forward pass around the attention. Post-norm (normalised after attention and
// feed-forward) or pre-norm (before them), with one stream of hidden states or
// two, as the family has it. Immutable once loaded; safe from many threads with
// distinct ComputeContexts.
#ifndef LONGHAND_CORE_MODEL_ENCODER_LAYER_H_
#define LONGHAND_CORE_MODEL_ENCODER_LAYER_H_

#include <cstdint>
#include <optional>

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
  // Reads layer `number` from `scope`; `file` is the file's own scope.
  static absl::StatusOr<EncoderLayer> Load(const WeightScope& scope,
                                           const WeightScope& file, int number,
                                           const FamilyRecipe& recipe,
                                           Precision precision);

  // All buffers here have PaddedRows(rows) rows.

  // Hidden states [rows, hidden]: what the attention reads and the feed-forward
  // part adds to, and the other way round. The same unless the layers are
  // reversible.
  struct Streams {
    float* attention_reads;
    float* attention_adds;
  };

  // What the attention is computed from: x[rows, hidden] itself or, pre-norm, a
  // normalised copy in the workspace.
  const float* AttentionInput(const float* x, int rows,
                              ComputeContext& compute) const {
    return pre_norm_ ? Normalized(attention_norm_, x, rows, compute) : x;
  }

  // Of the arithmetic of its linear layers.
  Precision precision() const { return projections_.precision(); }
  // Floats of a row of the projections.
  int projected_size() const { return projections_.outputs(); }
  // projected[rows, projected_size()] = the projections of an AttentionInput
  // x[rows, hidden] side by side.
  void Project(const float* x, int rows, ComputeContext& compute,
               float* projected) const {
    projections_.Apply(x, rows, compute, projected);
  }

  // The streams in place, from the attention's context[rows, context_width] to
  // the layer's output.
  void Complete(const float* context, int rows, ComputeContext& compute,
                const Streams& streams) const;

  // What else the attention mechanism has here.
  const LayerExtras& extras() const { return extras_; }

  uint64_t byte_size() const;

 private:
  const float* Normalized(const LayerNorm& norm, const float* x, int rows,
                          ComputeContext& compute) const;

  absl::Status LoadFeedForward(const WeightScope& scope,
                               const FamilyRecipe& recipe, Precision precision);
  absl::Status LoadExtras(const WeightScope& scope, const WeightScope& file,
                          int number, const TensorNames& names);
  bool has_feed_forward() const { return feed_forward_in_.has_value(); }

  PackedLinear projections_;       // hidden -> projected_size()
  PackedLinear attention_output_;  // added
  LayerNorm attention_norm_;
  std::optional<PackedLinear> feed_forward_in_;    // hidden -> intermediate
  std::optional<PackedLinear> feed_forward_gate_;  // the same
  std::optional<PackedLinear> feed_forward_out_;   // added
  LayerNorm feed_forward_norm_;
  LayerExtras extras_;
  bool pre_norm_ = false;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_ENCODER_LAYER_H_
