#include "core/attention/state_mix.h"

#include <algorithm>

#include "core/compute/weighted_sum.h"

namespace longhand {
namespace {

// Blocks that are decoded and summed at a time: with the sums they stay in the
// second-level cache.
constexpr int64_t kTile = 64;
// All sums of a tile together go through the blocks several times as fast as
// one after the other, but meet blocks that a sum takes nothing from.
constexpr int64_t kDenseAdvantage = 3;

class StateMixer {
 public:
  StateMixer(const LayerStates& states, int head, int64_t head_floats,
             absl::Span<const StateMix> mixes, Workspace& workspace)
      : states_(states),
        head_(head),
        head_floats_(head_floats),
        mixes_(mixes),
        next_(workspace.Allocate<size_t>(mixes.size())),
        sums_(workspace.Allocate<float*>(mixes.size())),
        weights_(workspace.Allocate<float>(mixes.size() * size_t(kTile))),
        used_(workspace.Allocate<int>(size_t(states.size()))),
        place_(workspace.Allocate<int>(size_t(states.size()))),
        decoded_(workspace.Allocate<float>(size_t(kTile * head_floats))) {
    std::fill_n(next_, mixes.size(), 0);
    for (size_t m = 0; m < mixes.size(); ++m) sums_[m] = mixes[m].sum;
    FindUsed();
  }

  void Run() {
    for (int64_t begin = 0; begin < num_used_; begin += kTile) {
      const int64_t count = std::min<int64_t>(kTile, num_used_ - begin);
      const int64_t taken = FillWeights(begin, count);
      if (kDenseAdvantage * taken < int64_t(mixes_.size()) * count) {
        Load(begin, count, /*together=*/false);
        SumEach(count);
        continue;
      }
      Load(begin, count, /*together=*/mixes_.size() > 1);
      WeightedSum({.x = {blocks_, size_t(count)},
                   .weights = weights_,
                   .weight_stride = kTile,
                   .y = {sums_, mixes_.size()},
                   .size = head_floats_});
    }
  }

 private:
  // The slots that somebody takes something from, and their places among these.
  void FindUsed() {
    if (mixes_.size() == 1) {
      const StateMix& mix = mixes_[0];
      for (size_t i = 0; i < mix.slots.size(); ++i) {
        if (mix.weights[i] != 0) Use(mix.slots[i]);
      }
      return;
    }
    std::fill_n(place_, states_.size(), 0);
    for (const StateMix& mix : mixes_) {
      for (size_t i = 0; i < mix.slots.size(); ++i) {
        if (mix.weights[i] != 0) place_[mix.slots[i]] = 1;
      }
    }
    for (int slot = 0; slot < static_cast<int>(states_.size()); ++slot) {
      if (place_[slot] != 0) Use(slot);
    }
  }
  void Use(int slot) {
    place_[slot] = num_used_;
    used_[num_used_++] = slot;
  }

  // `count` blocks from `begin` on, side by side if they will be read several
  // times with others between.
  void Load(int64_t begin, int64_t count, bool together) {
    for (int64_t i = 0; i < count; ++i) {
      float* buffer = decoded_ + i * head_floats_;
      blocks_[i] = states_.Head(used_[begin + i], head_, buffer);
      if (together && blocks_[i] != buffer) {
        std::copy_n(blocks_[i], head_floats_, buffer);
        blocks_[i] = buffer;
      }
    }
  }

  // weights_[mixes, kTile] of `count` blocks from `begin` on; gives how many of
  // them are not 0.
  int64_t FillWeights(int64_t begin, int64_t count) {
    std::fill_n(weights_, int64_t(mixes_.size()) * kTile, 0.0f);
    int64_t taken = 0;
    for (size_t m = 0; m < mixes_.size(); ++m) {
      const StateMix& mix = mixes_[m];
      const int end = used_[begin + count - 1] + 1;
      for (; next_[m] < mix.slots.size() && mix.slots[next_[m]] < end;
           ++next_[m]) {
        const float weight = mix.weights[next_[m]];
        if (weight == 0) continue;
        weights_[int64_t(m) * kTile + place_[mix.slots[next_[m]]] - begin] =
            weight;
        ++taken;
      }
    }
    return taken;
  }

  // Mix by mix, without what it takes nothing from.
  void SumEach(int64_t count) {
    for (size_t m = 0; m < mixes_.size(); ++m) {
      const float* row = weights_ + int64_t(m) * kTile;
      const float* x[kTile];
      float weights[kTile];
      size_t taken = 0;
      for (int64_t i = 0; i < count; ++i) {
        if (row[i] == 0) continue;
        x[taken] = blocks_[i];
        weights[taken++] = row[i];
      }
      WeightedSum({.x = {x, taken},
                   .weights = weights,
                   .weight_stride = kTile,
                   .y = {sums_ + m, 1},
                   .size = head_floats_});
    }
  }

  const LayerStates& states_;
  const int head_;
  const int64_t head_floats_;
  const absl::Span<const StateMix> mixes_;
  size_t* const next_;    // [mixes]: the first slot that is still to come
  float** const sums_;    // [mixes]
  float* const weights_;  // [mixes, kTile]
  int* const used_;       // [num_used_]
  int* const place_;      // [slots]: of those that are used
  float* const decoded_;  // [kTile, head_floats]
  const float* blocks_[kTile];
  int num_used_ = 0;
};

}  // namespace

void MixStates(const LayerStates& states, int head, int64_t head_floats,
               absl::Span<const StateMix> mixes, Workspace& workspace) {
  if (mixes.empty()) return;
  StateMixer(states, head, head_floats, mixes, workspace).Run();
}

}  // namespace longhand
