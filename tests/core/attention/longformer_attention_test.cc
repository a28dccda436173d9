// Longformer's attention against a twin in double precision, straight from the
// formulas; what is global; its family's config; its memory in long chunks.

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "core/base/error.h"
#include "core/compute/compute_context.h"
#include "core/compute/matmul.h"
#include "core/model/family.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/attention/random_model.h"

namespace longhand {
namespace {

constexpr int kHeads = 2;
constexpr int kHeadDim = 8;
constexpr int kHidden = kHeads * kHeadDim;
// Wider than query, key and value.
constexpr int64_t kStride = 3 * kHidden + 5;

struct Case {
  int rows;
  int window;
  double share_of_globals;
  double share_of_padding = 0;
};

std::vector<float> Random(size_t size, float scale, std::mt19937* random) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(*random);
  return values;
}

// Where a chunk's own rows are.
struct Place {
  int own_begin = 0;
  int own_end = 0;  // 0: all rows
  int64_t first_token = 0;
};

// One chunk of one layer.
class Chunk {
 public:
  explicit Chunk(const Case& c) : rows_(c.rows), window_(c.window) {
    std::mt19937 random(uint32_t(c.rows * 31 + c.window));
    x_ = Random(size_t(PaddedRows(rows_)) * kHidden, 1, &random);
    qkv_ = Random(size_t(rows_ * kStride), 1.5f, &random);
    for (Linear* linear : {&query_, &key_, &value_}) {
      linear->weights = Random(kHidden * kHidden, 0.35f, &random);
      linear->bias = Random(kHidden, 0.2f, &random);
    }
    std::bernoulli_distribution padding(c.share_of_padding);
    std::bernoulli_distribution global(c.share_of_globals);
    for (int r = 0; r < rows_; ++r) {
      mask_.push_back(padding(random) ? 0 : 1);
      // Some of them are padding.
      if (global(random)) globals_.push_back(r);
    }
    AddExtra("query_global", query_);
    AddExtra("key_global", key_);
    AddExtra("value_global", value_);
    extras_.AddNumber("window", window_);
  }

  const std::vector<int64_t>& globals() const { return globals_; }
  void set_globals(std::vector<int64_t> globals) {
    globals_ = std::move(globals);
  }

  std::vector<float> Run(const std::vector<int64_t>& tokens, bool with_mask,
                         Place place = {}, int global_special = 0) const {
    const LayerExtras* layers[] = {&extras_};
    AttentionOptions options = {.num_heads = kHeads,
                                .head_dim = kHeadDim,
                                .num_layers = 1,
                                .global_tokens = tokens,
                                .extras = layers};
    options.mechanism.global_special = global_special;
    auto attention = (**AttentionRegistry().Find("longformer"))(options);
    LH_CHECK(attention.ok());
    // Whatever is there is overwritten.
    std::vector<float> context(size_t(rows_ * kHidden), 1e9f);
    const ChunkSlot slot = {
        .rows = rows_,
        .own_begin = place.own_begin,
        .own_end = place.own_end == 0 ? rows_ : place.own_end,
        .first_token = place.first_token,
        .mask = with_mask ? mask_.data() : nullptr,
        .context = context.data()};
    ComputeContext compute;
    (*attention)
        ->Local({0, x_.data(), qkv_.data(), kStride}, slot, nullptr, compute);
    return context;
  }

  // The twin. Rows of globals() are global, unless they are padding.
  std::vector<float> Twin(bool with_mask) const {
    std::vector<float> context(size_t(rows_ * kHidden));
    const auto is_seen = [&](int r) { return !with_mask || mask_[r] != 0; };
    const auto is_global = [&](int r) {
      return is_seen(r) && std::count(globals_.begin(), globals_.end(), r) > 0;
    };
    std::vector<std::vector<double>> key_global, value_global;
    for (int r = 0; r < rows_; ++r) {
      key_global.push_back(Apply(key_, r));
      value_global.push_back(Apply(value_, r));
    }
    for (int i = 0; i < rows_; ++i) {
      if (!is_seen(i)) continue;
      const bool global = is_global(i);
      const std::vector<double> query =
          global ? Apply(query_, i) : Projection(0, i);
      for (int head = 0; head < kHeads; ++head) {
        std::vector<double> sum(kHeadDim, 0.0);
        double total = 0;
        for (int j = 0; j < rows_; ++j) {
          const bool near = 2 * std::abs(i - j) <= window_;
          if (!is_seen(j) || !(global || near || is_global(j))) continue;
          const auto key = global ? key_global[j] : Projection(1, j);
          const auto value = global ? value_global[j] : Projection(2, j);
          double score = 0;
          for (int c = head * kHeadDim; c < (head + 1) * kHeadDim; ++c) {
            score += query[c] * key[c];
          }
          const double weight = std::exp(score / std::sqrt(double(kHeadDim)));
          total += weight;
          for (int c = 0; c < kHeadDim; ++c) {
            sum[c] += weight * value[head * kHeadDim + c];
          }
        }
        for (int c = 0; c < kHeadDim; ++c) {
          context[i * kHidden + head * kHeadDim + c] = float(sum[c] / total);
        }
      }
    }
    return context;
  }

 private:
  struct Linear {
    std::vector<float> weights, bias;
  };

  void AddExtra(const std::string& role, const Linear& linear) {
    auto packed =
        PackedLinear::Pack(linear.weights, linear.bias, kHidden, kHidden);
    LH_CHECK(packed.ok());
    extras_.Add(role, *std::move(packed));
  }
  std::vector<double> Projection(int part, int row) const {
    const float* begin = qkv_.data() + row * kStride + part * kHidden;
    return std::vector<double>(begin, begin + kHidden);
  }
  std::vector<double> Apply(const Linear& linear, int row) const {
    std::vector<double> y(linear.bias.begin(), linear.bias.end());
    for (int o = 0; o < kHidden; ++o) {
      for (int i = 0; i < kHidden; ++i) {
        y[o] += double{linear.weights[o * kHidden + i]} *
                x_[size_t(row) * kHidden + i];
      }
    }
    return y;
  }

  const int rows_;
  const int window_;
  std::vector<float> x_;    // [padded rows, hidden]
  std::vector<float> qkv_;  // [rows, kStride]
  Linear query_, key_, value_;
  std::vector<uint8_t> mask_;
  std::vector<int64_t> globals_;
  LayerExtras extras_;
};

using testing::ExpectNear;

class LongformerTwinTest : public ::testing::TestWithParam<Case> {};

TEST_P(LongformerTwinTest, MatchesTwin) {
  const Chunk chunk(GetParam());
  for (bool with_mask : {false, true}) {
    ExpectNear(chunk.Run(chunk.globals(), with_mask), chunk.Twin(with_mask));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, LongformerTwinTest,
    ::testing::Values(
        Case{1, 2, 0}, Case{1, 8, 1}, Case{5, 2, 0.3, 0.3}, Case{64, 16, 0},
        Case{65, 16, 0.05, 0.2}, Case{200, 6, 0.4, 0.3},
        // The window is larger than the chunk.
        Case{50, 128, 0}, Case{50, 128, 0.1, 0.5}, Case{63, 1 << 20, 0.2, 0.1},
        // Everything is global, or almost everything is padding.
        Case{130, 10, 1}, Case{130, 10, 1, 0.5}, Case{90, 20, 0.2, 0.95},
        // More keys in a window, and more global rows, than at a time.
        Case{1300, 2300, 0.01, 0.1}, Case{1100, 40, 0.96, 0.02}));

TEST(Longformer, EverythingPaddingIsZero) {
  const Chunk chunk({70, 8, 0.2, 1.0});
  EXPECT_EQ(chunk.Run(chunk.globals(), true),
            std::vector<float>(70 * kHidden, 0.0f));
}

TEST(Longformer, MaskOfOnesIsNoMask) {
  const Chunk chunk({150, 8, 0.1});
  EXPECT_EQ(chunk.Run(chunk.globals(), true),
            chunk.Run(chunk.globals(), false));
}

// Tokens are counted over the document: those of other chunks are not global
// here.
TEST(Longformer, GlobalTokensAreThoseOfTheChunk) {
  Chunk chunk({40, 4, 0});
  chunk.set_globals({3, 9, 36});
  const Place place = {.own_begin = 3, .own_end = 37, .first_token = 1000};
  const std::vector<float> expected = chunk.Twin(false);
  ExpectNear(chunk.Run({2, 999, 1000, 1006, 1033, 1034, 5000}, false, place),
             expected);
  chunk.set_globals({});
  ExpectNear(chunk.Run({2, 997, 999, 1034, 5000}, false, place),
             chunk.Twin(false));
}

TEST(Longformer, SpecialTokensAreGlobalOnDemand) {
  Chunk chunk({40, 4, 0});
  const Place place = {.own_begin = 2, .own_end = 38, .first_token = 7};
  chunk.set_globals({5});
  ExpectNear(chunk.Run({10}, false, place, /*global_special=*/0),
             chunk.Twin(false));
  chunk.set_globals({0, 1, 5});
  ExpectNear(chunk.Run({10}, false, place, /*global_special=*/1),
             chunk.Twin(false));
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST(Longformer, RefusesOtherModels) {
  const AttentionOptions plain = {
      .num_heads = kHeads, .head_dim = kHeadDim, .num_layers = 1};
  const AttentionFactory& make = **AttentionRegistry().Find("longformer");
  EXPECT_EQ(ReasonOf(make(plain).status()), "MECHANISM_UNAVAILABLE");
  // A window alone is not enough.
  LayerExtras extras;
  extras.AddNumber("window", 4);
  const LayerExtras* layers[] = {&extras};
  AttentionOptions with_extras = plain;
  with_extras.extras = layers;
  const absl::Status status = make(with_extras).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "MECHANISM_UNAVAILABLE");
}

nlohmann::json Config(const nlohmann::json& window) {
  nlohmann::json config = testing::SmallConfig("longformer", 100);
  config["num_hidden_layers"] = 3;
  if (!window.is_null()) config["attention_window"] = window;
  return config;
}

TEST(LongformerFamily, ReadsWindows) {
  const FamilyFactory& read = **FamilyRegistry().Find("longformer");
  const auto windows = [&](const nlohmann::json& window) {
    auto recipe = read(Config(window));
    LH_CHECK(recipe.ok());
    return recipe->names.extra_numbers.at(0).by_layer;
  };
  EXPECT_THAT(windows(nullptr), ::testing::ElementsAre(512, 512, 512));
  EXPECT_THAT(windows(24), ::testing::ElementsAre(24, 24, 24));
  EXPECT_THAT(windows({2, 64, 6}), ::testing::ElementsAre(2, 64, 6));
  const nlohmann::json bad[] = {
      0,         3,          -2, "8", 2.0, {4, 4}, {4, 5, 4}, {4, 4, nullptr},
      {4, 4, 0}, {4, 4, {4}}};
  for (const nlohmann::json& window : bad) {
    const absl::Status status = read(Config(window)).status();
    EXPECT_EQ(ReasonOf(status), "CONFIG_INVALID") << window;
    EXPECT_THAT(std::string(status.message()),
                ::testing::HasSubstr("attention_window"));
  }
}

TEST(LongformerFamily, CountsPositionsFromThePaddingId) {
  const auto recipe = (**FamilyRegistry().Find("longformer"))(Config(8));
  ASSERT_TRUE(recipe.ok());
  EXPECT_EQ(recipe->config.pad_token_id, 1);
  EXPECT_EQ(recipe->config.first_position, 2);
  EXPECT_EQ(recipe->config.default_chunk_rows, 98);
  EXPECT_EQ(recipe->config.default_mechanism, "longformer");
}

// The other mechanisms run on these weights too, and where the window is as
// wide as the chunk and nothing is global, one of them gives the same.
TEST(LongformerModel, WideWindowIsFullAttention) {
  constexpr int kRows = 300;
  nlohmann::json config = testing::SmallConfig("longformer", kRows + 2);
  config["attention_window"] = 2 * kRows;
  const auto model = testing::RandomModel(
      config, {"attention.self.query_global", "attention.self.key_global",
               "attention.self.value_global"});
  std::vector<float> hidden[2];
  for (int i : {0, 1}) {
    const char* mechanism = i == 0 ? "longformer" : "independent";
    EXPECT_TRUE(model->CheckMechanism(mechanism).ok());
    auto attention = (**AttentionRegistry().Find(mechanism))(
        {.num_heads = model->config().num_heads,
         .head_dim = model->config().head_dim(),
         .num_layers = 1,
         .extras = model->layer_extras()});
    ASSERT_TRUE(attention.ok());
    testing::WorkspaceBytes(model, **attention, kRows, &hidden[i]);
  }
  ExpectNear(hidden[0], hidden[1]);
}

// The scores of all pairs of rows would be 16 GiB.
TEST(LongformerModel, LongChunksHaveBoundedMemory) {
  constexpr int kRows = 65536;
  nlohmann::json config = testing::SmallConfig("longformer", kRows + 2);
  config["attention_window"] = 64;
  const auto model = testing::RandomModel(
      config, {"attention.self.query_global", "attention.self.key_global",
               "attention.self.value_global"});
  std::vector<int64_t> globals;
  for (int64_t g = 0; g < 100; ++g) globals.push_back(g * 600);
  auto attention = (**AttentionRegistry().Find("longformer"))(
      {.num_heads = model->config().num_heads,
       .head_dim = model->config().head_dim(),
       .num_layers = 1,
       .global_tokens = globals,
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

}  // namespace
}  // namespace longhand
