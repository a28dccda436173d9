// Hidden states against those of the public implementations, for every case of
// every folder below tests/testdata/parity. LONGHAND_PARITY_DIR adds a folder
// of such folders.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
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
#include "tests/core/base/temp_dir.h"
#include "tests/core/weights/safetensors_bytes.h"
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

std::string ReadBytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  LH_CHECK(in.good());
  return bytes.str();
}

// `file` with one more tensor.
std::string WithTensor(const std::string& file, const std::string& name,
                       const Shape& shape, const std::vector<float>& values) {
  uint64_t header_size;
  std::memcpy(&header_size, file.data(), sizeof(header_size));
  const size_t data_begin = sizeof(header_size) + header_size;
  auto header = nlohmann::json::parse(
      file.substr(sizeof(header_size), size_t(header_size)));
  const std::string data = file.substr(data_begin) + RawBytes(values);
  header[name] = {{"dtype", "F32"},
                  {"shape", std::vector<int64_t>(shape.begin(), shape.end())},
                  {"data_offsets", {file.size() - data_begin, data.size()}}};
  return SafetensorsBytes(header.dump(), data);
}

// A model's folder as it is loaded: with the random numbers that its cases were
// made with, if there are any, in a copy.
class ModelFolder {
 public:
  ModelFolder(const fs::path& folder, const testing::GoldenFile& cases)
      : path_(folder.string()) {
    const std::string tensor = "lsh_rotations";
    if (!cases.Has(tensor)) return;
    copy_.emplace();
    copy_->Write("config.json", ReadBytes(folder / "config.json"));
    copy_->Write("model.safetensors",
                 WithTensor(ReadBytes(folder / "model.safetensors"), tensor,
                            cases.shape(tensor), cases.Floats(tensor)));
    path_ = copy_->path();
  }

  const std::string& path() const { return path_; }

 private:
  std::optional<TempDir> copy_;
  std::string path_;
};

// What computes the published model.
std::string PublishedMechanism(const ModelConfig& config) {
  if (config.family == "bsbr") return "bsbr_reference";
  return config.default_mechanism.empty() ? "independent"
                                          : config.default_mechanism;
}

std::unique_ptr<const Attention> PublishedAttention(
    const Model& model, std::vector<int64_t> global_tokens) {
  const ModelConfig& config = model.config();
  auto attention = (**AttentionRegistry().Find(PublishedMechanism(config)))(
      {.num_heads = config.num_heads,
       .head_dim = config.head_dim(),
       .num_layers = config.num_layers,
       .retrieval = {.visibility = config.pads_chunks
                                       ? Visibility::kBidirectional
                                       : Visibility::kCausal},
       .global_tokens = std::move(global_tokens),
       .extras = model.layer_extras()});
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

// In the model's own chunks, if it is made of chunks.
std::vector<ChunkInput> Cut(const ModelConfig& config,
                            const ChunkInput& input) {
  if (!config.pads_chunks) return {input};
  const int chunk_rows = config.default_chunk_rows;
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

// One row of a case.
struct Row {
  std::vector<int32_t> ids;
  std::vector<int32_t> mask;
  std::vector<int64_t> global_tokens;
  std::vector<float> states;  // [tokens, output size], padding included
};

Row ReadRow(const testing::GoldenFile& cases, const std::string& name,
            int row) {
  const int64_t tokens = cases.shape(name + ".input_ids")[1];
  const auto ints = [&](const std::string& tensor, int32_t missing) {
    if (!cases.Has(name + tensor)) {
      return std::vector<int32_t>(size_t(tokens), missing);
    }
    const std::vector<int32_t> all = cases.Ints(name + tensor);
    return std::vector<int32_t>(all.begin() + row * tokens,
                                all.begin() + (row + 1) * tokens);
  };
  Row result = {.ids = ints(".input_ids", 0),
                .mask = ints(".attention_mask", 1)};
  const std::vector<int32_t> global = ints(".global_attention_mask", 0);
  for (int64_t t = 0; t < tokens; ++t) {
    if (global[size_t(t)] != 0) result.global_tokens.push_back(t);
  }
  const std::vector<float> states = cases.Floats(name + ".last_hidden_state");
  const int64_t size = tokens * cases.shape(name + ".last_hidden_state")[2];
  result.states.assign(states.begin() + row * size,
                       states.begin() + (row + 1) * size);
  return result;
}

// The rows of x [rows, size] that the mask keeps.
std::vector<float> Kept(const std::vector<float>& x,
                        const std::vector<int32_t>& mask) {
  const int64_t size = int64_t(x.size() / mask.size());
  std::vector<float> kept;
  for (size_t t = 0; t < mask.size(); ++t) {
    if (mask[t] == 0) continue;
    const auto begin = x.begin() + int64_t(t) * size;
    kept.insert(kept.end(), begin, begin + size);
  }
  return kept;
}

// All tokens with the mask or, for a mechanism that takes none, those that the
// mask keeps, at the positions that they have in the whole row.
ChunkInput MakeInput(const Model& model, const Row& row, bool with_mask) {
  const std::vector<int32_t> positions = model.PositionIds(row.ids);
  ChunkInput input;
  for (size_t t = 0; t < row.ids.size(); ++t) {
    if (!with_mask && row.mask[t] == 0) continue;
    input.ids.push_back(row.ids[t]);
    input.position_ids.push_back(positions[t]);
  }
  if (with_mask) input.mask.assign(row.mask.begin(), row.mask.end());
  input.own_end = input.rows();
  return input;
}

// The states of the tokens that are not padding against those expected.
void CheckRow(const std::shared_ptr<const Model>& model, const Row& row) {
  const auto attention = PublishedAttention(*model, row.global_tokens);
  const bool is_padded = std::count(row.mask.begin(), row.mask.end(), 0) > 0;
  const bool with_mask = is_padded && attention->takes_mask();
  const ChunkInput input = MakeInput(*model, row, with_mask);
  ASSERT_GT(input.rows(), 0);
  ForwardPass pass(model, attention.get(), Cut(model->config(), input), {}, {});
  ComputeContext compute;
  pass.RunAll(compute);
  std::vector<float> actual;
  for (int i = 0; i < pass.num_chunks(); ++i) {
    actual.insert(
        actual.end(), pass.hidden(i),
        pass.hidden(i) + int64_t{pass.rows(i)} * model->config().output_size());
  }
  if (with_mask) actual = Kept(actual, row.mask);
  const std::vector<float> expected = Kept(row.states, row.mask);
  ASSERT_EQ(actual.size(), expected.size());
  EXPECT_LE(testing::MaxAbsDifference(actual.data(), expected.data(),
                                      expected.size()),
            kMaxDifference);
  EXPECT_GE(testing::Cosine(actual.data(), expected.data(), expected.size()),
            kMinCosine);
}

TEST_P(ParityTest, HiddenStatesMatch) {
  testing::GoldenFile cases(GetParam() / "cases.safetensors");
  const ModelFolder folder(GetParam(), cases);
  auto model =
      Model::Load({.directory = folder.path(), .without_tokenizer = true});
  ASSERT_TRUE(model.ok()) << model.status();
  int rows = 0;
  for (int i = 0; cases.Has(absl::StrCat("case", i, ".input_ids")); ++i) {
    const std::string name = absl::StrCat("case", i);
    for (int row = 0; row < cases.shape(name + ".input_ids")[0];
         ++row, ++rows) {
      SCOPED_TRACE(absl::StrCat(name, " row ", row));
      CheckRow(*model, ReadRow(cases, name, row));
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
