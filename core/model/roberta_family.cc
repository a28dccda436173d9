// RoBERTa (Liu et al. 2019): BERT's layers; positions count the tokens that are
// not padding, from pad_token_id + 1.

#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {

absl::StatusOr<FamilyRecipe> MakeRobertaFamily(const nlohmann::json& json) {
  LH_ASSIGN_OR_RETURN(FamilyRecipe recipe, ReadBertLike(json));
  recipe.config.family = "roberta";
  recipe.config.first_position = recipe.config.pad_token_id + 1;
  recipe.names.checkpoint_prefix = "roberta";
  LH_RETURN_IF_ERROR(CheckSizes(recipe.config));
  return recipe;
}

}  // namespace longhand
