// Block retrieval against an independent PyTorch implementation, by the golden
// files of tools/make_golden.py: chunk by chunk, for every run in the file.

#include "tests/testing/golden.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/compute/compute_context.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "core/pooling/pooler.h"
#include "core/pooling/registry.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

struct GoldenDocument {
  std::shared_ptr<const Model> model;
  nlohmann::json info;
  std::unique_ptr<testing::GoldenFile> tensors;
  std::vector<ChunkInput> chunks;
};

GoldenDocument LoadDocument(const std::string& name, const std::string& model,
                            bool without_tokenizer) {
  GoldenDocument document;
  auto loaded =
      Model::Load({.directory = model, .without_tokenizer = without_tokenizer});
  LH_CHECK(loaded.ok());
  document.model = *loaded;
  const std::string base = absl::StrCat(LONGHAND_GOLDEN_DIR, "/", name);
  document.info = testing::ReadJsonFile(base + ".json");
  document.tensors =
      std::make_unique<testing::GoldenFile>(base + ".safetensors");
  const std::vector<int32_t> prefix = document.info["prefix_ids"];
  const std::vector<int32_t> suffix = document.info["suffix_ids"];
  const std::vector<int32_t> ids = document.tensors->Ints("token_ids");
  const size_t content = size_t(document.info["chunk_tokens"].get<int>()) -
                         prefix.size() - suffix.size();
  for (size_t begin = 0; begin < ids.size(); begin += content) {
    const size_t end = std::min(begin + content, ids.size());
    ChunkInput chunk;
    chunk.ids = prefix;
    chunk.ids.insert(chunk.ids.end(), ids.begin() + begin, ids.begin() + end);
    chunk.ids.insert(chunk.ids.end(), suffix.begin(), suffix.end());
    chunk.position_ids = document.model->PositionIds(chunk.ids);
    chunk.own_begin = static_cast<int>(prefix.size());
    chunk.own_end = chunk.rows() - static_cast<int>(suffix.size());
    document.chunks.push_back(std::move(chunk));
  }
  return document;
}

std::unique_ptr<const Attention> MakeAttention(const GoldenDocument& document,
                                               const nlohmann::json& run) {
  const ModelConfig& config = document.model->config();
  const bool independent = run["visibility"].is_null() ||
                           run["visibility"] == "independent" ||
                           run["gate"].is_null() || run["gate"] == 0;
  AttentionOptions options{.num_heads = config.num_heads,
                           .head_dim = config.head_dim(),
                           .num_layers = config.num_layers};
  if (!independent) {
    options.retrieval.gate = run["gate"];
    options.retrieval.visibility = run["visibility"] == "causal"
                                       ? Visibility::kCausal
                                       : Visibility::kBidirectional;
  }
  auto make = AttentionRegistry().Find(independent ? "independent" : "bsbr");
  auto attention = (**make)(options);
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

void CheckRun(const GoldenDocument& document, const nlohmann::json& run) {
  const std::string name = run["name"];
  SCOPED_TRACE(name);
  const testing::GoldenFile& tensors = *document.tensors;
  const int hidden = document.model->config().hidden_size;
  std::unique_ptr<const Attention> attention = MakeAttention(document, run);
  ForwardPass pass(document.model, attention.get(), document.chunks, {},
                   {.retrieval_weights = true});
  ComputeContext compute;
  pass.RunAll(compute);
  auto pooler = (**PoolerRegistry().Find("mean"))();
  const std::vector<float> chunk_vectors =
      tensors.Floats(name + ".chunk_vectors");
  const std::vector<float> first_rows =
      tensors.Floats(name + ".hidden_first_rows");
  const std::vector<float> weights =
      tensors.Floats(name + ".retrieval_weights");
  const int num_chunks = pass.num_chunks();
  ASSERT_EQ(chunk_vectors.size(), size_t(num_chunks) * hidden);
  PoolState state;
  std::vector<float> vector(size_t{0} + hidden);
  for (int i = 0; i < num_chunks; ++i) {
    SCOPED_TRACE(absl::StrCat("chunk ", i));
    (*pooler)->PoolChunk(pass.hidden(i), pass.rows(i), absl::MakeSpan(vector));
    (*pooler)->AddChunk(vector, pass.rows(i), &state);
    NormalizeL2(absl::MakeSpan(vector));
    EXPECT_LE(testing::MaxAbsDifference(
                  vector.data(), chunk_vectors.data() + i * hidden, hidden),
              1e-5);
    EXPECT_LE(
        testing::MaxAbsDifference(
            pass.hidden(i), first_rows.data() + i * 4 * hidden, 4 * hidden),
        1e-4);
    EXPECT_LE(
        testing::MaxAbsDifference(pass.retrieval_weights(i).data(),
                                  weights.data() + i * num_chunks, num_chunks),
        1e-5);
  }
  (*pooler)->Finish(state, absl::MakeSpan(vector));
  NormalizeL2(absl::MakeSpan(vector));
  const std::vector<float> expected = tensors.Floats(name + ".document_vector");
  EXPECT_LE(testing::MaxAbsDifference(vector.data(), expected.data(), hidden),
            1e-5);
}

TEST(BsbrGolden, MiniLm) {
  GoldenDocument document = LoadDocument("minilm_bsbr", LONGHAND_MODEL_DIR,
                                         /*without_tokenizer=*/false);
  ASSERT_GE(document.chunks.size(), 9u);
  for (const nlohmann::json& run : document.info["runs"]) {
    CheckRun(document, run);
  }
}

TEST(BsbrGolden, TinyRandomModel) {
  GoldenDocument document = LoadDocument(
      "tiny_bsbr", absl::StrCat(LONGHAND_TESTDATA_DIR, "/parity/bert"),
      /*without_tokenizer=*/true);
  for (const nlohmann::json& run : document.info["runs"]) {
    CheckRun(document, run);
  }
}

}  // namespace
}  // namespace longhand
