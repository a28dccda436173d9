// The performer's random directions: what is promised of their distribution,
// what they are worth against softmax attention, and those of an adapter.

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/adapter.h"
#include "core/attention/random_features.h"
#include "core/attention/registry.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/attention/layer_harness.h"
#include "tests/core/base/temp_dir.h"
#include "tests/core/weights/safetensors_bytes.h"

namespace longhand {
namespace {

std::vector<float> Draw(const RandomFeaturesSpec& spec) {
  const FloatBuffer drawn = DrawOrthogonalFeatures(spec);
  return {drawn.span().begin(), drawn.span().end()};
}

double Dot(const float* a, const float* b, int size) {
  return std::inner_product(a, a + size, b, 0.0);
}

TEST(RandomFeatures, RowsOfABlockAreOrthogonal) {
  constexpr int kDim = 32, kFeatures = 110;
  const auto w = Draw({.seed = 5, .features = kFeatures, .dim = kDim});
  ASSERT_EQ(w.size(), size_t(kFeatures * kDim));
  int other_blocks = 0;
  for (int a = 0; a < kFeatures; ++a) {
    for (int b = 0; b < a; ++b) {
      const float* x = w.data() + a * kDim;
      const float* y = w.data() + b * kDim;
      const double cosine =
          Dot(x, y, kDim) / std::sqrt(Dot(x, x, kDim) * Dot(y, y, kDim));
      if (a / kDim == b / kDim) {
        EXPECT_NEAR(cosine, 0, 1e-6);
      } else if (std::abs(cosine) > 1e-3) {
        ++other_blocks;
      }
    }
  }
  EXPECT_GT(other_blocks, 1000);
}

// Every number on its own is standard normal: by the first four moments, over
// many draws.
TEST(RandomFeatures, RowsAreGaussian) {
  constexpr int kDim = 8, kDraws = 500;
  double moments[5] = {};
  double squares = 0, fourth = 0;
  for (int seed = 0; seed < kDraws; ++seed) {
    const auto w = Draw({.seed = seed, .features = 2 * kDim, .dim = kDim});
    for (float value : w) {
      for (int power = 1; power <= 4; ++power) {
        moments[power] += std::pow(value, power) / double(kDraws * w.size());
      }
    }
    for (int f = 0; f < 2 * kDim; ++f) {
      const double square =
          Dot(&w[size_t(f * kDim)], &w[size_t(f * kDim)], kDim);
      squares += square / (kDraws * 2 * kDim);
      fourth += square * square / (kDraws * 2 * kDim);
    }
  }
  EXPECT_NEAR(moments[1], 0, 0.02);
  EXPECT_NEAR(moments[2], 1, 0.02);
  EXPECT_NEAR(moments[3], 0, 0.06);
  EXPECT_NEAR(moments[4], 3, 0.12);
  // Norms are those of Gaussian vectors, chi-square with kDim degrees, and not
  // all the same.
  EXPECT_NEAR(squares, kDim, 0.15);
  EXPECT_NEAR(fourth - squares * squares, 2 * kDim, 1.5);
}

TEST(RandomFeatures, RepeatAndDifferByAllThatTheyAreDrawnFrom) {
  const RandomFeaturesSpec spec{
      .seed = 1, .layer = 2, .features = 16, .dim = 8};
  const auto drawn = Draw(spec);
  EXPECT_EQ(Draw(spec), drawn);
  RandomFeaturesSpec other = spec;
  other.seed = 2;
  EXPECT_NE(Draw(other), drawn);
  other = spec;
  other.layer = 1;
  EXPECT_NE(Draw(other), drawn);
  other = spec;
  other.features = 17;
  const auto longer = Draw(other);
  EXPECT_NE(std::vector<float>(longer.begin(), longer.begin() + 16 * 8), drawn);
}

// The generator is documented: these come from a program of its own.
TEST(RandomFeatures, AreTheDocumentedNumbers) {
  const auto w = Draw({.seed = 7, .layer = 1, .features = 3, .dim = 2});
  const std::vector<float> expected = {-0.83016267f, 0.28123232f,  -0.35845896f,
                                       -1.05812604f, -0.14893961f, 0.40126832f};
  ASSERT_EQ(w.size(), expected.size());
  for (size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i], expected[i], 1e-6);
}

TEST(RandomFeatures, DefaultNumberIsDLogD) {
  EXPECT_EQ(DefaultRandomFeatures(64), 266);
  EXPECT_EQ(DefaultRandomFeatures(32), 110);
  EXPECT_EQ(DefaultRandomFeatures(2), 1);
  EXPECT_EQ(DefaultRandomFeatures(1), 1);
}

std::unique_ptr<const Attention> MakePerformer(
    const testing::LayerHarness& harness, int features, int seed,
    const Adapter* adapter = nullptr) {
  AttentionOptions options{.num_heads = harness.heads(),
                           .head_dim = harness.head_dim(),
                           .num_layers = 1,
                           .adapter = adapter};
  options.mechanism.random_features = features;
  options.mechanism.seed = seed;
  auto attention = (**AttentionRegistry().Find("performer"))(options);
  LH_CHECK(attention.ok());
  return *std::move(attention);
}

// The error against softmax attention falls as 1 / sqrt(m).
TEST(Performer, ErrorFallsWithTheRootOfTheFeatures) {
  testing::LayerHarness harness(2, 16, 0.4f, 21);
  harness.AddChunks({48});
  const auto exact = harness.Dense();
  constexpr int kSeeds = 24;
  std::vector<double> x, y;
  for (int features = 16; features <= 4096; features *= 4) {
    double square = 0;
    for (int seed = 0; seed < kSeeds; ++seed) {
      const auto fast = harness.Run(*MakePerformer(harness, features, seed));
      for (size_t i = 0; i < exact[0].size(); ++i) {
        square += std::pow(fast[0][i] - exact[0][i], 2) /
                  double(kSeeds * exact[0].size());
      }
    }
    x.push_back(std::log(features));
    y.push_back(std::log(square) / 2);
    RecordProperty(absl::StrCat("rms_error_", features),
                   absl::StrCat(std::sqrt(square)));
  }
  const double n = double(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    xx += (x[i] - mean_x) * (x[i] - mean_x);
  }
  EXPECT_NEAR(xy / xx, -0.5, 0.15);
  // And it is small in the end, so the limit is the right one.
  EXPECT_LT(std::exp(y.back()), 0.0025);
}

constexpr Adapter::Sizes kSizes{.layers = 2, .heads = 2, .hidden = 32};

std::string ProjectionFile(const TempDir& directory,
                           const std::vector<int64_t>& first,
                           const std::vector<int64_t>& second, int seed = 0) {
  SafetensorsBuilder builder;
  int layer = 0;
  for (const auto& shape : {first, second}) {
    if (!shape.empty()) {
      std::vector<float> values(size_t(shape[0] * shape[1]), 0.5f);
      if (shape[1] == 16) {
        values = Draw({.seed = seed,
                       .layer = layer,
                       .features = int(shape[0]),
                       .dim = 16});
      }
      builder.AddF32(absl::StrCat("layers.", layer, ".performer.projection"),
                     shape, values);
    }
    ++layer;
  }
  return directory.Write("adapter.safetensors", builder.Build());
}

TEST(Performer, TakesTheAdaptersDirections) {
  const TempDir directory;
  const auto adapter =
      Adapter::Load(ProjectionFile(directory, {24, 16}, {24, 16}, 9), kSizes);
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_EQ((*adapter)->byte_size(), 2 * 24 * 16 * sizeof(float));
  testing::LayerHarness harness(2, 16, 1.0f, 22);
  harness.AddChunks({16, 20});
  // Whatever the options say.
  const auto from_adapter = MakePerformer(harness, 70, 1, adapter->get());
  EXPECT_EQ(from_adapter->state_layout(1).meta_floats, 2 * 24 * (16 + 2));
  EXPECT_EQ(harness.Run(*from_adapter),
            harness.Run(*MakePerformer(harness, 24, 9)));
}

TEST(Performer, AnAdapterWithoutDirectionsLeavesTheOptions) {
  const TempDir directory;
  const auto adapter = Adapter::Load(
      directory.Write("adapter.safetensors",
                      SafetensorsBuilder()
                          .AddF32("layers.0.gate", {2}, {0.5f, 0.5f})
                          .Build()),
      kSizes);
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  testing::LayerHarness harness(2, 16, 1.0f, 23);
  harness.AddChunks({16, 20});
  EXPECT_EQ(harness.Run(*MakePerformer(harness, 24, 9, adapter->get())),
            harness.Run(*MakePerformer(harness, 24, 9)));
}

TEST(Performer, BadDirectionsAreRefused) {
  const TempDir directory;
  const std::pair<std::vector<int64_t>, std::vector<int64_t>> kBad[] = {
      {{24, 15}, {24, 15}},
      {{24, 16}, {}},
      {{}, {24, 16}},
      {{24, 16}, {25, 16}},
      {{4097, 16}, {4097, 16}}};
  for (const auto& [first, second] : kBad) {
    const absl::Status status =
        Adapter::Load(ProjectionFile(directory, first, second), kSizes)
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    const auto detail = GetErrorDetail(status);
    EXPECT_EQ(detail ? detail->reason : "", "ADAPTER_INVALID");
    EXPECT_THAT(std::string(status.message()),
                ::testing::HasSubstr("performer.projection"));
  }
}

}  // namespace
}  // namespace longhand
