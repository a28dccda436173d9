#include "core/attention/running_softmax.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/compute/merge_ops.h"
#include "core/compute/vector_ops.h"
#include "core/compute/weighted_sum.h"

namespace longhand {
namespace {

// The log of e^a + e^b; a may be -infinity, b not.
float AddLogs(float a, float b) {
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

// Calls body(segment, its first index, begin, end) for every segment with some
// of the chosen keys: those at [begin, end) of `chosen`.
template <typename Body>
void ForEachSegment(const RunningSoftmax::Keys& keys, Body&& body) {
  const int count = static_cast<int>(keys.chosen.size());
  int first = 0, begin = 0;
  for (size_t s = 0; s < keys.segments.size() && begin < count; ++s) {
    const int next = first + keys.segments[s].count;
    const auto at =
        std::lower_bound(keys.chosen.begin() + begin, keys.chosen.end(), next);
    const int end = static_cast<int>(at - keys.chosen.begin());
    if (begin < end) body(s, first, begin, end);
    first = next;
    begin = end;
  }
}

}  // namespace

RunningSoftmax::RunningSoftmax(int head_dim, ComputeContext& compute)
    : head_dim_(head_dim),
      scale_(1.0f / std::sqrt(static_cast<float>(head_dim))),
      scores_(compute.workspace().Allocate<float>(size_t{kMaxRows} * kMaxKeys)),
      gathered_(compute.workspace().Allocate<float>(size_t{2} * kMaxKeys *
                                                    size_t(head_dim))),
      values_(compute.workspace().Allocate<float>(size_t{kMaxRows} *
                                                  size_t(head_dim))),
      log_sums_(compute.workspace().Allocate<float>(kMaxRows)),
      share_(compute.workspace().Allocate<float>(kMaxRows)),
      ones_(compute.workspace().Allocate<float>(kMaxRows)),
      pointers_(
          compute.workspace().Allocate<const float*>(2 * kMaxSparsePairs)),
      outputs_(compute.workspace().Allocate<float*>(kMaxSparsePairs)) {
  std::fill_n(ones_, kMaxRows, 1.0f);
}

void RunningSoftmax::Add(const Keys& keys, const Rows& rows) const {
  LH_CHECK(rows.count <= kMaxRows);
  for (size_t begin = 0; begin < keys.chosen.size(); begin += kMaxKeys) {
    Keys part = keys;
    part.chosen = keys.chosen.subspan(begin, kMaxKeys);
    if (!keys.places.empty()) {
      part.places = keys.places.subspan(begin, kMaxKeys);
    }
    AddPart(part, rows);
  }
}

void RunningSoftmax::AddPart(const Keys& keys, const Rows& rows) const {
  if (rows.count * int64_t(keys.chosen.size()) <= kMaxSparsePairs) {
    AttendSparse(keys, rows);
  } else {
    AttendDense(keys, rows);
  }
  if (rows.segment_log_sums != nullptr) AddSegmentSums(keys, rows);
  Merge(rows);
}

void RunningSoftmax::AttendDense(const Keys& keys, const Rows& rows) const {
  const int count = static_cast<int>(keys.chosen.size());
  const Operands operands = Gather(keys);
  Gemm(rows.count, count, head_dim_, scale_, {rows.queries, rows.query_stride},
       operands.keys, scores_, count);
  HideUnseen(keys, rows);
  SoftmaxRowsWithLogSum(scores_, rows.count, count, count, log_sums_);
  Gemm(rows.count, head_dim_, count, 1.0f, {scores_, count}, operands.values,
       values_, head_dim_);
}

void RunningSoftmax::AttendSparse(const Keys& keys, const Rows& rows) const {
  const int count = static_cast<int>(keys.chosen.size());
  const float** key = pointers_;
  const float** value = pointers_ + kMaxSparsePairs;
  ForEachSegment(keys, [&](size_t s, int first, int begin, int end) {
    const Segment& segment = keys.segments[s];
    for (int i = begin; i < end; ++i) {
      const int64_t offset = (keys.chosen[i] - first) * segment.stride;
      key[i] = segment.keys + offset;
      value[i] = segment.values + offset;
    }
  });
  for (int r = 0; r < rows.count; ++r) {
    Dots(rows.queries + r * rows.query_stride, {key, size_t(count)}, head_dim_,
         scale_, scores_ + int64_t{r} * count);
    outputs_[r] = values_ + int64_t{r} * head_dim_;
  }
  HideUnseen(keys, rows);
  SoftmaxRowsWithLogSum(scores_, rows.count, count, count, log_sums_);
  std::fill_n(values_, int64_t{rows.count} * head_dim_, 0.0f);
  WeightedSum({.x = {value, size_t(count)},
               .weights = scores_,
               .weight_stride = count,
               .y = {outputs_, size_t(rows.count)},
               .size = head_dim_});
}

RunningSoftmax::Operands RunningSoftmax::Gather(const Keys& keys) const {
  const int count = static_cast<int>(keys.chosen.size());
  const bool is_run = keys.chosen.back() - keys.chosen.front() == count - 1;
  float* const gathered_values = gathered_ + int64_t{kMaxKeys} * head_dim_;
  Operands operands = {{gathered_, head_dim_, /*transposed=*/true},
                       {gathered_values, head_dim_}};
  ForEachSegment(keys, [&](size_t s, int first, int begin, int end) {
    const Segment& segment = keys.segments[s];
    if (is_run && end - begin == count) {  // in place
      const int64_t offset = (keys.chosen[0] - first) * segment.stride;
      operands.keys.data = segment.keys + offset;
      operands.values.data = segment.values + offset;
      operands.keys.stride = operands.values.stride = segment.stride;
      return;
    }
    for (int i = begin; i < end; ++i) {
      const int64_t offset = (keys.chosen[i] - first) * segment.stride;
      std::copy_n(segment.keys + offset, head_dim_,
                  gathered_ + int64_t{i} * head_dim_);
      std::copy_n(segment.values + offset, head_dim_,
                  gathered_values + int64_t{i} * head_dim_);
    }
  });
  return operands;
}

void RunningSoftmax::HideUnseen(const Keys& keys, const Rows& rows) const {
  const auto index = [&keys](int64_t place) {
    return std::lower_bound(keys.places.begin(), keys.places.end(), place) -
           keys.places.begin();
  };
  const int64_t count = int64_t(keys.chosen.size());
  for (int r = 0; r < rows.count; ++r) {
    float* row = scores_ + r * count;
    const int64_t place = rows.place + r * rows.step;
    if (keys.farthest != kAnyDistance) {
      std::fill(row, row + index(place - keys.farthest), kUnseen);
      std::fill(row + index(place + keys.farthest + 1), row + count, kUnseen);
    }
    if (keys.nearest > 0) {
      std::fill(row + index(place - keys.nearest + 1),
                row + index(place + keys.nearest), kUnseen);
    }
  }
}

void RunningSoftmax::AddSegmentSums(const Keys& keys, const Rows& rows) const {
  const int64_t count = int64_t(keys.chosen.size());
  ForEachSegment(keys, [&](size_t s, int, int begin, int end) {
    float* sums = rows.segment_log_sums + int64_t(s) * rows.segment_stride;
    for (int r = 0; r < rows.count; ++r) {
      if (log_sums_[r] < kUnseen / 2) continue;
      float share = 0;
      for (int i = begin; i < end; ++i) share += scores_[r * count + i];
      if (share == 0) continue;
      float& sum = sums[r * rows.log_stride];
      sum = AddLogs(sum, log_sums_[r] + std::log(share));
    }
  });
}

void RunningSoftmax::Merge(const Rows& rows) const {
  for (int r = 0; r < rows.count; ++r) {
    share_[r] = 0;
    if (log_sums_[r] < kUnseen / 2) continue;
    float& log_sum = rows.log_sums[r * rows.log_stride];
    share_[r] = 1.0f / (1.0f + std::exp(log_sum - log_sums_[r]));
    log_sum = AddLogs(log_sum, log_sums_[r]);
  }
  BlendRows({.other = values_,
             .scale = ones_,
             .share = share_,
             .rows = rows.count,
             .size = head_dim_,
             .context = rows.context,
             .context_stride = rows.context_stride});
}

}  // namespace longhand
