#include "core/attention/chunk_selection.h"

#include <algorithm>
#include <cstdlib>

#include "core/compute/vector_ops.h"

namespace longhand {

bool ChunkSelection::IsPinned(int64_t slot, int64_t self) const {
  return slot < options_.anchors || std::abs(slot - self) <= options_.neighbors;
}

absl::Span<const int> ChunkSelection::Select(int64_t self,
                                             absl::Span<const float> scores,
                                             ComputeContext& compute) const {
  const int seen = static_cast<int>(scores.size());
  int* selected = compute.workspace().Allocate<int>(size_t(seen));
  int count = 0;
  if (options_.top_k == 0) {
    for (int slot = 0; slot < seen; ++slot) {
      if (slot != self) selected[count++] = slot;
    }
    return {selected, size_t(count)};
  }
  // The pinned ones first, then the best of the rest.
  for (int slot = 0; slot < seen; ++slot) {
    if (slot != self && IsPinned(slot, self)) selected[count++] = slot;
  }
  int* rest = selected + count;
  int rest_count = 0;
  for (int slot = 0; slot < seen; ++slot) {
    if (slot != self && !IsPinned(slot, self)) rest[rest_count++] = slot;
  }
  const int kept = std::min(options_.top_k, rest_count);
  if (kept < rest_count) {
    std::nth_element(rest, rest + kept, rest + rest_count, [&](int a, int b) {
      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
  }
  count += kept;
  std::sort(selected, selected + count);
  return {selected, size_t(count)};
}

int64_t ChunkSelection::Weigh(int64_t self, absl::Span<float> scores,
                              ComputeContext& compute) const {
  const int64_t slots = int64_t(scores.size());
  const absl::Span<const int> selected =
      Select(self, scores.subspan(0, size_t(NumSeen(self, slots))), compute);
  float* weights = compute.workspace().Allocate<float>(selected.size());
  for (size_t i = 0; i < selected.size(); ++i) weights[i] = scores[selected[i]];
  const int count = static_cast<int>(selected.size());
  SoftmaxRows(weights, 1, count, count);
  // Selected chunks are in order, so the anchors are the first ones.
  int anchors = 0;
  while (anchors < count && selected[anchors] < options_.anchors) ++anchors;
  if (options_.anchor_share > 0 && anchors > 0) {
    for (int i = 0; i < count; ++i) {
      weights[i] *= 1 - options_.anchor_share;
      if (i < anchors) weights[i] += options_.anchor_share / float(anchors);
    }
  }
  std::fill(scores.begin(), scores.end(), 0.0f);
  for (int i = 0; i < count; ++i) scores[selected[i]] = weights[i];
  return count;
}

}  // namespace longhand
