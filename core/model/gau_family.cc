// A stack of gated attention units (Hua et al. 2022, arXiv:2202.10447) as the
// package FLASH-pytorch has them: token vectors, layers of the class GAU and
// nothing else, a normalisation at the end. config.json is ours, since the
// package has none.

#include <vector>

#include "core/attention/relative_buckets.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {
namespace {

TensorNames MakeNames(const ModelConfig& config) {
  const auto in_all_layers = [&](int64_t number) {
    return std::vector<int64_t>(size_t(config.num_layers), number);
  };
  return {
      .checkpoint_prefix = "",
      .token_embedding = "token_emb",
      .position_embedding = "",
      .segment_embedding = "",
      .embedding_norm = "",
      .layers = "layers",
      .final_norm = "norm",
      .query = "",
      .key = "",
      .value = "",
      // Values and gates; what queries and keys are made from.
      .projections = {size_t(config.num_layers),
                      {{"to_hidden.0", 2 * config.context_size},
                       {"to_qk.0", config.head_size}}},
      .attention_output = "to_out.0",
      .attention_norm = "norm",
      .feed_forward_in = "",
      .feed_forward_out = "",
      .feed_forward_norm = "",
      .extra_tensors =
          {{"offset_gamma", "offsetscale.gamma", {2, config.head_size}},
           {"offset_beta", "offsetscale.beta", {2, config.head_size}},
           {"relative_bias",
            "rel_pos_bias.relative_attention_bias.weight",
            {kRelativeBuckets, 1}}},
      .extra_numbers = {{"value_size", in_all_layers(config.context_size)},
                        {"hidden_size", in_all_layers(config.hidden_size)}},
      .ignored = {},
      .ignored_heads = {},
  };
}

}  // namespace

absl::StatusOr<FamilyRecipe> MakeGauFamily(const nlohmann::json& json) {
  FamilyRecipe recipe;
  ModelConfig& config = recipe.config;
  config.family = "gau";
  LH_ASSIGN_OR_RETURN(config.hidden_size,
                      GetInt(json, "hidden_size", 1, 65536));
  LH_ASSIGN_OR_RETURN(config.num_layers,
                      GetInt(json, "num_hidden_layers", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.head_size,
                      GetInt(json, "query_key_dim", 1, 65536));
  LH_ASSIGN_OR_RETURN(const double expansion,
                      GetDouble(json, "expansion_factor", 0, 64));
  LH_ASSIGN_OR_RETURN(config.vocab_size,
                      GetInt(json, "vocab_size", 1, 1 << 24));
  LH_ASSIGN_OR_RETURN(config.default_chunk_rows,
                      GetInt(json, "chunk_size", 1, kMaxEndlessChunkRows));
  LH_ASSIGN_OR_RETURN(config.layer_norm_eps,
                      GetDouble(json, "layer_norm_eps", 0, 1, 1e-5));
  config.num_heads = 1;
  // Rounded down, as in the package.
  config.context_size = static_cast<int>(expansion * config.hidden_size);
  if (config.context_size < 1) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                     "\"expansion_factor\" leaves no room for a value; give at "
                     "least 1 / hidden_size, such as 2");
  }
  config.projection_activation = Activation::kSilu;
  config.pre_norm = true;
  config.positions = ModelConfig::Positions::kNone;
  config.special_tokens = false;
  config.default_mechanism = "gau";
  config.mechanisms = {"gau"};
  LH_RETURN_IF_ERROR(CheckSizes(config));
  recipe.names = MakeNames(config);
  return recipe;
}

}  // namespace longhand
