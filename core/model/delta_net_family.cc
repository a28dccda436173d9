// DeltaNet (Yang et al. 2024, arXiv:2406.06484) as flash-linear-attention
// publishes it: pre-norm layers without positions, whose attention is a
// recurrence with its own parameters (core/attention/delta_net_attention.cc),
// and a gated feed-forward part. The head of the language model is left out.

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/family.h"

namespace longhand {
namespace {

constexpr int kMaxHidden = 65536;
constexpr int kDefaultChunkRows = 128;
// The public implementation rounds the size of the feed-forward part up to a
// multiple of this where config.json leaves it open.
constexpr int64_t kIntermediateUnit = 256;

absl::Status Unsupported(std::string_view key, std::string_view wanted) {
  return MakeError(
      absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
      absl::StrCat("\"", ToAbsl(key), "\" is not ", ToAbsl(wanted),
                   ", the only form of this family that is computed here; "
                   "serve a model that has it"));
}

// Variants of the architecture.
absl::Status CheckVariant(const nlohmann::json& json) {
  constexpr std::pair<std::string_view, bool> kFlags[] = {
      {"allow_neg_eigval", false}, {"conv_bias", false},
      {"norm_first", false},       {"share_conv_kernel", false},
      {"use_beta", true},          {"use_gate", false},
      {"use_output_norm", true},   {"use_short_conv", true}};
  for (const auto& [key, wanted] : kFlags) {
    LH_ASSIGN_OR_RETURN(const bool value, GetBool(json, key, wanted));
    if (value != wanted) return Unsupported(key, wanted ? "true" : "false");
  }
  for (std::string_view key : {"expand_k", "expand_v"}) {
    LH_ASSIGN_OR_RETURN(const double value, GetDouble(json, key, 0, 1024, 1));
    if (value != 1) return Unsupported(key, "1");
  }
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"qk_activation", "silu"}, {"qk_norm", "l2"}};
  for (const auto& [key, wanted] : kNames) {
    LH_ASSIGN_OR_RETURN(const std::string value,
                        GetString(json, key, std::string(wanted)));
    if (value != wanted) {
      return Unsupported(key, absl::StrCat("\"", ToAbsl(wanted), "\""));
    }
  }
  for (const char* key :
       {"attn", "attnres_block_size", "quantization_config"}) {
    if (json.contains(key) && !json[key].is_null()) {
      return Unsupported(key, "null");
    }
  }
  const absl::StatusOr<std::string> activation =
      GetString(json, "hidden_act", "swish");
  if (!activation.ok()) return activation.status();
  if (*activation != "swish" && *activation != "silu") {
    return Unsupported("hidden_act", "\"swish\"");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> IntermediateSize(const nlohmann::json& json, int hidden) {
  LH_ASSIGN_OR_RETURN(const int64_t ratio,
                      GetInt(json, "hidden_ratio", 1, 64, 4));
  const int64_t units =
      (int64_t{hidden} * ratio * 2 / 3 + kIntermediateUnit - 1) /
      kIntermediateUnit;
  LH_ASSIGN_OR_RETURN(
      const int64_t size,
      GetInt(json, "intermediate_size", 1, 1 << 23, units * kIntermediateUnit));
  return static_cast<int>(size);
}

// What the mechanism asks for.
void AddMechanismParameters(const ModelConfig& config, int width, double eps,
                            TensorNames* names) {
  const int hidden = config.hidden_size;
  names->extras = {{.role = "beta",
                    .name = "attn.b_proj",
                    .inputs = hidden,
                    .outputs = config.num_heads,
                    .has_bias = false}};
  constexpr std::pair<const char*, const char*> kConvolutions[] = {
      {"query_convolution", "attn.q_conv1d.weight"},
      {"key_convolution", "attn.k_conv1d.weight"},
      {"value_convolution", "attn.v_conv1d.weight"}};
  for (const auto& [role, name] : kConvolutions) {
    names->extra_tensors.push_back(
        {.role = role, .name = name, .shape = {hidden, 1, width}});
  }
  names->extra_tensors.push_back({.role = "output_norm",
                                  .name = "attn.o_norm.weight",
                                  .shape = {config.head_dim()}});
  names->extra_numbers.push_back(
      {.role = "output_norm_eps_trillionths",
       .by_layer = std::vector<int64_t>(size_t(config.num_layers),
                                        std::llround(eps * 1e12))});
}

}  // namespace

absl::StatusOr<FamilyRecipe> MakeDeltaNetFamily(const nlohmann::json& json) {
  LH_RETURN_IF_ERROR(CheckVariant(json));
  FamilyRecipe recipe;
  ModelConfig& config = recipe.config;
  config.family = "delta_net";
  LH_ASSIGN_OR_RETURN(config.hidden_size,
                      GetInt(json, "hidden_size", 1, kMaxHidden));
  LH_ASSIGN_OR_RETURN(config.num_layers,
                      GetInt(json, "num_hidden_layers", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.num_heads, GetInt(json, "num_heads", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.intermediate_size,
                      IntermediateSize(json, config.hidden_size));
  LH_ASSIGN_OR_RETURN(config.vocab_size,
                      GetInt(json, "vocab_size", 1, 1 << 24));
  LH_ASSIGN_OR_RETURN(const int64_t width, GetInt(json, "conv_size", 1, 64, 4));
  LH_ASSIGN_OR_RETURN(const double eps,
                      GetDouble(json, "norm_eps", 1e-12, 1, 1e-6));
  config.activation = Activation::kSilu;
  config.layer_norm_eps = static_cast<float>(eps);
  config.norm = NormKind::kRmsNorm;
  config.pre_norm = true;
  config.positions = ModelConfig::Positions::kNone;
  config.special_tokens = false;
  config.default_chunk_rows = kDefaultChunkRows;
  config.default_mechanism = "delta_net";
  config.mechanisms = {"delta_net"};
  LH_RETURN_IF_ERROR(CheckSizes(config));
  recipe.names = {
      .checkpoint_prefix = "model",
      .token_embedding = "embeddings",
      .position_embedding = "",
      .segment_embedding = "",
      .embedding_norm = "",
      .layers = "layers",
      .final_norm = "norm",
      .query = "attn.q_proj",
      .key = "attn.k_proj",
      .value = "attn.v_proj",
      .attention_output = "attn.o_proj",
      .attention_norm = "attn_norm",
      .feed_forward_in = "mlp.up_proj",
      .feed_forward_out = "mlp.down_proj",
      .feed_forward_norm = "mlp_norm",
      .feed_forward_gate = "mlp.gate_proj",
      .projection_bias = false,
      .attention_output_bias = false,
      .feed_forward_bias = false,
      .ignored = {},
      .ignored_heads = {"lm_head."},
  };
  AddMechanismParameters(config, static_cast<int>(width), eps, &recipe.names);
  return recipe;
}

}  // namespace longhand
