#include "core/model/encoder_layer.h"

#include "core/base/status_macros.h"
#include "core/layers/linear.h"

namespace longhand {

absl::StatusOr<EncoderLayer> EncoderLayer::Load(const WeightScope& scope,
                                                const FamilyRecipe& recipe) {
  const ModelConfig& config = recipe.config;
  const TensorNames& names = recipe.names;
  const int hidden = config.hidden_size;
  const LinearOptions residual{.accumulate = true};
  EncoderLayer layer;
  LH_ASSIGN_OR_RETURN(
      layer.qkv_, LoadLinear({scope.Scope(names.query), scope.Scope(names.key),
                              scope.Scope(names.value)},
                             hidden, hidden));
  LH_ASSIGN_OR_RETURN(layer.attention_output_,
                      LoadLinear({scope.Scope(names.attention_output)}, hidden,
                                 hidden, residual));
  LH_ASSIGN_OR_RETURN(layer.attention_norm_,
                      LayerNorm::Load(scope.Scope(names.attention_norm), hidden,
                                      config.layer_norm_eps));
  LH_ASSIGN_OR_RETURN(
      layer.feed_forward_in_,
      LoadLinear({scope.Scope(names.feed_forward_in)}, hidden,
                 config.intermediate_size, {.activation = config.activation}));
  LH_ASSIGN_OR_RETURN(layer.feed_forward_out_,
                      LoadLinear({scope.Scope(names.feed_forward_out)},
                                 config.intermediate_size, hidden, residual));
  LH_ASSIGN_OR_RETURN(layer.feed_forward_norm_,
                      LayerNorm::Load(scope.Scope(names.feed_forward_norm),
                                      hidden, config.layer_norm_eps));
  return layer;
}

void EncoderLayer::Complete(const float* context, int rows,
                            ComputeContext& compute, float* x) const {
  attention_output_.Apply(context, rows, compute, x);
  attention_norm_.Apply(rows, x);
  float* inner = compute.workspace().Allocate<float>(
      size_t(PaddedRows(rows)) * size_t(feed_forward_in_.outputs()));
  feed_forward_in_.Apply(x, rows, compute, inner);
  feed_forward_out_.Apply(inner, rows, compute, x);
  feed_forward_norm_.Apply(rows, x);
}

uint64_t EncoderLayer::byte_size() const {
  return qkv_.byte_size() + attention_output_.byte_size() +
         attention_norm_.byte_size() + feed_forward_in_.byte_size() +
         feed_forward_out_.byte_size() + feed_forward_norm_.byte_size();
}

}  // namespace longhand
