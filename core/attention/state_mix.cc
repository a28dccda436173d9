#include "core/attention/state_mix.h"

#include <algorithm>

#include "core/compute/weighted_sum.h"

namespace longhand {
namespace {

// Blocks that are decoded and summed at a time: with those of the next tile and
// the sums they stay in the second-level cache.
constexpr int64_t kTile = 32;
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
      const absl::Span<const float* const> blocks = Load(begin);
      const absl::Span<const float* const> next = Upcoming(begin + kTile);
      if (FillWeights(begin, int64_t(blocks.size()))) {
        WeightedSum({.x = blocks,
                     .weights = weights_,
                     .weight_stride = kTile,
                     .y = {sums_, mixes_.size()},
                     .size = head_floats_,
                     .next = next});
      } else {
        SumEach(blocks, next);
      }
    }
  }

 private:
  // The slots that somebody takes something from, and their places among these.
  void FindUsed() {
    std::fill_n(place_, states_.size(), 0);
    for (const StateMix& mix : mixes_) {
      for (size_t i = 0; i < mix.slots.size(); ++i) {
        if (mix.weights[i] != 0) place_[mix.slots[i]] = 1;
      }
    }
    for (int slot = 0; slot < static_cast<int>(states_.size()); ++slot) {
      if (place_[slot] == 0) continue;
      place_[slot] = num_used_;
      used_[num_used_++] = slot;
    }
  }

  absl::Span<const float* const> Load(int64_t begin) {
    const int64_t count = std::min<int64_t>(kTile, num_used_ - begin);
    for (int64_t i = 0; i < count; ++i) {
      blocks_[i] =
          states_.Head(used_[begin + i], head_, decoded_ + i * head_floats_);
    }
    return {blocks_, size_t(count)};
  }

  // What is read for the tile from `begin` on, as far as it need not be
  // decoded.
  absl::Span<const float* const> Upcoming(int64_t begin) {
    int64_t count = 0;
    for (int64_t i = begin; i < std::min<int64_t>(begin + kTile, num_used_);
         ++i) {
      const ChunkState& state = *states_.chunks[size_t(used_[i])];
      if (!state.codec().is_identity()) continue;
      upcoming_[count++] = states_.Head(used_[i], head_, nullptr);
    }
    return {upcoming_, size_t(count)};
  }

  // weights_[mixes, kTile] of `count` blocks from `begin` on; whether they are
  // many enough to sum all together.
  bool FillWeights(int64_t begin, int64_t count) {
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
    return kDenseAdvantage * taken >= int64_t(mixes_.size()) * count;
  }

  // Mix by mix, without what it takes nothing from.
  void SumEach(absl::Span<const float* const> blocks,
               absl::Span<const float* const> next) {
    const size_t share = (next.size() + mixes_.size() - 1) / mixes_.size();
    for (size_t m = 0; m < mixes_.size(); ++m) {
      const float* row = weights_ + int64_t(m) * kTile;
      const float* x[kTile];
      float weights[kTile];
      size_t count = 0;
      for (size_t i = 0; i < blocks.size(); ++i) {
        if (row[i] == 0) continue;
        x[count] = blocks[i];
        weights[count++] = row[i];
      }
      WeightedSum(
          {.x = {x, count},
           .weights = weights,
           .weight_stride = kTile,
           .y = {sums_ + m, 1},
           .size = head_floats_,
           .next = next.subspan(std::min(m * share, next.size()), share)});
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
  int* const place_;      // [slots]
  float* const decoded_;  // [kTile, head_floats]
  const float* blocks_[kTile];
  const float* upcoming_[kTile];
  int num_used_ = 0;
};

}  // namespace

void MixStates(const LayerStates& states, int head, int64_t head_floats,
               absl::Span<const StateMix> mixes, Workspace& workspace) {
  if (mixes.empty()) return;
  StateMixer(states, head, head_floats, mixes, workspace).Run();
}

}  // namespace longhand
