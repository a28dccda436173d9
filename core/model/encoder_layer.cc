#include "core/model/encoder_layer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/compute/vector_ops.h"
#include "core/layers/linear.h"

namespace longhand {

namespace {

// Query, key and value, or the family's own.
std::vector<LinearSource> ProjectionSources(const WeightScope& scope, int layer,
                                            const FamilyRecipe& recipe) {
  const TensorNames& names = recipe.names;
  const bool has_bias = names.projection_bias;
  std::vector<LinearSource> sources;
  if (!names.projections.empty()) {
    for (const Projection& projection : names.projections[size_t(layer)]) {
      sources.push_back(
          {scope.Scope(projection.name), projection.outputs, has_bias});
    }
    return sources;
  }
  for (const std::string& name : {names.query, names.key, names.value}) {
    sources.push_back(
        {scope.Scope(name), recipe.config.attention_size(), has_bias});
  }
  return sources;
}

}  // namespace

absl::StatusOr<EncoderLayer> EncoderLayer::Load(const WeightScope& scope,
                                                const WeightScope& file,
                                                int number,
                                                const FamilyRecipe& recipe,
                                                Precision precision) {
  const ModelConfig& config = recipe.config;
  const TensorNames& names = recipe.names;
  const int hidden = config.hidden_size;
  EncoderLayer layer;
  layer.pre_norm_ = config.pre_norm;
  LH_ASSIGN_OR_RETURN(
      layer.projections_,
      LoadLinear(ProjectionSources(scope, number, recipe), hidden,
                 {.activation = config.projection_activation,
                  .precision = precision}));
  LH_ASSIGN_OR_RETURN(layer.attention_output_,
                      LoadLinear({{scope.Scope(names.attention_output), hidden,
                                   names.attention_output_bias}},
                                 config.context_width(),
                                 {.accumulate = true, .precision = precision}));
  LH_ASSIGN_OR_RETURN(layer.attention_norm_,
                      LayerNorm::Load(scope.Scope(names.attention_norm), hidden,
                                      config.layer_norm_eps, config.norm));
  if (!names.feed_forward_in.empty()) {
    LH_RETURN_IF_ERROR(layer.LoadFeedForward(scope, recipe, precision));
  }
  LH_RETURN_IF_ERROR(layer.LoadExtras(scope, file, number, names));
  return layer;
}

absl::Status EncoderLayer::LoadFeedForward(const WeightScope& scope,
                                           const FamilyRecipe& recipe,
                                           Precision precision) {
  const ModelConfig& config = recipe.config;
  const TensorNames& names = recipe.names;
  const bool has_bias = names.feed_forward_bias;
  const LinearOptions activated{.activation = config.activation,
                                .precision = precision};
  const LinearOptions plain{.precision = precision};
  const bool is_gated = !names.feed_forward_gate.empty();
  LH_ASSIGN_OR_RETURN(
      feed_forward_in_,
      LoadLinear({{scope.Scope(names.feed_forward_in), config.intermediate_size,
                   has_bias}},
                 config.hidden_size, is_gated ? plain : activated));
  if (is_gated) {
    LH_ASSIGN_OR_RETURN(feed_forward_gate_,
                        LoadLinear({{scope.Scope(names.feed_forward_gate),
                                     config.intermediate_size, has_bias}},
                                   config.hidden_size, activated));
  }
  LH_ASSIGN_OR_RETURN(feed_forward_out_,
                      LoadLinear({{scope.Scope(names.feed_forward_out),
                                   config.hidden_size, has_bias}},
                                 config.intermediate_size,
                                 {.accumulate = true, .precision = precision}));
  LH_ASSIGN_OR_RETURN(
      feed_forward_norm_,
      LayerNorm::Load(scope.Scope(names.feed_forward_norm), config.hidden_size,
                      config.layer_norm_eps, config.norm));
  return absl::OkStatus();
}

absl::Status EncoderLayer::LoadExtras(const WeightScope& scope,
                                      const WeightScope& file, int number,
                                      const TensorNames& names) {
  for (const ExtraLinear& extra : names.extras) {
    // Always fp32: they cost little and decide much.
    LH_ASSIGN_OR_RETURN(
        PackedLinear linear,
        LoadLinear({{scope.Scope(extra.name), extra.outputs, extra.has_bias}},
                   extra.inputs));
    extras_.Add(extra.role, std::move(linear));
  }
  for (const ExtraTensor& extra : names.extra_tensors) {
    const WeightScope& source = extra.in_layer ? scope : file;
    if (extra.is_optional && !source.Has(extra.name)) continue;
    LH_ASSIGN_OR_RETURN(FloatBuffer tensor,
                        source.LoadF32(extra.name, extra.shape));
    extras_.AddTensor(extra.role, std::move(tensor));
  }
  for (const ExtraNumber& extra : names.extra_numbers) {
    extras_.AddNumber(extra.role, extra.by_layer[size_t(number)]);
  }
  return absl::OkStatus();
}

const float* EncoderLayer::Normalized(const LayerNorm& norm, const float* x,
                                      int rows, ComputeContext& compute) const {
  const size_t hidden = size_t(projections_.inputs());
  float* normalized =
      compute.workspace().Allocate<float>(size_t(PaddedRows(rows)) * hidden);
  std::copy_n(x, size_t(rows) * hidden, normalized);
  norm.Apply(rows, normalized);
  return normalized;
}

void EncoderLayer::Complete(const float* context, int rows,
                            ComputeContext& compute,
                            const Streams& streams) const {
  attention_output_.Apply(context, rows, compute, streams.attention_adds);
  if (!pre_norm_) attention_norm_.Apply(rows, streams.attention_adds);
  if (!has_feed_forward()) return;
  const float* input = pre_norm_
                           ? Normalized(feed_forward_norm_,
                                        streams.attention_adds, rows, compute)
                           : streams.attention_adds;
  const size_t size =
      size_t(PaddedRows(rows)) * size_t(feed_forward_in_->outputs());
  float* inner = compute.workspace().Allocate<float>(size);
  feed_forward_in_->Apply(input, rows, compute, inner);
  if (feed_forward_gate_) {
    float* gate = compute.workspace().Allocate<float>(size);
    feed_forward_gate_->Apply(input, rows, compute, gate);
    Multiply(gate, int64_t{rows} * feed_forward_in_->outputs(), inner);
  }
  feed_forward_out_->Apply(inner, rows, compute, streams.attention_reads);
  if (!pre_norm_) feed_forward_norm_.Apply(rows, streams.attention_reads);
}

uint64_t EncoderLayer::byte_size() const {
  uint64_t bytes = projections_.byte_size() + attention_output_.byte_size() +
                   attention_norm_.byte_size() +
                   feed_forward_norm_.byte_size() + extras_.byte_size();
  for (const auto* linear :
       {&feed_forward_in_, &feed_forward_gate_, &feed_forward_out_}) {
    if (*linear) bytes += (*linear)->byte_size();
  }
  return bytes;
}

}  // namespace longhand
