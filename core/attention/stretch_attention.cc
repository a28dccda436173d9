#include "core/attention/stretch_attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/compute/merge_ops.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

constexpr float kSelfScore = -1e5f;
// Queries that are scored at a time.
constexpr int64_t kQueryTile = 64;

}  // namespace

StretchAttention::StretchAttention(const StretchOrder& order, int rows,
                                   int head_dim, int64_t hidden,
                                   ComputeContext& compute)
    : order_(order),
      rows_(rows),
      d_(head_dim),
      hidden_(hidden),
      query_tile_(std::min(kQueryTile, order.stretch)) {
  Workspace& workspace = compute.workspace();
  const size_t d = size_t(head_dim);
  const size_t tile = size_t(query_tile_);
  // A row has one place in a round.
  const size_t seen = size_t(std::min<int64_t>(order.stretch, rows) *
                             (1 + order.before + order.after));
  query_rows_ = workspace.Allocate<int32_t>(size_t(order.stretch));
  key_rows_ = workspace.Allocate<int32_t>(seen);
  last_place_ = workspace.Allocate<int32_t>(size_t(rows));
  place_before_ = workspace.Allocate<int32_t>(seen);
  queries_ = workspace.Allocate<float>(tile * d);
  keys_ = workspace.Allocate<float>(seen * d);
  values_ = workspace.Allocate<float>(seen * d);
  scores_ = workspace.Allocate<float>(tile * seen);
  out_ = workspace.Allocate<float>(tile * d);
  earlier_ = workspace.Allocate<float>(tile * d);
  log_masses_ = workspace.Allocate<float>(tile);
  all_masses_ = workspace.Allocate<float>(size_t(order.rounds) * size_t(rows));
  total_ = workspace.Allocate<float>(size_t(rows));
  ones_ = workspace.Allocate<float>(tile);
  shares_ = workspace.Allocate<float>(tile);
  std::fill_n(last_place_, rows, -1);
  std::fill_n(ones_, tile, 1.0f);
}

int StretchAttention::CollectRows(int64_t stretch, int32_t* out) const {
  const int32_t* begin = order_.rows + stretch * order_.stretch;
  return int(std::copy_if(begin, begin + order_.stretch, out,
                          [](int32_t row) { return row >= 0; }) -
             out);
}

int StretchAttention::CollectSeen(int64_t stretch, int32_t* out) const {
  const int64_t all = order_.stretches();
  int count = 0;
  for (int64_t step = -order_.before; step <= order_.after; ++step) {
    // The circle goes round once: a stretch that would lie further away is the
    // row's own, once more, as in the public implementation.
    const int64_t shift = std::abs(step) < all ? step : 0;
    count += CollectRows((stretch + shift + all) % all, out + count);
  }
  return count;
}

void StretchAttention::Gather(const MatrixView& x, const int32_t* rows,
                              int count, float* out) const {
  for (int i = 0; i < count; ++i) {
    out = std::copy_n(x.data + rows[i] * x.stride, d_, out);
  }
}

void StretchAttention::MaskSelf(const int32_t* queries, int count, int keys) {
  for (int i = 0; i < count; ++i) {
    float* scores = scores_ + int64_t{i} * keys;
    for (int32_t place = last_place_[queries[i]]; place >= 0;
         place = place_before_[place]) {
      scores[place] = kSelfScore;
    }
  }
}

void StretchAttention::Merge(const StretchHead& head, const int32_t* queries,
                             int count) {
  for (int i = 0; i < count; ++i) {
    float& total = total_[queries[i]];
    const float x = log_masses_[i] - total;
    shares_[i] = 1.0f / (1.0f + std::exp(-x));
    total =
        std::max(log_masses_[i], total) + std::log1p(std::exp(-std::abs(x)));
  }
  Gather({head.context, hidden_}, queries, count, earlier_);
  BlendRows({.other = out_,
             .scale = ones_,
             .share = shares_,
             .rows = count,
             .size = d_,
             .context = earlier_,
             .context_stride = d_});
}

void StretchAttention::RunStretch(const StretchHead& head, int64_t stretch) {
  const int num_queries = CollectRows(stretch, query_rows_);
  if (num_queries == 0) return;
  const int keys = CollectSeen(stretch, key_rows_);
  Gather(head.keys, key_rows_, keys, keys_);
  Gather(head.values, key_rows_, keys, values_);
  if (head.masks_self) {
    for (int i = 0; i < keys; ++i) {
      place_before_[i] = last_place_[key_rows_[i]];
      last_place_[key_rows_[i]] = i;
    }
  }
  const int64_t round = stretch * order_.stretch / order_.places;
  for (int begin = 0; begin < num_queries; begin += int(query_tile_)) {
    const int count = std::min(int(query_tile_), num_queries - begin);
    const int32_t* queries = query_rows_ + begin;
    Gather(head.queries, queries, count, queries_);
    Gemm(count, keys, d_, head.scale, {queries_, d_},
         {keys_, d_, /*transposed=*/true}, scores_, keys);
    if (head.masks_self) MaskSelf(queries, count, keys);
    SoftmaxRowsWithLogSum(scores_, count, keys, keys, log_masses_);
    Gemm(count, d_, keys, 1.0f, {scores_, keys}, {values_, d_}, out_, d_);
    const float* result = out_;
    if (round > 0) {
      Merge(head, queries, count);
      result = earlier_;
    }
    for (int i = 0; i < count; ++i) {
      std::copy_n(result + int64_t{i} * d_, d_,
                  head.context + queries[i] * hidden_);
      all_masses_[round * rows_ + queries[i]] = log_masses_[i];
      if (round == 0) total_[queries[i]] = log_masses_[i];
    }
  }
  if (head.masks_self) {
    for (int i = 0; i < keys; ++i) last_place_[key_rows_[i]] = -1;
  }
}

float StretchAttention::LonelyScale(int row) const {
  const float* masses = all_masses_ + row;
  float most = masses[0];
  for (int i = 1; i < order_.rounds; ++i) {
    most = std::max(most, masses[int64_t{i} * rows_]);
  }
  float sum = 0;
  for (int i = 0; i < order_.rounds; ++i) {
    sum += std::exp(masses[int64_t{i} * rows_] - most);
  }
  const float total = most + std::log(sum);
  float scale = 0;
  for (int i = 0; i < order_.rounds; ++i) {
    const float mass = masses[int64_t{i} * rows_];
    // Copies of the row that it sees in this round.
    const float copies = std::round(std::exp(mass - kSelfScore));
    scale += std::exp(mass - total) * copies * std::exp(kSelfScore - mass);
  }
  return scale;
}

void StretchAttention::ScaleLonely(const StretchHead& head) {
  for (int row = 0; row < rows_; ++row) {
    if (total_[row] > kSelfScore / 2) continue;
    Scale(LonelyScale(row), d_, head.context + row * hidden_);
  }
}

void StretchAttention::Run(const StretchHead& head) {
  std::fill_n(total_, rows_, 0.0f);
  for (int64_t i = 0; i < order_.stretches(); ++i) RunStretch(head, i);
  if (head.masks_self) ScaleLonely(head);
}

}  // namespace longhand
