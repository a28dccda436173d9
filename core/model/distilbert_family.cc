// DistilBERT (Sanh et al. 2019): BERT's layers under other names, no segments.

#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {

absl::StatusOr<FamilyRecipe> MakeDistilBertFamily(const nlohmann::json& json) {
  LH_RETURN_IF_ERROR(CheckPlainEncoder(json));
  FamilyRecipe recipe;
  ModelConfig& config = recipe.config;
  config.family = "distilbert";
  LH_ASSIGN_OR_RETURN(config.hidden_size, GetInt(json, "dim", 1, 65536));
  LH_ASSIGN_OR_RETURN(config.num_layers, GetInt(json, "n_layers", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.num_heads, GetInt(json, "n_heads", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.intermediate_size,
                      GetInt(json, "hidden_dim", 1, 1 << 20));
  LH_ASSIGN_OR_RETURN(config.vocab_size,
                      GetInt(json, "vocab_size", 1, 1 << 24));
  LH_ASSIGN_OR_RETURN(config.position_rows,
                      GetInt(json, "max_position_embeddings", 1, 1 << 22));
  LH_ASSIGN_OR_RETURN(config.pad_token_id,
                      GetInt(json, "pad_token_id", 0, 1 << 24, 0));
  LH_ASSIGN_OR_RETURN(std::string activation,
                      GetString(json, "activation", "gelu"));
  LH_ASSIGN_OR_RETURN(config.activation, ActivationFromName(activation));
  config.layer_norm_eps = 1e-12f;  // fixed in the public implementation
  recipe.names = {
      .checkpoint_prefix = "distilbert",
      .token_embedding = "embeddings.word_embeddings",
      .position_embedding = "embeddings.position_embeddings",
      .segment_embedding = "",
      .embedding_norm = "embeddings.LayerNorm",
      .layers = "transformer.layer",
      .query = "attention.q_lin",
      .key = "attention.k_lin",
      .value = "attention.v_lin",
      .attention_output = "attention.out_lin",
      .attention_norm = "sa_layer_norm",
      .feed_forward_in = "ffn.lin1",
      .feed_forward_out = "ffn.lin2",
      .feed_forward_norm = "output_layer_norm",
      .ignored = {"embeddings.position_ids"},
      .ignored_heads = {"vocab_transform.", "vocab_layer_norm.",
                        "vocab_projector.", "pre_classifier.", "classifier.",
                        "qa_outputs."},
  };
  LH_RETURN_IF_ERROR(CheckSizes(config));
  return recipe;
}

}  // namespace longhand
