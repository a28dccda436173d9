#include "core/model/encoder_layer.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/layers/linear.h"

namespace longhand {

absl::StatusOr<EncoderLayer> EncoderLayer::Load(const WeightScope& scope,
                                                const FamilyRecipe& recipe,
                                                Precision precision) {
  const ModelConfig& config = recipe.config;
  const TensorNames& names = recipe.names;
  const int hidden = config.hidden_size;
  const LinearOptions residual{.accumulate = true, .precision = precision};
  EncoderLayer layer;
  LH_ASSIGN_OR_RETURN(
      layer.qkv_, LoadLinear({scope.Scope(names.query), scope.Scope(names.key),
                              scope.Scope(names.value)},
                             hidden, hidden, {.precision = precision}));
  LH_ASSIGN_OR_RETURN(layer.attention_output_,
                      LoadLinear({scope.Scope(names.attention_output)}, hidden,
                                 hidden, residual));
  LH_ASSIGN_OR_RETURN(layer.attention_norm_,
                      LayerNorm::Load(scope.Scope(names.attention_norm), hidden,
                                      config.layer_norm_eps));
  LH_ASSIGN_OR_RETURN(
      layer.feed_forward_in_,
      LoadLinear({scope.Scope(names.feed_forward_in)}, hidden,
                 config.intermediate_size,
                 {.activation = config.activation, .precision = precision}));
  LH_ASSIGN_OR_RETURN(layer.feed_forward_out_,
                      LoadLinear({scope.Scope(names.feed_forward_out)},
                                 config.intermediate_size, hidden, residual));
  LH_ASSIGN_OR_RETURN(layer.feed_forward_norm_,
                      LayerNorm::Load(scope.Scope(names.feed_forward_norm),
                                      hidden, config.layer_norm_eps));
  layer.pre_norm_ = config.pre_norm;
  for (const ExtraLinear& extra : names.extras) {
    // Always fp32: once per chunk, they cost little and decide much.
    LH_ASSIGN_OR_RETURN(
        PackedLinear linear,
        LoadLinear({scope.Scope(extra.name)}, extra.inputs, extra.outputs));
    layer.extras_.Add(extra.role, std::move(linear));
  }
  return layer;
}

const float* EncoderLayer::Normalized(const LayerNorm& norm, const float* x,
                                      int rows, ComputeContext& compute) const {
  const size_t hidden = size_t(qkv_.inputs());
  float* normalized =
      compute.workspace().Allocate<float>(size_t(PaddedRows(rows)) * hidden);
  std::copy_n(x, size_t(rows) * hidden, normalized);
  norm.Apply(rows, normalized);
  return normalized;
}

void EncoderLayer::Complete(const float* context, int rows,
                            ComputeContext& compute, float* x) const {
  attention_output_.Apply(context, rows, compute, x);
  if (!pre_norm_) attention_norm_.Apply(rows, x);
  const float* input =
      pre_norm_ ? Normalized(feed_forward_norm_, x, rows, compute) : x;
  float* inner = compute.workspace().Allocate<float>(
      size_t(PaddedRows(rows)) * size_t(feed_forward_in_.outputs()));
  feed_forward_in_.Apply(input, rows, compute, inner);
  feed_forward_out_.Apply(inner, rows, compute, x);
  if (!pre_norm_) feed_forward_norm_.Apply(rows, x);
}

uint64_t EncoderLayer::byte_size() const {
  return qkv_.byte_size() + attention_output_.byte_size() +
         attention_norm_.byte_size() + feed_forward_in_.byte_size() +
         feed_forward_out_.byte_size() + feed_forward_norm_.byte_size() +
         extras_.byte_size();
}

}  // namespace longhand
