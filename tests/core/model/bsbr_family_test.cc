// The family `bsbr`: what its config.json may say, and what its models do
// differently from those of the other families.

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/model/model.h"
#include "core/weights/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = fs::path(LONGHAND_TESTDATA_DIR) / "parity" / "bsbr";

// A copy of the model that a test may spoil.
class BsbrFamilyTest : public ::testing::Test {
 protected:
  BsbrFamilyTest()
      : folder_(fs::path(::testing::TempDir()) /
                absl::StrCat("bsbr_family_", ::testing::UnitTest::GetInstance()
                                                 ->current_test_info()
                                                 ->name())) {
    fs::create_directories(folder_);
    for (const char* name : {"config.json", "model.safetensors"}) {
      fs::copy_file(kSource / name, folder_ / name,
                    fs::copy_options::overwrite_existing);
    }
  }
  ~BsbrFamilyTest() override { fs::remove_all(folder_); }

  absl::StatusOr<std::shared_ptr<const Model>> Load() const {
    return Model::Load(
        {.directory = folder_.string(), .without_tokenizer = true});
  }

  void SetConfig(const std::string& key, const nlohmann::json& value) const {
    nlohmann::json config = testing::ReadJsonFile(folder_ / "config.json");
    config[key] = value;
    std::ofstream(folder_ / "config.json") << config;
  }

  const fs::path folder_;
};

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST_F(BsbrFamilyTest, ReadsTheConfig) {
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelConfig& config = (*model)->config();
  EXPECT_EQ(config.family, "bsbr");
  EXPECT_EQ(config.default_chunk_rows, 16);
  EXPECT_EQ(config.default_mechanism, "bsbr_causal");
  EXPECT_TRUE(config.pre_norm);
  EXPECT_GT(config.max_positions(), 5000);
  ASSERT_EQ((*model)->layer_extras().size(), 2);
  EXPECT_NE((*model)->layer_extras()[1]->Find("meta_key"), nullptr);
  EXPECT_EQ((*model)->layer_extras()[1]->Find("compress"), nullptr);
  EXPECT_NE((*model)->final_norm(), nullptr);
}

TEST_F(BsbrFamilyTest, PositionsRunOnThroughTheDocument) {
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<int32_t> ids = {5, 0, 7};
  EXPECT_THAT((*model)->PositionIds(ids), ::testing::ElementsAre(0, 1, 2));
  EXPECT_THAT((*model)->PositionIds(ids, 6000),
              ::testing::ElementsAre(6000, 6001, 6002));
  constexpr int32_t kLast = std::numeric_limits<int32_t>::max();
  EXPECT_THAT((*model)->PositionIds(ids, int64_t{kLast} - 1),
              ::testing::ElementsAre(kLast - 1, kLast, kLast));
}

TEST_F(BsbrFamilyTest, OtherFamiliesStartAgainInEveryChunk) {
  const auto bert =
      Model::Load({.directory = (kSource.parent_path() / "bert").string(),
                   .without_tokenizer = true});
  ASSERT_TRUE(bert.ok()) << bert.status();
  EXPECT_THAT((*bert)->PositionIds({5, 0, 7}, 6000),
              ::testing::ElementsAre(0, 1, 2));
  EXPECT_THAT((*bert)->layer_extras(), ::testing::IsEmpty());
}

TEST_F(BsbrFamilyTest, RunsItsOwnMechanismsAlone) {
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->CheckMechanism("bsbr_causal").ok());
  EXPECT_TRUE((*model)->CheckMechanism("bsbr_reference").ok());
  for (const char* other : {"bsbr", "bsbr_exact", "independent"}) {
    const absl::Status status = (*model)->CheckMechanism(other);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(status), "MECHANISM_UNAVAILABLE");
    EXPECT_THAT(std::string(status.message()),
                ::testing::HasSubstr("bsbr_causal or bsbr_reference"));
  }
}

TEST_F(BsbrFamilyTest, RefusesConfigsThatMakeNoSense) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, int>>{{"hidden_size", 63},
                                                {"num_attention_heads", 5},
                                                {"chunk_size", 0},
                                                {"chunk_size", 1 << 20},
                                                {"compression_factor", 65}}) {
    fs::copy_file(kSource / "config.json", folder_ / "config.json",
                  fs::copy_options::overwrite_existing);
    SetConfig(key, value);
    const absl::Status status = Load().status();
    EXPECT_EQ(ReasonOf(status), "CONFIG_INVALID") << key << " " << value;
  }
}

TEST_F(BsbrFamilyTest, CompressionIsWhatTheConfigSays) {
  SetConfig("compression_factor", 4);
  const absl::Status missing = Load().status();
  EXPECT_EQ(ReasonOf(missing), "WEIGHTS_INVALID");
  EXPECT_THAT(std::string(missing.message()),
              ::testing::HasSubstr("compress_proj"));
}

TEST_F(BsbrFamilyTest, RefusesOtherPositions) {
  const fs::path path = folder_ / "model.safetensors";
  uint64_t offset = 0;
  {
    auto file = SafetensorsFile::Open(path.string());
    ASSERT_TRUE(file.ok());
    const TensorView* buffer = (*file)->Find("pos_encoding.pe");
    ASSERT_NE(buffer, nullptr);
    offset = uint64_t(static_cast<const uint8_t*>(buffer->data) -
                      (*file)->bytes().data());
  }
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    const float wrong = 0.25f;
    file.seekp(int64_t(offset + (4321 * 64 + 17) * sizeof(float)));
    file.write(reinterpret_cast<const char*>(&wrong), sizeof(wrong));
  }
  const absl::Status status = Load().status();
  EXPECT_EQ(ReasonOf(status), "WEIGHTS_INVALID");
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("position 4321, dimension 17"));
}

TEST_F(BsbrFamilyTest, TakesNoAdapter) {
  const absl::Status status =
      Model::Load({.directory = folder_.string(),
                   .without_tokenizer = true,
                   .adapter_file = (folder_ / "adapter").string()})
          .status();
  EXPECT_EQ(ReasonOf(status), "ADAPTER_INVALID");
}

}  // namespace
}  // namespace longhand
