// BSBR as the Python package `bsbr` publishes it (0.1.1): pre-norm layers,
// sinusoidal positions over the whole document, a normalisation at the end, and
// in every layer projections of its own for the retrieval between chunks. See
// docs/bsbr_model.md.

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {
namespace {

// A state has the square of a head's dimensions.
constexpr int kMaxHidden = 16384;

absl::Status CheckBsbrSizes(const ModelConfig& config) {
  LH_RETURN_IF_ERROR(CheckSizes(config));
  if (config.hidden_size % 2 != 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                     absl::StrCat("the hidden size ", config.hidden_size,
                                  " is odd; sines and cosines of positions "
                                  "need an even one"));
  }
  return absl::OkStatus();
}

std::vector<ExtraLinear> Extras(const ModelConfig& config, int compression) {
  const int hidden = config.hidden_size;
  std::vector<ExtraLinear> extras = {
      {"meta_query", "attention.meta_r_proj", hidden, hidden},
      {"meta_key", "attention.meta_h_proj", hidden, hidden}};
  if (compression > 0) {
    const int state = config.head_dim() * config.head_dim();
    const int compressed = hidden / compression;
    extras.push_back(
        {"compress", "attention.compress_proj", state, compressed});
    extras.push_back(
        {"decompress", "attention.decompress_proj", compressed, state});
  }
  return extras;
}

}  // namespace

absl::StatusOr<FamilyRecipe> MakeBsbrFamily(const nlohmann::json& json) {
  FamilyRecipe recipe;
  ModelConfig& config = recipe.config;
  config.family = "bsbr";
  LH_ASSIGN_OR_RETURN(config.hidden_size,
                      GetInt(json, "hidden_size", 1, kMaxHidden));
  LH_ASSIGN_OR_RETURN(config.num_layers,
                      GetInt(json, "num_hidden_layers", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.num_heads,
                      GetInt(json, "num_attention_heads", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.intermediate_size,
                      GetInt(json, "intermediate_size", 1, 1 << 20));
  LH_ASSIGN_OR_RETURN(config.vocab_size,
                      GetInt(json, "vocab_size", 1, 1 << 24));
  LH_ASSIGN_OR_RETURN(config.default_chunk_rows,
                      GetInt(json, "chunk_size", 1, kMaxEndlessChunkRows));
  // No compression if there is none.
  LH_ASSIGN_OR_RETURN(
      const int64_t compression,
      GetInt(json, "compression_factor", 0, config.hidden_size, 0));
  config.activation = Activation::kGeluErf;
  config.layer_norm_eps = 1e-5f;  // fixed in the package
  config.pre_norm = true;
  config.positions = ModelConfig::Positions::kDocument;
  config.special_tokens = false;
  config.pads_chunks = true;
  config.default_mechanism = "bsbr_causal";
  config.mechanisms = {"bsbr_causal", "bsbr_reference"};
  LH_RETURN_IF_ERROR(CheckBsbrSizes(config));
  recipe.names = {
      .checkpoint_prefix = "",
      .token_embedding = "embedding",
      .position_embedding = "",
      .position_buffer = "pos_encoding.pe",
      .segment_embedding = "",
      .embedding_norm = "",
      .layers = "layers",
      .final_norm = "layer_norm",
      .query = "attention.q_proj",
      .key = "attention.k_proj",
      .value = "attention.v_proj",
      .attention_output = "attention.out_proj",
      .attention_norm = "layer_norm1",
      .feed_forward_in = "ff.0",
      .feed_forward_out = "ff.3",
      .feed_forward_norm = "layer_norm2",
      .extras = Extras(config, static_cast<int>(compression)),
      .ignored = {},
      .ignored_heads = {},
  };
  return recipe;
}

}  // namespace longhand
