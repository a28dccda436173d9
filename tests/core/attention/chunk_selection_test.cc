// The choice of chunks against one that looks at every chunk and sorts, over
// random options, lengths and scores.

#include "core/attention/chunk_selection.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace longhand {
namespace {

std::vector<int> SlowSelect(const RetrievalOptions& options, int64_t self,
                            const std::vector<float>& scores) {
  std::vector<int> selected, rivals;
  for (int slot = 0; slot < static_cast<int>(scores.size()); ++slot) {
    if (slot == self) continue;
    const bool is_pinned = options.top_k == 0 || slot < options.anchors ||
                           std::abs(slot - self) <= int64_t{options.neighbors};
    (is_pinned ? selected : rivals).push_back(slot);
  }
  std::stable_sort(rivals.begin(), rivals.end(), [&](int a, int b) {
    return scores[size_t(a)] > scores[size_t(b)];
  });
  const size_t kept = std::min(rivals.size(), size_t(options.top_k));
  selected.insert(selected.end(), rivals.begin(),
                  rivals.begin() + int64_t(kept));
  std::sort(selected.begin(), selected.end());
  return selected;
}

std::vector<int> FastSelect(const RetrievalOptions& options, int64_t self,
                            const std::vector<float>& scores) {
  std::vector<int> spare(scores.size()), selected(scores.size());
  const int count = ChunkSelection(options).Select(self, scores, spare.data(),
                                                   selected.data());
  selected.resize(size_t(count));
  return selected;
}

RetrievalOptions RandomOptions(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<int> values) {
    return values.begin()[random() % values.size()];
  };
  RetrievalOptions options;
  options.visibility =
      random() % 2 == 0 ? Visibility::kCausal : Visibility::kTwoPass;
  options.top_k = pick({0, 1, 2, 8, 64, 256, 5000});
  options.anchors = pick({0, 1, 3, 100000});
  options.neighbors = pick({0, 1, 5, 100000, std::numeric_limits<int>::max()});
  return options;
}

TEST(ChunkSelection, IsThatOfASort) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const RetrievalOptions options = RandomOptions(random);
    const int64_t slots = 2 + int64_t(random() % (round % 10 == 0 ? 6000 : 60));
    const int64_t self = 1 + int64_t(random() % uint64_t(slots - 1));
    const ChunkSelection selection(options);
    std::vector<float> scores(size_t(selection.NumSeen(self, slots)));
    std::normal_distribution<float> normal;
    // Some of them equal to others, or all but a few, or in order, so that a
    // sample says little of the rest.
    const int kind = static_cast<int>(random() % 4);
    for (size_t i = 0; i < scores.size(); ++i) {
      const float value = normal(random);
      scores[i] = kind == 0   ? value
                  : kind == 1 ? std::round(2 * value)
                  : kind == 2 ? (random() % 50 == 0 ? value : 0.0f)
                              : float(i % 11) * 0.1f;
    }
    ASSERT_EQ(FastSelect(options, self, scores),
              SlowSelect(options, self, scores))
        << "top_k " << options.top_k << ", anchors " << options.anchors
        << ", neighbors " << options.neighbors << ", chunk " << self << " of "
        << slots << ", kind " << kind;
  }
}

TEST(ChunkSelection, SamplesThatMisleadChangeNothing) {
  // What a sample at equal distances would meet is high, or low, alone.
  RetrievalOptions options;
  options.anchors = 0;
  for (int top_k : {1, 16, 200}) {
    options.top_k = top_k;
    for (int step = 2; step <= 20; ++step) {
      for (float sign : {1.0f, -1.0f}) {
        std::vector<float> scores(size_t(512 * step));
        for (size_t i = 0; i < scores.size(); ++i) {
          scores[i] = (i % size_t(step) == 0 ? sign : 0.0f) + 1e-5f * float(i);
        }
        ASSERT_EQ(FastSelect(options, int64_t(scores.size()), scores),
                  SlowSelect(options, int64_t(scores.size()), scores))
            << top_k << ", " << step;
      }
    }
  }
}

TEST(ChunkSelection, NaNIsNotChosen) {
  RetrievalOptions options;
  options.top_k = 4;
  options.anchors = 0;
  std::vector<float> scores(5000, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(FastSelect(options, 5000, scores).empty());
  scores[4000] = 1;
  EXPECT_EQ(FastSelect(options, 5000, scores), std::vector<int>{4000});
}

TEST(ChunkSelection, InPlaceIsTheSame) {
  RetrievalOptions options;
  options.top_k = 8;
  options.anchors = 2;
  options.anchor_share = 0.25f;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> scores(60);
  for (float& score : scores) score = normal(random);
  constexpr int64_t kSelf = 40;
  std::vector<int> spare(kSelf), selected(kSelf);
  std::vector<float> weights(kSelf);
  const ChunkSelection selection(options);
  const int count =
      selection.Weigh(kSelf, absl::MakeConstSpan(scores).subspan(0, kSelf),
                      spare.data(), selected.data(), weights.data());
  EXPECT_EQ(count, 10);
  std::vector<float> want(scores.size(), 0.0f);
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    want[size_t(selected[size_t(i)])] = weights[size_t(i)];
    sum += weights[size_t(i)];
  }
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_GE(weights[0], 0.125f);
  ComputeContext compute;
  EXPECT_EQ(selection.WeighInPlace(kSelf, absl::MakeSpan(scores), compute),
            count);
  EXPECT_EQ(scores, want);
}

}  // namespace
}  // namespace longhand
