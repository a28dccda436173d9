// The config.json of the family delta_net, and what a model of it is.

#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/model/family.h"
#include "core/model/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

std::string Folder() {
  return absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/delta_net");
}

absl::Status ReadConfig(const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json json = testing::ReadJsonFile(Folder() + "/config.json");
  change(json);
  return (**FamilyRegistry().Find("delta_net"))(json).status();
}

TEST(DeltaNetFamily, RefusesOtherVariants) {
  EXPECT_TRUE(ReadConfig([](auto&) {}).ok());
  const std::pair<const char*, nlohmann::json> kVariants[] = {
      {"allow_neg_eigval", true},
      {"attn", {{"layers", {1}}, {"num_heads", 4}}},
      {"attnres_block_size", 2},
      {"conv_bias", true},
      {"expand_k", 0.5},
      {"expand_v", 2},
      {"hidden_act", "powlu"},
      {"norm_first", true},
      {"qk_activation", "elu"},
      {"qk_norm", "sum"},
      {"quantization_config", {{"bits", 4}}},
      {"share_conv_kernel", true},
      {"use_beta", false},
      {"use_gate", true},
      {"use_output_norm", false},
      {"use_short_conv", false}};
  for (const auto& [key, value] : kVariants) {
    const absl::Status status = ReadConfig(
        [&key = key, &value = value](auto& json) { json[key] = value; });
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << key;
    const auto detail = GetErrorDetail(status);
    EXPECT_EQ(detail ? detail->reason : "", "MODEL_UNSUPPORTED");
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(key));
  }
  const absl::Status uneven =
      ReadConfig([](auto& json) { json["num_heads"] = 5; });
  EXPECT_EQ(uneven.code(), absl::StatusCode::kInvalidArgument);
  const absl::Status missing =
      ReadConfig([](auto& json) { json.erase("num_heads"); });
  EXPECT_THAT(std::string(missing.message()),
              ::testing::HasSubstr("num_heads"));
}

TEST(DeltaNetFamily, FillsInTheFeedForwardSize) {
  nlohmann::json json = testing::ReadJsonFile(Folder() + "/config.json");
  json["intermediate_size"] = nullptr;
  const auto size = [&] {
    const auto recipe = (**FamilyRegistry().Find("delta_net"))(json);
    LH_CHECK(recipe.ok());
    return recipe->config.intermediate_size;
  };
  EXPECT_EQ(size(), 256);  // 64 * 4 * 2 / 3 = 170
  json["hidden_size"] = 2048;
  json["num_heads"] = 16;
  EXPECT_EQ(size(), 5632);  // 5461
  json["hidden_ratio"] = 2;
  EXPECT_EQ(size(), 2816);  // 2730
}

TEST(DeltaNetFamily, RunsItsOwnMechanismAlone) {
  auto loaded = Model::Load({.directory = Folder(), .without_tokenizer = true});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Model* model = loaded->get();
  EXPECT_TRUE(model->CheckMechanism("delta_net").ok());
  EXPECT_FALSE(model->CheckMechanism("independent").ok());
  EXPECT_EQ(model->config().default_mechanism, "delta_net");
  EXPECT_EQ(model->config().default_chunk_rows, 128);
  EXPECT_THAT(model->info().ignored_tensors,
              ::testing::ElementsAre("lm_head.weight"));
}

}  // namespace
}  // namespace longhand
