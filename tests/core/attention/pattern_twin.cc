#include "tests/core/attention/pattern_twin.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace longhand::testing {
namespace {

using Vector = std::vector<double>;
using Contexts = std::vector<Vector>;

uint64_t SplitMix(uint64_t state) {
  uint64_t z = state + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// The blocks that block i draws, with nothing but the definition.
std::set<int64_t> DrawnBlocks(int seed, int count, int64_t i, int64_t last,
                              bool has_end) {
  std::vector<int64_t> pool;
  for (int64_t block = 1; block <= last; ++block) {
    if (std::abs(block - i) <= 1 || (has_end && block == last)) continue;
    if (has_end || block < i) pool.push_back(block);
  }
  const int64_t population = int64_t(pool.size());
  std::set<int64_t> numbers;
  for (int64_t j = std::max<int64_t>(0, population - count); j < population;
       ++j) {
    const uint64_t h = SplitMix(
        SplitMix(SplitMix(uint64_t(seed)) + uint64_t(i)) + uint64_t(j));
    const int64_t x = int64_t(h % uint64_t(j + 1));
    numbers.insert(numbers.count(x) == 1 ? j : x);
  }
  std::set<int64_t> blocks;
  for (int64_t number : numbers) blocks.insert(pool[size_t(number)]);
  return blocks;
}

Sees RandomBlocksSee(int block_tokens, int random_blocks, int seed) {
  using Key = std::pair<int64_t, int64_t>;
  const auto known = std::make_shared<std::map<Key, std::set<int64_t>>>();
  return [=](const PatternDocument& document, int64_t q, int64_t k) {
    const bool has_end = document.visibility != Visibility::kCausal;
    const int64_t last = (document.tokens - 1) / block_tokens;
    const int64_t i = q / block_tokens, j = k / block_tokens;
    if (std::abs(i - j) <= 1 || i == 0 || j == 0) return true;
    if (has_end && (i == last || j == last)) return true;
    const auto [drawn, is_new] = known->try_emplace({i, has_end ? last : -1});
    if (is_new) {
      drawn->second = DrawnBlocks(seed, random_blocks, i, last, has_end);
    }
    return drawn->second.count(j) == 1;
  };
}

Vector HeadRow(const HarnessChunk& chunk, int row, int part, int head, int d,
               int hidden) {
  const float* begin = chunk.qkv.data() + (row * 3 + part) * hidden + head * d;
  return Vector(begin, begin + d);
}

class TwinMaker {
 public:
  TwinMaker(const LayerHarness& harness, const PatternSetting& setting,
            Visibility visibility)
      : harness_(harness), setting_(setting), document_{0, visibility} {
    for (const HarnessChunk& chunk : harness.chunks()) {
      first_.push_back(document_.tokens);
      document_.tokens += chunk.own_end - chunk.own_begin;
    }
  }

  PatternTwin Run(size_t first) const {
    const size_t chunks = harness_.chunks().size();
    const int d = harness_.head_dim();
    PatternTwin twin = {Contexts(first), Contexts(first)};
    for (size_t i = first; i < chunks; ++i) {
      const int rows = harness_.chunks()[i].rows;
      twin.contexts.emplace_back(size_t(rows * harness_.hidden()));
      twin.weights.emplace_back(size_t(harness_.heads()) * chunks, 0.0);
      for (int head = 0; head < harness_.heads(); ++head) {
        double* shares = twin.weights[i].data() + size_t(head) * chunks;
        int seeing = 0;
        for (int row = 0; row < rows; ++row) {
          Vector row_shares(chunks, 0.0);
          const Vector context = Attend(int(i), row, head, &row_shares);
          std::copy_n(
              context.begin(), d,
              twin.contexts[i].begin() + row * harness_.hidden() + head * d);
          const double remote =
              std::accumulate(row_shares.begin(), row_shares.end(), 0.0);
          if (remote == 0) continue;
          ++seeing;
          for (size_t j = 0; j < chunks; ++j) {
            shares[j] += row_shares[j] / remote;
          }
        }
        for (size_t j = 0; j < chunks && seeing > 0; ++j) shares[j] /= seeing;
      }
    }
    return twin;
  }

 private:
  bool IsSeen(int i, int row, int j, int key) const {
    const HarnessChunk& mine = harness_.chunks()[size_t(i)];
    const HarnessChunk& other = harness_.chunks()[size_t(j)];
    const auto is_own = [](const HarnessChunk& chunk, int r) {
      return r >= chunk.own_begin && r < chunk.own_end;
    };
    const bool query_is_own = is_own(mine, row);
    const bool key_is_own = is_own(other, key);
    if (i == j && (!query_is_own || !key_is_own)) return true;
    if (!key_is_own) return false;
    if (document_.visibility == Visibility::kCausal && j > i) return false;
    if (!query_is_own) return setting_.special_sees;
    return setting_.sees(document_, first_[size_t(i)] + row - mine.own_begin,
                         first_[size_t(j)] + key - other.own_begin);
  }

  // shares: the attention weight on each other chunk.
  Vector Attend(int i, int row, int head, Vector* shares) const {
    const int d = harness_.head_dim();
    const int hidden = harness_.hidden();
    const auto& chunks = harness_.chunks();
    std::vector<TwinKey> keys;
    for (int j = 0; j < int(chunks.size()); ++j) {
      for (int key = 0; key < chunks[size_t(j)].rows; ++key) {
        if (!IsSeen(i, row, j, key)) continue;
        keys.push_back({HeadRow(chunks[size_t(j)], key, 1, head, d, hidden),
                        HeadRow(chunks[size_t(j)], key, 2, head, d, hidden),
                        j});
      }
    }
    Vector q = HeadRow(chunks[size_t(i)], row, 0, head, d, hidden);
    for (int step = 0; step < setting_.update_steps; ++step) {
      q = TwinMix(TwinWeights(q, keys), keys, &TwinKey::k);
    }
    const Vector weights = TwinWeights(q, keys);
    for (size_t t = 0; t < keys.size(); ++t) {
      if (keys[t].chunk != i) (*shares)[size_t(keys[t].chunk)] += weights[t];
    }
    return TwinMix(weights, keys, &TwinKey::v);
  }

  const LayerHarness& harness_;
  const PatternSetting& setting_;
  PatternDocument document_;
  std::vector<int64_t> first_;  // places of the chunks' first own tokens
};

}  // namespace

std::vector<PatternSetting> PatternSettings() {
  std::vector<PatternSetting> settings;
  const auto all = [](const PatternDocument&, int64_t, int64_t) {
    return true;
  };
  settings.push_back({"full", "full", {}, {}, all, true});
  for (int steps : {0, 1, 3}) {
    settings.push_back({absl::StrCat("hopfield ", steps),
                        "hopfield",
                        {.update_steps = steps},
                        {},
                        all,
                        true,
                        steps});
  }
  for (int64_t w : {0, 1, 5, 40, 1 << 20}) {
    settings.push_back({absl::StrCat("sliding_window ", w),
                        "sliding_window",
                        {.window_tokens = int(w)},
                        {},
                        [w](const PatternDocument&, int64_t q, int64_t k) {
                          return std::abs(q - k) <= w;
                        }});
  }
  for (int64_t l : {1, 2, 7, 16, 1 << 20}) {
    settings.push_back({absl::StrCat("strided ", l),
                        "strided",
                        {.stride_tokens = int(l)},
                        {},
                        [l](const PatternDocument&, int64_t q, int64_t k) {
                          return std::abs(q - k) < l || (q - k) % l == 0;
                        }});
  }
  const std::pair<int, int> stretches[] = {{1, 1}, {2, 1},    {8, 3},
                                           {8, 8}, {100, 32}, {1 << 20, 5}};
  for (const auto& [l, c] : stretches) {
    settings.push_back(
        {absl::StrCat("fixed ", l, " ", c),
         "fixed",
         {.stride_tokens = l, .summary_tokens = c},
         {},
         [l = l, c = c](const PatternDocument&, int64_t q, int64_t k) {
           return q / l == k / l || k % l >= l - c;
         }});
  }
  const std::vector<int64_t> globals[] = {
      {}, {3}, {0, 1, 2}, {5, 30, 31, 60, 75}, {1000000}};
  for (int64_t w : {0, 3, 200}) {
    for (const std::vector<int64_t>& tokens : globals) {
      std::set<int64_t> global(tokens.begin(), tokens.end());
      if (global.empty()) global.insert(0);
      settings.push_back(
          {absl::StrCat("global_local ", w, " ", absl::StrJoin(tokens, " ")),
           "global_local",
           {.window_tokens = int(w)},
           tokens,
           [w, global](const PatternDocument&, int64_t q, int64_t k) {
             return std::abs(q - k) <= w || global.count(q) == 1 ||
                    global.count(k) == 1;
           }});
    }
  }
  const int blocks[][3] = {{1, 2, 0},  {4, 0, 0},  {4, 3, 0},  {4, 3, 7},
                           {4, 99, 1}, {16, 1, 5}, {500, 3, 0}};
  for (const auto& [block, count, seed] : blocks) {
    settings.push_back(
        {absl::StrCat("random_blocks ", block, " ", count, " ", seed),
         "random_blocks",
         {.block_tokens = block, .random_blocks = count, .seed = seed},
         {},
         RandomBlocksSee(block, count, seed)});
  }
  return settings;
}

AttentionOptions WithSetting(AttentionOptions sizes,
                             const PatternSetting& setting,
                             Visibility visibility) {
  sizes.retrieval.visibility = visibility;
  sizes.mechanism = setting.options;
  FillMechanismOptions(DefaultMechanismOptions(), &sizes.mechanism);
  sizes.global_tokens = setting.global_tokens;
  return sizes;
}

Vector TwinWeights(const Vector& q, const std::vector<TwinKey>& keys) {
  Vector weights;
  for (const TwinKey& key : keys) {
    weights.push_back(
        std::inner_product(q.begin(), q.end(), key.k.begin(), 0.0) /
        std::sqrt(double(q.size())));
  }
  const double most = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - most);
  for (double& weight : weights) weight /= sum;
  return weights;
}

Vector TwinMix(const Vector& weights, const std::vector<TwinKey>& keys,
               Vector TwinKey::*part) {
  Vector mixed((keys[0].*part).size(), 0.0);
  for (size_t t = 0; t < keys.size(); ++t) {
    for (size_t i = 0; i < mixed.size(); ++i) {
      mixed[i] += weights[t] * (keys[t].*part)[i];
    }
  }
  return mixed;
}

PatternTwin MakePatternTwin(const LayerHarness& harness,
                            const PatternSetting& setting,
                            Visibility visibility, size_t first) {
  return TwinMaker(harness, setting, visibility).Run(first);
}

}  // namespace longhand::testing
