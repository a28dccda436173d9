// What bf16 and int8 do to the vectors of real text, against fp32.

#include "core/compute/precision.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/compute/runtime.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "core/pooling/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/golden.h"

namespace longhand {
namespace {

std::shared_ptr<const Model> LoadModel(Precision precision) {
  auto model =
      Model::Load({.directory = LONGHAND_MODEL_DIR,
                   .precision = std::string(PrecisionName(precision))});
  LH_CHECK(model.ok());
  return *std::move(model);
}

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  LH_CHECK(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

// `text` in chunks of up to `rows` tokens, special tokens included.
std::vector<ChunkInput> Cut(const Model& model, const std::string& text,
                            int rows) {
  TokenSequence tokens;
  LH_CHECK(model.tokenizer()->Encode(text, 0, &tokens).ok());
  const auto prefix = model.prefix_ids();
  const auto suffix = model.suffix_ids();
  const size_t content = size_t(rows) - prefix.size() - suffix.size();
  std::vector<ChunkInput> chunks;
  for (size_t begin = 0; begin < tokens.size(); begin += content) {
    const size_t end = std::min(begin + content, tokens.size());
    ChunkInput chunk;
    chunk.ids.assign(prefix.begin(), prefix.end());
    chunk.ids.insert(chunk.ids.end(), tokens.ids.begin() + begin,
                     tokens.ids.begin() + end);
    chunk.ids.insert(chunk.ids.end(), suffix.begin(), suffix.end());
    chunk.position_ids = model.PositionIds(chunk.ids);
    chunk.own_begin = static_cast<int>(prefix.size());
    chunk.own_end = chunk.rows() - static_cast<int>(suffix.size());
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

// The mean-pooled vector of every chunk, [chunks] of [hidden].
std::vector<std::vector<float>> Vectors(
    const std::shared_ptr<const Model>& model,
    const std::vector<ChunkInput>& chunks) {
  const ModelConfig& config = model->config();
  auto attention = (**AttentionRegistry().Find("independent"))(
      {.num_heads = config.num_heads,
       .head_dim = config.head_dim(),
       .num_layers = config.num_layers});
  LH_CHECK(attention.ok());
  ForwardPass pass(model, attention->get(), chunks, {}, {});
  ComputeContext compute;
  pass.RunAll(compute);
  auto pooler = (**PoolerRegistry().Find("mean"))();
  std::vector<std::vector<float>> vectors;
  for (int i = 0; i < pass.num_chunks(); ++i) {
    std::vector<float>& vector =
        vectors.emplace_back(size_t{0} + config.hidden_size);
    (*pooler)->PoolChunk(pass.hidden(i), pass.rows(i), absl::MakeSpan(vector));
  }
  return vectors;
}

struct Cosines {
  double min = 1;
  double sum = 0;
  int count = 0;

  void Add(const std::vector<std::vector<float>>& a,
           const std::vector<std::vector<float>>& b) {
    for (size_t i = 0; i < a.size(); ++i) {
      const double cosine =
          testing::Cosine(a[i].data(), b[i].data(), a[i].size());
      // A NaN too must lower it.
      if (!(cosine >= min)) min = cosine;
      sum += cosine;
      ++count;
    }
  }
  double mean() const { return sum / count; }
};

// The lowest cosine and the lowest mean; measured: docs/precision.md.
struct Bar {
  Precision precision;
  double min, mean;
};

class PrecisionModelTest : public ::testing::TestWithParam<Bar> {
 protected:
  void SetUp() override {
    const Precision precision = GetParam().precision;
    if (EffectivePrecision(precision) != precision) {
      GTEST_SKIP() << PrecisionName(precision)
                   << " needs instructions that this CPU (oneDNN: "
                   << EffectiveIsa() << ") does not have";
    }
    exact_ = LoadModel(Precision::kFp32);
    model_ = LoadModel(precision);
  }

  void Check(const Cosines& cosines) {
    RecordProperty("min", absl::StrCat(cosines.min));
    RecordProperty("mean", absl::StrCat(cosines.mean()));
    EXPECT_GE(cosines.min, GetParam().min);
    EXPECT_GE(cosines.mean(), GetParam().mean);
    // Equal would mean that the precision was not used.
    EXPECT_LT(cosines.mean(), 1 - 1e-7);
  }

  std::shared_ptr<const Model> exact_, model_;
};

INSTANTIATE_TEST_SUITE_P(All, PrecisionModelTest,
                         ::testing::Values(Bar{Precision::kBf16, 0.999, 0.9995},
                                           Bar{Precision::kInt8, 0.995, 0.998}),
                         [](const auto& parameter) {
                           return std::string(
                               PrecisionName(parameter.param.precision));
                         });

TEST_P(PrecisionModelTest, Sentences) {
  const nlohmann::json texts = testing::ReadJsonFile(
      absl::StrCat(LONGHAND_GOLDEN_DIR, "/minilm_sentences.json"));
  Cosines cosines;
  for (const std::string sentence : texts["sentences"]) {
    const std::vector<ChunkInput> chunk = Cut(*exact_, sentence, 512);
    cosines.Add(Vectors(exact_, chunk), Vectors(model_, chunk));
  }
  EXPECT_EQ(cosines.count, 200);
  Check(cosines);
}

TEST_P(PrecisionModelTest, ChunksOfLongText) {
  const nlohmann::json golden = testing::ReadJsonFile(
      absl::StrCat(LONGHAND_GOLDEN_DIR, "/minilm_bsbr.json"));
  Cosines cosines;
  for (const std::string& text :
       {golden["text"].get<std::string>(),
        ReadText(absl::StrCat(LONGHAND_GOLDEN_DIR, "/../../LICENSE"))}) {
    for (int rows : {128, 512}) {
      const std::vector<ChunkInput> chunks = Cut(*exact_, text, rows);
      cosines.Add(Vectors(exact_, chunks), Vectors(model_, chunks));
    }
  }
  RecordProperty("count", cosines.count);
  EXPECT_GT(cosines.count, 30);
  Check(cosines);
}

TEST(PrecisionInfo, SaysWhatWasAskedForAndWhatIsDone) {
  for (Precision precision : kAllPrecisions) {
    const ModelInfo info = LoadModel(precision)->info();
    EXPECT_EQ(info.requested_precision, PrecisionName(precision));
    EXPECT_EQ(info.effective_precision,
              PrecisionName(EffectivePrecision(precision)));
    EXPECT_EQ(info.stored_precision, "F32");
  }
}

// Vectors may be compared and kept together if the fingerprints are equal.
TEST(PrecisionInfo, FingerprintsTellEffectivePrecisionsApart) {
  std::map<Precision, std::string> fingerprints;
  for (Precision precision : kAllPrecisions) {
    fingerprints[precision] = LoadModel(precision)->info().fingerprint;
  }
  for (Precision a : kAllPrecisions) {
    for (Precision b : kAllPrecisions) {
      EXPECT_EQ(fingerprints[a] == fingerprints[b],
                EffectivePrecision(a) == EffectivePrecision(b))
          << PrecisionName(a) << " and " << PrecisionName(b);
    }
  }
}

TEST(PrecisionInfo, Int8WeightsTakeLessMemory) {
  const std::shared_ptr<const Model> exact = LoadModel(Precision::kFp32);
  const uint64_t embedding = exact->embedding().byte_size();
  const auto layer_bytes = [&](const Model& model) {
    return double(model.info().weight_bytes - embedding);
  };
  // A byte per weight and a little for the scales, instead of four.
  EXPECT_LT(layer_bytes(*LoadModel(Precision::kInt8)),
            0.3 * layer_bytes(*exact));
}

TEST(PrecisionInfo, UnknownNamesAreRefused) {
  for (const char* name : {"", "fp16", "INT8", "int8 "}) {
    const absl::Status status =
        Model::Load({.directory = LONGHAND_MODEL_DIR, .precision = name})
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    ASSERT_TRUE(GetErrorDetail(status).has_value());
    EXPECT_EQ(GetErrorDetail(status)->reason, "PRECISION_UNSUPPORTED");
    for (Precision precision : kAllPrecisions) {
      EXPECT_THAT(std::string(status.message()),
                  ::testing::HasSubstr(std::string(PrecisionName(precision))));
    }
  }
}

}  // namespace
}  // namespace longhand
