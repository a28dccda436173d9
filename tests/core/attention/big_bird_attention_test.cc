// BigBird's attention against a twin in double precision that fills blocks up
// and lists the key blocks as the public implementation does; the choice of
// random blocks; its family's config; its memory in long chunks.

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/model/family.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/attention/random_model.h"

namespace longhand {
namespace {

constexpr int kHeads = 2;

struct Case {
  int rows;
  int block_size;
  int random_blocks;
  double share_of_padding = 0;
  bool original_full = false;
  int head_dim = 8;
};

// SplitMix64's output function.
uint64_t SplitMix(uint64_t x) {
  uint64_t z = x + 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// One chunk of one layer.
class Chunk {
 public:
  explicit Chunk(const Case& c, int layers = 1)
      : case_(c), hidden_(kHeads * c.head_dim), layers_(layers) {
    std::mt19937 random(uint32_t(c.rows * 31 + c.block_size));
    std::normal_distribution<float> normal(0, 1.5f);
    qkv_.resize(size_t(c.rows * stride()));
    for (float& value : qkv_) value = normal(random);
    std::bernoulli_distribution padding(c.share_of_padding);
    for (int r = 0; r < c.rows; ++r) mask_.push_back(padding(random) ? 0 : 1);
    extras_.AddNumber("block_size", c.block_size);
    extras_.AddNumber("random_blocks", c.random_blocks);
    extras_.AddNumber("original_full", c.original_full ? 1 : 0);
  }

  int num_blocks() const {
    return (case_.rows + case_.block_size - 1) / case_.block_size;
  }

  // Value rows say which block they are in, all keys weigh the same: then the
  // context of a row is the share of each block in what it sees.
  void ShowBlocks() {
    LH_CHECK(case_.head_dim >= num_blocks());
    for (int r = 0; r < case_.rows; ++r) {
      float* row = qkv_.data() + r * stride();
      std::fill_n(row, 3 * hidden_, 0.0f);
      for (int head = 0; head < kHeads; ++head) {
        row[2 * hidden_ + head * case_.head_dim + r / case_.block_size] = 1;
      }
    }
  }

  std::vector<float> Run(const std::string& mechanism, bool with_mask,
                         int seed = 0, int layer = 0) const {
    const std::vector<const LayerExtras*> layers(size_t(layers_), &extras_);
    AttentionOptions options = {.num_heads = kHeads,
                                .head_dim = case_.head_dim,
                                .num_layers = layers_,
                                .extras = layers};
    options.mechanism.seed = seed;
    auto attention = (**AttentionRegistry().Find(mechanism))(options);
    LH_CHECK(attention.ok());
    // Whatever is there is overwritten.
    std::vector<float> context(size_t(case_.rows * hidden_), 1e9f);
    const ChunkSlot slot = {.rows = case_.rows,
                            .own_begin = 0,
                            .own_end = case_.rows,
                            .first_token = 0,
                            .mask = with_mask ? mask_.data() : nullptr,
                            .context = context.data()};
    ComputeContext compute;
    (*attention)
        ->Local({layer, nullptr, qkv_.data(), stride()}, slot, nullptr,
                compute);
    return context;
  }

  // The twin: the blocks of keys of a block of queries one after the other,
  // those of the random slots repeated.
  std::vector<float> Twin(bool random, bool with_mask, int seed = 0,
                          int layer = 0) const {
    std::vector<float> context(size_t(case_.rows * hidden_));
    for (int head = 0; head < kHeads; ++head) {
      for (int i = 0; i < case_.rows; ++i) {
        if (with_mask && mask_[i] == 0) continue;
        std::vector<int> keys;
        if (IsFull()) {
          for (int j = 0; j < case_.rows; ++j) keys.push_back(j);
        } else {
          const int block = i / case_.block_size;
          for (int seen : Blocks(block, random, seed, layer, head)) {
            for (int j = 0; j < case_.block_size; ++j) {
              keys.push_back(seen * case_.block_size + j);
            }
          }
        }
        Attend(i, head, keys, with_mask, context.data());
      }
    }
    return context;
  }

 private:
  int64_t stride() const { return 3 * hidden_ + 3; }
  bool IsFull() const {
    return case_.original_full ||
           case_.rows <= (5 + 2 * case_.random_blocks) * case_.block_size;
  }

  std::vector<int> Blocks(int block, bool random, int seed, int layer,
                          int head) const {
    const int last = num_blocks() - 1;
    std::vector<int> blocks;
    if (block == 0 || block == last) {
      for (int b = 0; b <= last; ++b) blocks.push_back(b);
      return blocks;
    }
    if (block == 1) {
      blocks = {0, 1, 2, last};
    } else if (block == last - 1) {
      blocks = {0, last - 2, last - 1, last};
    } else {
      blocks = {0, block - 1, block, block + 1, last};
    }
    if (!random) {
      blocks.insert(blocks.end(), size_t(case_.random_blocks), 0);
      return blocks;
    }
    uint64_t hash = SplitMix(uint64_t(seed));
    hash = SplitMix(hash ^ uint64_t(layer));
    hash = SplitMix(hash ^ uint64_t(head));
    hash = SplitMix(hash ^ uint64_t(block));
    for (int draw = 0; draw < case_.random_blocks; ++draw) {
      std::vector<int> left;
      for (int b = 0; b <= last; ++b) {
        if (std::count(blocks.begin(), blocks.end(), b) == 0) left.push_back(b);
      }
      hash = SplitMix(hash);
      blocks.push_back(left[size_t(hash % left.size())]);
    }
    return blocks;
  }

  // Rows beyond the chunk fill its last block up.
  double At(int part, int row, int column) const {
    if (row >= case_.rows) return 0;
    return qkv_[size_t(row * stride() + part * hidden_ + column)];
  }

  void Attend(int row, int head, const std::vector<int>& keys, bool with_mask,
              float* context) const {
    const int d = case_.head_dim;
    std::vector<double> sum(size_t(d), 0.0);
    double total = 0;
    for (int key : keys) {
      double score = 0;
      for (int c = head * d; c < (head + 1) * d; ++c) {
        score += At(0, row, c) * At(1, key, c);
      }
      score /= std::sqrt(double(d));
      if (key >= case_.rows || (with_mask && mask_[key] == 0)) score -= 10000;
      const double weight = std::exp(score);
      total += weight;
      for (int c = 0; c < d; ++c) sum[c] += weight * At(2, key, head * d + c);
    }
    for (int c = 0; c < d; ++c) {
      context[row * hidden_ + head * d + c] = float(sum[c] / total);
    }
  }

  const Case case_;
  const int hidden_;
  const int layers_;
  std::vector<float> qkv_;  // [rows, stride()]
  std::vector<uint8_t> mask_;
  LayerExtras extras_;
};

using testing::ExpectNear;

class BigBirdTwinTest : public ::testing::TestWithParam<Case> {};

TEST_P(BigBirdTwinTest, MatchesTwin) {
  const Chunk chunk(GetParam());
  for (bool with_mask : {false, true}) {
    ExpectNear(chunk.Run("big_bird", with_mask),
               chunk.Twin(/*random=*/false, with_mask));
    for (int seed : {0, 5}) {
      ExpectNear(chunk.Run("big_bird_random", with_mask, seed),
                 chunk.Twin(/*random=*/true, with_mask, seed));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BigBirdTwinTest,
    ::testing::Values(
        // Around the threshold of full attention.
        Case{1, 4, 2}, Case{27, 4, 1, 0.3}, Case{28, 4, 1, 0.3},
        Case{29, 4, 1, 0.3}, Case{36, 4, 2}, Case{37, 4, 2},
        // The last block is full, or has one row.
        Case{96, 8, 3, 0.3}, Case{97, 8, 3, 0.3}, Case{120, 6, 2, 0.1},
        Case{40, 1, 3}, Case{60, 5, 0, 0.2},
        // Whole blocks of padding.
        Case{200, 4, 2, 0.9},
        // Blocks with more rows, and a row with more keys, than at a time.
        Case{1300, 100, 3, 0.2}, Case{1100, 16, 1, 0.2},
        Case{150, 8, 2, 0.3, /*original_full=*/true}));

TEST(BigBird, MaskOfOnesIsNoMask) {
  const Chunk chunk({100, 4, 2});
  for (const char* mechanism : {"big_bird", "big_bird_random"}) {
    EXPECT_EQ(chunk.Run(mechanism, true), chunk.Run(mechanism, false));
  }
}

TEST(BigBird, EverythingPaddingIsZero) {
  for (int rows : {20, 100}) {
    const Chunk chunk({rows, 4, 2, /*share_of_padding=*/1.0});
    EXPECT_EQ(chunk.Run("big_bird", true),
              std::vector<float>(size_t(rows * 2 * 8), 0.0f));
  }
}

// What a block sees, read off the contexts.
TEST(BigBirdRandom, BlocksAreDistinctAndLegal) {
  constexpr int kBlocks = 20;
  constexpr int kSize = 4;
  constexpr int kRandomBlocks = 3;
  Chunk chunk({kBlocks * kSize, kSize, kRandomBlocks, 0, false, kBlocks},
              /*layers=*/2);
  chunk.ShowBlocks();
  std::set<std::vector<int>> choices;
  std::set<int> drawn;
  for (int seed : {0, 1, 2}) {
    for (int layer : {0, 1}) {
      const auto context =
          chunk.Run("big_bird_random", /*with_mask=*/false, seed, layer);
      for (int head = 0; head < kHeads; ++head) {
        std::vector<int> choice;
        for (int block = 1; block < kBlocks - 1; ++block) {
          const float* shares =
              context.data() + (block * kSize * kHeads + head) * kBlocks;
          std::set<int> base = {0, block - 1, block, block + 1, kBlocks - 1};
          int more = 0;
          const int seen = int(base.size()) + kRandomBlocks;
          for (int b = 0; b < kBlocks; ++b) {
            if (base.count(b) > 0) {
              EXPECT_NEAR(shares[b], 1.0 / seen, 1e-6);
            } else if (shares[b] != 0) {
              EXPECT_NEAR(shares[b], 1.0 / seen, 1e-6);
              choice.push_back(b);
              drawn.insert(b);
              ++more;
            }
          }
          EXPECT_EQ(more, kRandomBlocks);
        }
        choices.insert(choice);
      }
    }
  }
  // Each seed, layer and head has its own, and all of them together all blocks.
  EXPECT_EQ(choices.size(), 3u * 2 * kHeads);
  EXPECT_EQ(drawn.size(), size_t(kBlocks - 2));
}

TEST(BigBirdRandom, IsNotTheSourceModel) {
  const Chunk chunk({100, 4, 2});
  EXPECT_NE(chunk.Run("big_bird_random", false), chunk.Run("big_bird", false));
  LayerExtras extras;
  extras.AddNumber("block_size", 4);
  const LayerExtras* layers[] = {&extras};
  const AttentionOptions options = {
      .num_heads = 1, .head_dim = 4, .num_layers = 1, .extras = layers};
  for (bool random : {false, true}) {
    const auto attention = (**AttentionRegistry().Find(
        random ? "big_bird_random" : "big_bird"))(options);
    ASSERT_TRUE(attention.ok());
    EXPECT_EQ((*attention)->keeps_source_model(), !random);
    EXPECT_EQ((*attention)->mechanism_options().size(), random ? 1u : 0u);
  }
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST(BigBird, RefusesOtherModels) {
  const LayerExtras none;
  const LayerExtras* layers[] = {&none};
  for (const char* mechanism : {"big_bird", "big_bird_random"}) {
    AttentionOptions options = {.num_heads = 1, .head_dim = 4, .num_layers = 1};
    for (bool with_extras : {false, true}) {
      if (with_extras) options.extras = layers;
      const absl::Status status =
          (**AttentionRegistry().Find(mechanism))(options).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_EQ(ReasonOf(status), "MECHANISM_UNAVAILABLE");
    }
  }
}

TEST(BigBirdFamily, ReadsConfig) {
  const FamilyFactory& read = **FamilyRegistry().Find("big_bird");
  nlohmann::json config = testing::SmallConfig("big_bird", 100);
  auto recipe = read(config);
  ASSERT_TRUE(recipe.ok());
  EXPECT_EQ(recipe->config.activation, Activation::kGeluTanh);
  EXPECT_EQ(recipe->config.embedding_scale, 1);
  EXPECT_EQ(recipe->config.default_chunk_rows, 100);
  EXPECT_TRUE(recipe->names.projection_bias);
  const auto number = [&](size_t i) {
    return recipe->names.extra_numbers.at(i).by_layer.at(0);
  };
  EXPECT_EQ(number(0), 64);
  EXPECT_EQ(number(1), 3);
  EXPECT_EQ(number(2), 0);
  config["block_size"] = 16;
  config["num_random_blocks"] = 1;
  config["attention_type"] = "original_full";
  config["use_bias"] = false;
  config["rescale_embeddings"] = true;
  recipe = read(config);
  ASSERT_TRUE(recipe.ok());
  EXPECT_EQ(recipe->config.embedding_scale, 8);
  EXPECT_FALSE(recipe->names.projection_bias);
  EXPECT_EQ(number(0), 16);
  EXPECT_EQ(number(1), 1);
  EXPECT_EQ(number(2), 1);
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, nlohmann::json>>{
           {"block_size", 0},
           {"num_random_blocks", -1},
           {"attention_type", "sparse"},
           {"use_bias", 1}}) {
    nlohmann::json bad = config;
    bad[key] = value;
    const absl::Status status = read(bad).status();
    EXPECT_EQ(ReasonOf(status), "CONFIG_INVALID") << key;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(key));
  }
}

// The scores of all pairs of rows would be 16 GiB.
TEST(BigBirdModel, LongChunksHaveBoundedMemory) {
  constexpr int kRows = 65536;
  nlohmann::json config = testing::SmallConfig("big_bird", kRows);
  const auto model = testing::RandomModel(config, {});
  for (const char* mechanism : {"big_bird", "big_bird_random"}) {
    auto attention = (**AttentionRegistry().Find(mechanism))(
        {.num_heads = model->config().num_heads,
         .head_dim = model->config().head_dim(),
         .num_layers = 1,
         .extras = model->layer_extras()});
    ASSERT_TRUE(attention.ok());
    std::vector<float> hidden;
    const uint64_t projections =
        uint64_t{kRows} * 3 * model->config().hidden_size * sizeof(float);
    EXPECT_LE(testing::WorkspaceBytes(model, **attention, kRows, &hidden),
              projections + (uint64_t{8} << 20));
    EXPECT_TRUE(std::all_of(hidden.begin(), hidden.end(),
                            [](float x) { return std::isfinite(x); }));
  }
}

}  // namespace
}  // namespace longhand
