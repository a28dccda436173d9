// The gated attention unit against a twin in double precision, its buckets of
// distances, its memory in long chunks, and its family's config.

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/registry.h"
#include "core/attention/relative_buckets.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/model/family.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

// One chunk of one layer.
struct Chunk {
  Chunk(int row_count, int query_size, int width_of_values,
        double share_of_padding = 0)
      : rows(row_count), d(query_size), width(width_of_values) {
    std::mt19937 random(uint32_t(rows * 31 + d));
    std::normal_distribution<float> normal;
    const auto draw = [&](size_t size, float scale) {
      std::vector<float> values(size);
      for (float& value : values) value = scale * normal(random);
      return values;
    };
    projected = draw(size_t(rows * stride()), 1);
    // Weights of about 1 in a chunk of 64.
    gamma = draw(size_t(2 * d), 3);
    beta = draw(size_t(2 * d), 1);
    bias = draw(kRelativeBuckets, 2);
    std::bernoulli_distribution padding(share_of_padding);
    for (int r = 0; r < rows; ++r) mask.push_back(padding(random) ? 0 : 1);
    extras.AddTensor("offset_gamma", FloatBuffer::CopyOf(gamma));
    extras.AddTensor("offset_beta", FloatBuffer::CopyOf(beta));
    extras.AddTensor("relative_bias", FloatBuffer::CopyOf(bias));
    extras.AddNumber("value_size", width);
    extras.AddNumber("hidden_size", kHidden);
  }

  static constexpr int kHidden = 48;

  // Values, gates and what queries and keys are made from.
  int64_t stride() const { return 2 * width + d; }

  std::vector<float> Run(ComputeContext& compute) const {
    const LayerExtras* const layers[] = {&extras};
    auto attention = (**AttentionRegistry().Find("gau"))(
        {.num_heads = 1, .head_dim = d, .num_layers = 1, .extras = layers});
    LH_CHECK(attention.ok());
    std::vector<float> context(size_t(rows * width), -7.0f);
    (*attention)
        ->Local({.layer = 0,
                 .x = nullptr,
                 .qkv = projected.data(),
                 .stride = stride()},
                {.rows = rows,
                 .own_begin = 0,
                 .own_end = rows,
                 .mask = mask.data(),
                 .context = context.data()},
                nullptr, compute);
    return context;
  }

  int rows, d, width;
  std::vector<float> projected, gamma, beta, bias;
  std::vector<uint8_t> mask;
  LayerExtras extras;
};

// Straight from the formulas in core/attention/gau_attention.cc.
class Twin {
 public:
  explicit Twin(const Chunk& chunk) : chunk_(chunk) {}

  double Context(int row, int i) const {
    double sum = 0;
    for (int key = 0; key < chunk_.rows; ++key) {
      if (chunk_.mask[size_t(key)] == 0) continue;
      sum += Weight(row, key) * at(key, i);
    }
    return sum * at(row, chunk_.width + i);
  }

 private:
  double at(int row, int i) const {
    return chunk_.projected[size_t(row * chunk_.stride() + i)];
  }
  double Scaled(int part, int row, int i) const {
    const size_t place = size_t(part * chunk_.d + i);
    return chunk_.gamma[place] * at(row, 2 * chunk_.width + i) +
           chunk_.beta[place];
  }
  double Weight(int query, int key) const {
    double score = std::sqrt(double(Chunk::kHidden)) *
                   chunk_.bias[size_t(RelativeBucket(key - query))];
    for (int i = 0; i < chunk_.d; ++i) {
      score += Scaled(0, query, i) * Scaled(1, key, i);
    }
    const double positive = std::max(score / chunk_.rows, 0.0);
    return positive * positive;
  }

  const Chunk& chunk_;
};

TEST(GauAttentionTest, ContextsAreTheTwins) {
  for (int rows : {1, 2, 33, 64, 65, 200}) {
    for (double padding : {0.0, 0.3}) {
      SCOPED_TRACE(absl::StrCat("rows ", rows, " padding ", padding));
      const Chunk chunk(rows, 12, 20, padding);
      ComputeContext compute;
      const std::vector<float> context = chunk.Run(compute);
      const Twin twin(chunk);
      for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < chunk.width; ++i) {
          const double expected =
              chunk.mask[size_t(r)] == 0 ? 0 : twin.Context(r, i);
          ASSERT_NEAR(context[size_t(r * chunk.width + i)], expected,
                      1e-5 * (1 + std::abs(expected)))
              << "row " << r;
        }
      }
    }
  }
}

// What the package's T5RelativePositionBias gives.
TEST(GauAttentionTest, BucketsOfDistancesAreThePublicOnes) {
  const std::pair<int, int> kExpected[] = {
      {0, 0},     {-1, 1},    {-7, 7},     {-8, 8},   {-11, 8},  {-12, 9},
      {-15, 9},   {-16, 10},  {-22, 10},   {-23, 11}, {-31, 11}, {-32, 12},
      {-45, 12},  {-46, 13},  {-63, 13},   {-64, 14}, {-90, 14}, {-91, 15},
      {-127, 15}, {-128, 15}, {-5000, 15}, {1, 17},   {8, 24},   {16, 26},
      {128, 31},  {9999, 31}};
  for (const auto& [distance, bucket] : kExpected) {
    EXPECT_EQ(RelativeBucket(distance), bucket) << distance;
  }
}

TEST(GauAttentionTest, MemoryGrowsWithTheRowsAlone) {
  const Chunk chunk(8192, 8, 16);
  ComputeContext compute;
  chunk.Run(compute);
  EXPECT_LT(compute.workspace().capacity(), uint64_t{16} << 20);
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST(GauAttentionTest, NeedsItsFamily) {
  const LayerExtras none;
  const LayerExtras* const extras[] = {&none};
  const auto make = *AttentionRegistry().Find("gau");
  for (const AttentionOptions& options :
       {AttentionOptions{.num_heads = 1, .head_dim = 8, .num_layers = 1},
        AttentionOptions{.num_heads = 1,
        .head_dim = 8,
        .num_layers = 1,
        .extras = extras}}) {
    EXPECT_EQ(ReasonOf((*make)(options).status()), "MECHANISM_UNAVAILABLE");
  }
}

absl::StatusOr<FamilyRecipe> Recipe(const nlohmann::json& changes) {
  nlohmann::json json = {{"model_type", "gau"}, {"vocab_size", 100},
                         {"hidden_size", 24},   {"num_hidden_layers", 2},
                         {"query_key_dim", 16}, {"expansion_factor", 1.7},
                         {"chunk_size", 512}};
  json.update(changes);
  return (**FamilyRegistry().Find("gau"))(json);
}

TEST(GauFamilyTest, ReadsTheConfig) {
  const auto recipe = Recipe(nlohmann::json::object());
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  const ModelConfig& config = recipe->config;
  EXPECT_EQ(config.context_width(), 40);
  EXPECT_EQ(config.attention_size(), 16);
  EXPECT_EQ(config.default_chunk_rows, 512);
  EXPECT_EQ(config.max_positions(), kMaxEndlessChunkRows);
  EXPECT_EQ(config.layer_norm_eps, 1e-5f);
  ASSERT_EQ(recipe->names.projections.size(), 2);
  EXPECT_EQ(recipe->names.projections[1][0].outputs, 80);
}

TEST(GauFamilyTest, RefusesConfigsThatMakeNoSense) {
  const std::vector<std::pair<std::string, nlohmann::json>> kInvalid = {
      {"vocab_size", 0},          {"hidden_size", nullptr},
      {"num_hidden_layers", 0},   {"query_key_dim", 0},
      {"expansion_factor", 0.01}, {"expansion_factor", -1},
      {"chunk_size", 0},          {"chunk_size", 1 << 20},
      {"layer_norm_eps", 2}};
  for (const auto& [key, value] : kInvalid) {
    EXPECT_EQ(ReasonOf(Recipe({{key, value}}).status()), "CONFIG_INVALID")
        << key << " " << value;
  }
}

}  // namespace
}  // namespace longhand
