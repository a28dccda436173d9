// config.json of every family: what is accepted has sizes that fit each other
// and that no int overflows on.

#include <limits>
#include <string>

#include "core/base/json.h"
#include "core/model/family.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_meter.h"

namespace longhand::testing {
namespace {

// What a recipe may take for its layers, whatever the text says.
constexpr uint64_t kRecipeBytes = 16 << 20;

void CheckRecipe(const FamilyRecipe& recipe) {
  const ModelConfig& config = recipe.config;
  LH_CHECK(config.hidden_size > 0 && config.num_layers > 0);
  LH_CHECK(config.num_layers <= 4096);
  LH_CHECK(config.num_heads > 0 && config.vocab_size > 0);
  LH_CHECK(config.head_dim() > 0);
  LH_CHECK(int64_t{config.num_heads} * config.head_dim() <=
           std::numeric_limits<int>::max());
  LH_CHECK(config.attention_size() > 0 && config.context_width() > 0);
  LH_CHECK(config.max_positions() > 0);
  LH_CHECK(config.pad_token_id >= 0 && config.pad_token_id < config.vocab_size);
  LH_CHECK(config.layer_norm_eps >= 0 && config.layer_norm_eps <= 1);
  const TensorNames& names = recipe.names;
  LH_CHECK(!names.token_embedding.empty() && !names.layers.empty());
  for (const ExtraNumber& number : names.extra_numbers) {
    LH_CHECK(number.by_layer.size() == size_t(config.num_layers));
  }
  LH_CHECK(names.projections.empty() ||
           names.projections.size() == size_t(config.num_layers));
  for (const ExtraLinear& linear : names.extras) {
    LH_CHECK(linear.inputs > 0 && linear.outputs > 0);
  }
}

}  // namespace
}  // namespace longhand::testing

// The first byte chooses the family.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand;           // NOLINT
  using namespace longhand::testing;  // NOLINT
  FuzzInput input(data, size);
  static const auto* const names =
      new std::vector<std::string>(FamilyRegistry().Names());
  const std::string& family = (*names)[input.Choose(names->size())];
  const auto json = ParseJson(input.Rest());
  if (!json.ok()) return 0;
  MemoryMeter memory;
  const auto recipe = (**FamilyRegistry().Find(family))(*json);
  memory.CheckProportional(size, 64, kRecipeBytes);
  if (recipe.ok()) {
    CheckRecipe(*recipe);
  } else {
    CheckRefusal(recipe.status(), {absl::StatusCode::kInvalidArgument,
                                   absl::StatusCode::kUnimplemented});
  }
  return 0;
}
