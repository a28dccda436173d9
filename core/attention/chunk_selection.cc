#include "core/attention/chunk_selection.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "core/compute/score_ops.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
// Scores that a threshold is guessed from.
constexpr int kSample = 512;

// Chunks [begin, end).
struct Range {
  int begin, end;
  int size() const { return end - begin; }
};

int* WriteRange(const Range& range, int* out) {
  for (int slot = range.begin; slot < range.end; ++slot) *out++ = slot;
  return out;
}

// The chunks that compete, on both sides of the neighbours.
struct Rivals {
  absl::Span<const float> scores;
  std::array<Range, 2> ranges;

  int size() const { return ranges[0].size() + ranges[1].size(); }
  float score(int index) const {
    return scores[size_t(index < ranges[0].size()
                             ? ranges[0].begin + index
                             : ranges[1].begin + index - ranges[0].size())];
  }
};

// A score that, by a sample of them, somewhat more than `count` reach.
float GuessThreshold(const Rivals& rivals, int count) {
  const int step = rivals.size() / kSample;
  if (step < 2) return kLowest;
  // Some four standard deviations of the sample above its part.
  const int expected = count / step;
  int place = expected + 8;
  while ((place - expected) * (place - expected) < 16 * place) ++place;
  if (place >= kSample / 2) return kLowest;
  std::array<float, kSample> sample;
  int size = 0;
  for (int i = 0; i < kSample; ++i) {
    const float score = rivals.score(i * step);
    if (score == score) sample[size_t(size++)] = score;  // no NaN
  }
  if (place >= size) return kLowest;
  std::nth_element(sample.begin(), sample.begin() + place,
                   sample.begin() + size, std::greater<float>());
  return sample[size_t(place)];
}

// Those that reach the threshold, ascending.
int Reaching(const Rivals& rivals, float threshold, int* out) {
  int count = 0;
  for (const Range& range : rivals.ranges) {
    count += static_cast<int>(IndicesAtLeast(
        rivals.scores.data(), range.begin, range.end, threshold, out + count));
  }
  return count;
}

// Leaves the `kept` best of candidates [count], ascending as they are, and
// gives their number. spare: [count].
int KeepBest(absl::Span<const float> scores, int kept, int count, int* spare,
             int* candidates) {
  if (count <= kept) return count;
  const auto is_better = [&](int a, int b) {
    return scores[size_t(a)] != scores[size_t(b)]
               ? scores[size_t(a)] > scores[size_t(b)]
               : a < b;
  };
  std::copy_n(candidates, count, spare);
  std::nth_element(spare, spare + kept - 1, spare + count, is_better);
  const int last = spare[kept - 1];
  int size = 0;
  for (int i = 0; i < count; ++i) {
    const int slot = candidates[i];
    if (slot == last || is_better(slot, last)) candidates[size++] = slot;
  }
  return size;
}

}  // namespace

int ChunkSelection::Select(int64_t self, absl::Span<const float> scores,
                           int* spare, int* selected) const {
  const int64_t seen = int64_t(scores.size());
  const auto range = [seen](int64_t begin, int64_t end) {
    const int64_t first = std::clamp<int64_t>(begin, 0, seen);
    return Range{static_cast<int>(first),
                 static_cast<int>(std::clamp(end, first, seen))};
  };
  int* out = selected;
  if (options_.top_k == 0) {
    out = WriteRange(range(0, self), out);
    out = WriteRange(range(self + 1, seen), out);
    return static_cast<int>(out - selected);
  }
  const int64_t anchors = std::min<int64_t>(options_.anchors, seen);
  const int64_t first_neighbor =
      std::max(anchors, self - int64_t{options_.neighbors});
  const int64_t last_neighbor =
      std::max(anchors - 1, self + int64_t{options_.neighbors});
  const Rivals rivals = {
      scores, {range(anchors, first_neighbor), range(last_neighbor + 1, seen)}};
  int count = std::min(options_.top_k, rivals.size());
  if (count == rivals.size()) {
    WriteRange(rivals.ranges[1], WriteRange(rivals.ranges[0], spare));
  } else {
    const int kept = count;
    count = Reaching(rivals, GuessThreshold(rivals, kept), spare);
    if (count < kept) count = Reaching(rivals, kLowest, spare);
    count = KeepBest(scores, kept, count, selected, spare);
  }
  const int* const end = spare + count;
  const int* const middle =
      std::lower_bound(spare + 0, spare + count, last_neighbor + 1);
  const auto write_others = [&](const Range& pinned) {
    out = WriteRange(range(pinned.begin, std::min<int64_t>(self, pinned.end)),
                     out);
    out = WriteRange(
        range(std::max<int64_t>(self + 1, pinned.begin), pinned.end), out);
  };
  write_others(range(0, anchors));
  out = std::copy(static_cast<const int*>(spare), middle, out);
  write_others(range(first_neighbor, last_neighbor + 1));
  out = std::copy(middle, end, out);
  return static_cast<int>(out - selected);
}

int ChunkSelection::Weigh(int64_t self, absl::Span<const float> scores,
                          int* spare, int* selected, float* weights) const {
  const int count = Select(self, scores, spare, selected);
  for (int i = 0; i < count; ++i) weights[i] = scores[size_t(selected[i])];
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
  return count;
}

int64_t ChunkSelection::WeighInPlace(int64_t self, absl::Span<float> scores,
                                     ComputeContext& compute) const {
  const size_t seen = size_t(NumSeen(self, int64_t(scores.size())));
  Workspace& workspace = compute.workspace();
  int* spare = workspace.Allocate<int>(seen);
  int* selected = workspace.Allocate<int>(seen);
  float* weights = workspace.Allocate<float>(seen);
  const int count =
      Weigh(self, scores.subspan(0, seen), spare, selected, weights);
  std::fill(scores.begin(), scores.end(), 0.0f);
  for (int i = 0; i < count; ++i) scores[size_t(selected[i])] = weights[i];
  return count;
}

}  // namespace longhand
