// The family `reformer`: what its config.json may say, and the rotations that
// its seed gives.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/model/family.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "gtest/gtest.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

// The first row of a case from the model file alone, which has no rotations.
TEST(ReformerFamilyTest, TheSeedGivesThePublishedRotations) {
  for (const char* folder : {"reformer", "reformer_factors"}) {
    const std::string path =
        absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/", folder);
    const auto model =
        Model::Load({.directory = path, .without_tokenizer = true});
    ASSERT_TRUE(model.ok()) << model.status();
    const ModelConfig& config = (*model)->config();
    const auto attention = (**AttentionRegistry().Find("reformer"))(
        {.num_heads = config.num_heads,
         .head_dim = config.head_dim(),
         .num_layers = config.num_layers,
         .extras = (*model)->layer_extras()});
    ASSERT_TRUE(attention.ok());
    const testing::GoldenFile cases(path + "/cases.safetensors");
    const std::vector<int32_t> ids = cases.Ints("case3.input_ids");
    ChunkInput input;
    input.own_end = int(cases.shape("case3.input_ids")[1]);
    input.ids.assign(ids.begin(), ids.begin() + input.own_end);
    input.position_ids = (*model)->PositionIds(input.ids);
    const size_t size = input.ids.size() * size_t(config.output_size());
    ForwardPass pass(*model, attention->get(), {std::move(input)}, {}, {});
    ComputeContext compute;
    pass.RunAll(compute);
    EXPECT_LE(testing::MaxAbsDifference(
                  pass.hidden(0),
                  cases.Floats("case3.last_hidden_state").data(), size),
              2e-4);
  }
}

absl::StatusOr<FamilyRecipe> Recipe(const nlohmann::json& changes) {
  nlohmann::json json = {{"model_type", "reformer"}};
  json.update(changes);
  return (**FamilyRegistry().Find("reformer"))(json);
}

int64_t NumberOf(const FamilyRecipe& recipe, const std::string& role,
                 size_t layer) {
  for (const ExtraNumber& number : recipe.names.extra_numbers) {
    if (number.role == role) return number.by_layer.at(layer);
  }
  ADD_FAILURE() << role;
  return 0;
}

TEST(ReformerFamilyTest, DefaultsAreThePublicOnes) {
  const auto recipe = Recipe(nlohmann::json::object());
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  const ModelConfig& config = recipe->config;
  EXPECT_EQ(config.num_layers, 6);
  EXPECT_EQ(config.attention_size(), 12 * 64);
  EXPECT_EQ(config.output_size(), 512);
  EXPECT_EQ(config.max_positions(), 4096);
  EXPECT_EQ(config.default_chunk_rows, 4096);
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_EQ(config.positions, ModelConfig::Positions::kAxial);
  EXPECT_EQ(NumberOf(*recipe, "is_lsh", 0), 0);
  EXPECT_EQ(NumberOf(*recipe, "is_lsh", 5), 1);
  EXPECT_EQ(NumberOf(*recipe, "hash_seed", 1), 0);
  EXPECT_EQ(NumberOf(*recipe, "num_bucket_factors", 1), 0);
  EXPECT_EQ(NumberOf(*recipe, "bucket_limit", 1), 128);
  EXPECT_EQ(recipe->names.projections[0].size(), 3);
  EXPECT_EQ(recipe->names.projections[1].size(), 2);
}

TEST(ReformerFamilyTest, LengthsAreThoseOfTheKindsThatThereAre) {
  nlohmann::json json = {{"attn_layers", {"lsh", "local"}},
                         {"local_attn_chunk_length", 12},
                         {"lsh_attn_chunk_length", 8}};
  auto recipe = Recipe(json);
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_EQ(NumberOf(*recipe, "length_multiple", 0), 24);
  EXPECT_EQ(NumberOf(*recipe, "unfilled_length", 0), 8);
  json["attn_layers"] = {"local"};
  recipe = Recipe(json);
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_EQ(NumberOf(*recipe, "length_multiple", 0), 12);
  EXPECT_EQ(NumberOf(*recipe, "unfilled_length", 0), 12);
}

TEST(ReformerFamilyTest, ChunksEndWhereThePositionsDo) {
  const auto axial = Recipe({{"axial_pos_shape", {10, 30}}});
  ASSERT_TRUE(axial.ok()) << axial.status();
  EXPECT_EQ(axial->config.max_positions(), 300);
  EXPECT_EQ(axial->config.default_chunk_rows, 300);
  const auto table =
      Recipe({{"axial_pos_embds", false}, {"max_position_embeddings", 65536}});
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->config.positions, ModelConfig::Positions::kTable);
  EXPECT_EQ(table->config.max_positions(), 65536);
  EXPECT_EQ(table->config.default_chunk_rows, 4096);
}

TEST(ReformerFamilyTest, RefusesWhatItCannotCompute) {
  const auto reason = [](const nlohmann::json& changes) {
    return ReasonOf(Recipe(changes).status());
  };
  EXPECT_EQ(reason({{"is_decoder", true}}), "MODEL_UNSUPPORTED");
  EXPECT_EQ(reason({{"hidden_act", "tanh"}}), "MODEL_UNSUPPORTED");
  EXPECT_EQ(reason({{"local_attn_chunk_length", 65535},
                    {"lsh_attn_chunk_length", 65536}}),
            "CONFIG_INVALID");
  const std::vector<std::pair<std::string, nlohmann::json>> kInvalid = {
      {"attn_layers", nlohmann::json::array()},
      {"attn_layers", {"local", "global"}},
      {"attn_layers", "lsh"},
      {"num_buckets", 7},
      {"num_buckets", 0},
      {"num_buckets", "8"},
      {"num_buckets", nlohmann::json::array()},
      {"num_buckets", {4, 3}},
      {"num_buckets", {1 << 16, 1 << 16}},
      {"num_buckets", 1 << 24},
      {"num_hashes", 0},
      {"lsh_attn_chunk_length", 0},
      {"lsh_num_chunks_before", -1},
      {"axial_pos_shape", {64}},
      {"axial_pos_shape", {64, 0}},
      {"axial_pos_embds_dim", {64, 191}},
      {"pad_token_id", 320},
      {"hash_seed", 1.5}};
  for (const auto& [key, value] : kInvalid) {
    EXPECT_EQ(reason({{key, value}}), "CONFIG_INVALID") << key << " " << value;
  }
}

}  // namespace
}  // namespace longhand
