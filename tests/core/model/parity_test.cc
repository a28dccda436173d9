// Hidden states against those of the public implementations, for every case of
// every folder below tests/testdata/parity. LONGHAND_PARITY_DIR adds a folder
// of such folders.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/attention/registry.h"
#include "core/compute/compute_context.h"
#include "core/model/family.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

namespace fs = std::filesystem;

constexpr double kMaxDifference = 2e-4;
constexpr double kMinCosine = 0.99999;

std::vector<fs::path> ParityFolders() {
  std::vector<fs::path> roots = {fs::path(LONGHAND_TESTDATA_DIR) / "parity"};
  if (const char* extra = std::getenv("LONGHAND_PARITY_DIR")) {
    roots.push_back(extra);
  }
  std::vector<fs::path> folders;
  for (const fs::path& root : roots) {
    for (const auto& entry : fs::directory_iterator(root)) {
      if (!fs::exists(entry.path() / "cases.safetensors")) continue;
      const std::string family =
          testing::ReadJsonFile(entry.path() / "config.json")["model_type"];
      // The extra folder may hold families that are not served.
      if (FamilyRegistry().Find(family).ok()) folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

class ParityTest : public ::testing::TestWithParam<fs::path> {};

// What computes the published model: its chunks, if it has any, with the
// mechanism that is as published; otherwise one chunk on its own.
std::unique_ptr<const Attention> PublishedAttention(const Model& model) {
  const ModelConfig& config = model.config();
  const bool has_chunks = config.default_chunk_rows > 0;
  auto attention = (**AttentionRegistry().Find(has_chunks ? "bsbr_reference"
                                                          : "independent"))(
      {.num_heads = config.num_heads,
       .head_dim = config.head_dim(),
       .num_layers = config.num_layers,
       .retrieval = {.visibility = has_chunks ? Visibility::kBidirectional
                                              : Visibility::kCausal},
       .extras = model.layer_extras()});
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

// In chunks of chunk_rows; 0: all of it in one.
std::vector<ChunkInput> Cut(const ChunkInput& input, int chunk_rows) {
  if (chunk_rows == 0) chunk_rows = input.rows();
  std::vector<ChunkInput> chunks;
  for (int begin = 0; begin < input.rows(); begin += chunk_rows) {
    const int end = std::min(input.rows(), begin + chunk_rows);
    chunks.push_back(
        {.ids = {input.ids.begin() + begin, input.ids.begin() + end},
         .position_ids = {input.position_ids.begin() + begin,
                          input.position_ids.begin() + end},
         .own_end = end - begin});
  }
  return chunks;
}

// One row of a case: the tokens that the mask keeps, at the positions that they
// have in the whole row, against their expected states.
void CheckRow(const std::shared_ptr<const Model>& model,
              const Attention& attention, const testing::GoldenFile& cases,
              const std::string& name, int row) {
  const Shape& shape = cases.shape(name + ".input_ids");
  const int tokens = static_cast<int>(shape[1]);
  const int hidden = model->config().hidden_size;
  const std::vector<int32_t> all_ids = cases.Ints(name + ".input_ids");
  const std::vector<int32_t> mask =
      cases.Has(name + ".attention_mask")
          ? cases.Ints(name + ".attention_mask")
          : std::vector<int32_t>(all_ids.size(), 1);
  const std::vector<int32_t> ids(all_ids.begin() + row * tokens,
                                 all_ids.begin() + (row + 1) * tokens);
  const std::vector<int32_t> positions = model->PositionIds(ids);
  const std::vector<float> states = cases.Floats(name + ".last_hidden_state");
  ChunkInput input;
  std::vector<float> expected;
  for (int t = 0; t < tokens; ++t) {
    if (mask[row * tokens + t] == 0) continue;
    input.ids.push_back(ids[t]);
    input.position_ids.push_back(positions[t]);
    const float* state = states.data() + (int64_t{row} * tokens + t) * hidden;
    expected.insert(expected.end(), state, state + hidden);
  }
  ASSERT_FALSE(input.ids.empty());
  ForwardPass pass(model, &attention,
                   Cut(input, model->config().default_chunk_rows), {}, {});
  ComputeContext compute;
  pass.RunAll(compute);
  std::vector<float> actual;
  for (int i = 0; i < pass.num_chunks(); ++i) {
    actual.insert(actual.end(), pass.hidden(i),
                  pass.hidden(i) + int64_t{pass.rows(i)} * hidden);
  }
  ASSERT_EQ(actual.size(), expected.size());
  EXPECT_LE(testing::MaxAbsDifference(actual.data(), expected.data(),
                                      expected.size()),
            kMaxDifference);
  EXPECT_GE(testing::Cosine(actual.data(), expected.data(), expected.size()),
            kMinCosine);
}

TEST_P(ParityTest, HiddenStatesMatch) {
  auto model = Model::Load(
      {.directory = GetParam().string(), .without_tokenizer = true});
  ASSERT_TRUE(model.ok()) << model.status();
  const std::unique_ptr<const Attention> attention =
      PublishedAttention(**model);
  testing::GoldenFile cases(GetParam() / "cases.safetensors");
  int rows = 0;
  for (int i = 0; cases.Has(absl::StrCat("case", i, ".input_ids")); ++i) {
    const std::string name = absl::StrCat("case", i);
    for (int row = 0; row < cases.shape(name + ".input_ids")[0];
         ++row, ++rows) {
      SCOPED_TRACE(absl::StrCat(name, " row ", row));
      CheckRow(*model, *attention, cases, name, row);
    }
  }
  EXPECT_GT(rows, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Folders, ParityTest, ::testing::ValuesIn(ParityFolders()),
    [](const auto& parameter) {
      std::string name = parameter.param.parent_path().filename().string() +
                         "_" + parameter.param.filename().string();
      std::replace_if(
          name.begin(), name.end(),
          [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); },
          '_');
      return absl::StrCat(parameter.index, "_", name);
    });

TEST(ParityFolders, EveryFamilyHasCases) {
  std::vector<std::string> families;
  for (const fs::path& folder : ParityFolders()) {
    families.push_back(
        testing::ReadJsonFile(folder / "config.json")["model_type"]);
  }
  for (const std::string& family : FamilyRegistry().Names()) {
    EXPECT_THAT(families, ::testing::Contains(family));
  }
}

}  // namespace
}  // namespace longhand
