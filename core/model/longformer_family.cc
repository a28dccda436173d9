// Longformer (Beltagy et al. 2020, arXiv:2004.05150): RoBERTa's layers and
// positions; every layer has the width of its window and a second set of
// projections for tokens with global attention.

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/model/family.h"

namespace longhand {
namespace {

constexpr int64_t kDefaultWindow = 512;
constexpr int64_t kMaxWindow = 1 << 20;

absl::Status InvalidWindow(const std::string& what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   absl::StrCat("\"attention_window\" ", what,
                                "; give one even number above 0, or one for "
                                "each layer"));
}

// The total widths [layers]: a token sees half of it to either side.
absl::StatusOr<std::vector<int64_t>> ReadWindows(const nlohmann::json& json,
                                                 int num_layers) {
  const auto found = json.find("attention_window");
  std::vector<int64_t> windows;
  if (found == json.end() || !found->is_array()) {
    LH_ASSIGN_OR_RETURN(
        const int64_t window,
        GetInt(json, "attention_window", 1, kMaxWindow, kDefaultWindow));
    windows.assign(size_t(num_layers), window);
  } else {
    if (found->size() != size_t(num_layers)) {
      return InvalidWindow(absl::StrCat("has ", found->size(), " numbers for ",
                                        num_layers, " layers"));
    }
    for (const nlohmann::json& window : *found) {
      LH_ASSIGN_OR_RETURN(windows.emplace_back(),
                          GetInt({{"attention_window", window}},
                                 "attention_window", 1, kMaxWindow));
    }
  }
  for (int64_t window : windows) {
    if (window % 2 != 0) return InvalidWindow(absl::StrCat("is odd: ", window));
  }
  return windows;
}

}  // namespace

absl::StatusOr<FamilyRecipe> MakeLongformerFamily(const nlohmann::json& json) {
  LH_ASSIGN_OR_RETURN(FamilyRecipe recipe, ReadBertLike(json));
  ModelConfig& config = recipe.config;
  config.family = "longformer";
  LH_ASSIGN_OR_RETURN(config.pad_token_id,
                      GetInt(json, "pad_token_id", 0, 1 << 24, 1));
  config.first_position = config.pad_token_id + 1;
  LH_RETURN_IF_ERROR(CheckSizes(config));
  config.default_chunk_rows = config.max_positions();
  config.default_mechanism = "longformer";
  LH_ASSIGN_OR_RETURN(std::vector<int64_t> windows,
                      ReadWindows(json, config.num_layers));
  TensorNames& names = recipe.names;
  names.checkpoint_prefix = "longformer";
  const int hidden = config.hidden_size;
  for (const char* role : {"query_global", "key_global", "value_global"}) {
    names.extras.push_back(
        {role, absl::StrCat("attention.self.", role), hidden, hidden});
  }
  names.extra_numbers = {{"window", std::move(windows)}};
  return recipe;
}

}  // namespace longhand
