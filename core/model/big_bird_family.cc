// BigBird (Zaheer et al. 2020, arXiv:2007.14062): BERT's layers; attention goes
// by blocks of tokens.

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {

absl::StatusOr<FamilyRecipe> MakeBigBirdFamily(const nlohmann::json& json) {
  LH_ASSIGN_OR_RETURN(FamilyRecipe recipe, ReadBertLike(json));
  ModelConfig& config = recipe.config;
  config.family = "big_bird";
  LH_RETURN_IF_ERROR(CheckSizes(config));
  config.default_chunk_rows = config.max_positions();
  config.default_mechanism = "big_bird";
  LH_ASSIGN_OR_RETURN(std::string activation,
                      GetString(json, "hidden_act", "gelu_new"));
  LH_ASSIGN_OR_RETURN(config.activation, ActivationFromName(activation));
  LH_ASSIGN_OR_RETURN(const bool rescale,
                      GetBool(json, "rescale_embeddings", false));
  if (rescale) config.embedding_scale = std::sqrt(float(config.hidden_size));
  LH_ASSIGN_OR_RETURN(const int64_t block_size,
                      GetInt(json, "block_size", 1, 1 << 20, 64));
  LH_ASSIGN_OR_RETURN(const int64_t random_blocks,
                      GetInt(json, "num_random_blocks", 0, 64, 3));
  LH_ASSIGN_OR_RETURN(const std::string type,
                      GetString(json, "attention_type", "block_sparse"));
  if (type != "block_sparse" && type != "original_full") {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                     absl::StrCat("\"attention_type\" is \"", type,
                                  "\"; it must be \"block_sparse\" or "
                                  "\"original_full\""));
  }
  TensorNames& names = recipe.names;
  names.checkpoint_prefix = "bert";
  names.ignored_heads.push_back("qa_classifier.");
  LH_ASSIGN_OR_RETURN(names.projection_bias, GetBool(json, "use_bias", true));
  const auto in_every_layer = [&config](std::string role, int64_t number) {
    return ExtraNumber{std::move(role),
                       std::vector<int64_t>(size_t(config.num_layers), number)};
  };
  names.extra_numbers = {
      in_every_layer("block_size", block_size),
      in_every_layer("random_blocks", random_blocks),
      in_every_layer("original_full", type == "original_full" ? 1 : 0)};
  return recipe;
}

}  // namespace longhand
