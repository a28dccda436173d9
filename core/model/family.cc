#include "core/model/family.h"

#include "absl/strings/str_cat.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"

namespace longhand {

#define FAMILY(name, make) FamilyFactory make;
#include "core/model/families.def"
#undef FAMILY

const Registry<FamilyFactory>& FamilyRegistry() {
  static constexpr Registry<FamilyFactory>::Entry kEntries[] = {
#define FAMILY(name, make) {name, &make},
#include "core/model/families.def"
#undef FAMILY
  };
  static const Registry<FamilyFactory> registry("model family",
                                                "MODEL_UNSUPPORTED", kEntries);
  return registry;
}

namespace {

absl::Status Unsupported(const std::string& what) {
  return MakeError(
      absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
      absl::StrCat(what, "; serve a plain encoder of a supported family"));
}

}  // namespace

absl::Status CheckPlainEncoder(const nlohmann::json& json) {
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    LH_ASSIGN_OR_RETURN(bool set, GetBool(json, key, false));
    if (set) return Unsupported(absl::StrCat("\"", key, "\" is true"));
  }
  LH_ASSIGN_OR_RETURN(std::string positions,
                      GetString(json, "position_embedding_type", "absolute"));
  if (positions != "absolute") {
    return Unsupported("\"position_embedding_type\" is not \"absolute\"");
  }
  if (json.contains("quantization_config") &&
      !json["quantization_config"].is_null()) {
    return Unsupported("\"quantization_config\" is set");
  }
  return absl::OkStatus();
}

absl::Status CheckSizes(const ModelConfig& config) {
  const auto invalid = [](const std::string& what) {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                     what);
  };
  if (config.head_size == 0 && config.hidden_size % config.num_heads != 0) {
    return invalid(absl::StrCat("the hidden size ", config.hidden_size,
                                " is not a multiple of the ", config.num_heads,
                                " attention heads"));
  }
  if (config.max_positions() < 8) {
    return invalid(absl::StrCat("only ", config.max_positions(),
                                " positions are left for tokens"));
  }
  if (config.pad_token_id >= config.vocab_size) {
    return invalid("\"pad_token_id\" is outside the vocabulary");
  }
  return absl::OkStatus();
}

absl::StatusOr<FamilyRecipe> ReadBertLike(const nlohmann::json& json) {
  LH_RETURN_IF_ERROR(CheckPlainEncoder(json));
  FamilyRecipe recipe;
  ModelConfig& config = recipe.config;
  LH_ASSIGN_OR_RETURN(config.hidden_size,
                      GetInt(json, "hidden_size", 1, 65536));
  LH_ASSIGN_OR_RETURN(config.num_layers,
                      GetInt(json, "num_hidden_layers", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.num_heads,
                      GetInt(json, "num_attention_heads", 1, 1024));
  LH_ASSIGN_OR_RETURN(config.intermediate_size,
                      GetInt(json, "intermediate_size", 1, 1 << 20));
  LH_ASSIGN_OR_RETURN(config.vocab_size,
                      GetInt(json, "vocab_size", 1, 1 << 24));
  LH_ASSIGN_OR_RETURN(config.segment_types,
                      GetInt(json, "type_vocab_size", 1, 65536, 2));
  LH_ASSIGN_OR_RETURN(config.position_rows,
                      GetInt(json, "max_position_embeddings", 1, 1 << 22));
  LH_ASSIGN_OR_RETURN(config.pad_token_id,
                      GetInt(json, "pad_token_id", 0, 1 << 24, 0));
  LH_ASSIGN_OR_RETURN(config.layer_norm_eps,
                      GetDouble(json, "layer_norm_eps", 0, 1, 1e-12));
  LH_ASSIGN_OR_RETURN(std::string activation,
                      GetString(json, "hidden_act", "gelu"));
  LH_ASSIGN_OR_RETURN(config.activation, ActivationFromName(activation));
  recipe.names = {
      .checkpoint_prefix = "",
      .token_embedding = "embeddings.word_embeddings",
      .position_embedding = "embeddings.position_embeddings",
      .segment_embedding = "embeddings.token_type_embeddings",
      .embedding_norm = "embeddings.LayerNorm",
      .layers = "encoder.layer",
      .query = "attention.self.query",
      .key = "attention.self.key",
      .value = "attention.self.value",
      .attention_output = "attention.output.dense",
      .attention_norm = "attention.output.LayerNorm",
      .feed_forward_in = "intermediate.dense",
      .feed_forward_out = "output.dense",
      .feed_forward_norm = "output.LayerNorm",
      .ignored = {"embeddings.position_ids", "embeddings.token_type_ids",
                  "pooler."},
      .ignored_heads = {"cls.", "classifier.", "lm_head.", "qa_outputs."},
  };
  return recipe;
}

}  // namespace longhand
