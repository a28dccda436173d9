// BERT (Devlin et al. 2018): positions from 0, two segments.

#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {

absl::StatusOr<FamilyRecipe> MakeBertFamily(const nlohmann::json& json) {
  LH_ASSIGN_OR_RETURN(FamilyRecipe recipe, ReadBertLike(json));
  recipe.config.family = "bert";
  recipe.names.checkpoint_prefix = "bert";
  LH_RETURN_IF_ERROR(CheckSizes(recipe.config));
  return recipe;
}

}  // namespace longhand
