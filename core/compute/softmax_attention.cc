#include "core/compute/softmax_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/softmax_attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "core/compute/panels-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

// Keys whose scores are there at one time, and whose packed keys and values
// stay in the second-level cache. Chunks are rarely longer.
constexpr int kKeyBlock = 1024;

// What the walk over the blocks of keys keeps of each query.
struct RunningRow {
  float most;  // of its scores so far
  float sum;   // of e^(score - most)
};

struct Block {
  Panels keys;    // [head_dim, count], times the scale of the scores
  Panels values;  // [count, head_dim]
  int count;      // of keys
  bool is_first;
  bool is_last;
};

// scores[count padded] of one row in place to e^(score - most), most being that
// of the row so far, which is brought up to date. Returns the factor of what
// was summed before.
HWY_INLINE float Exponentials(const Block& block, int padded, float* scores,
                              RunningRow* row) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  std::fill(scores + block.count, scores + padded,
            std::numeric_limits<float>::lowest());
  V most = hn::LoadU(d, scores);
  for (int i = lanes; i < padded; i += lanes) {
    most = hn::Max(most, hn::LoadU(d, scores + i));
  }
  most = hn::MaxOfLanes(d, most);
  float factor = 0;
  if (!block.is_first) {
    const float before = row->most;
    most = hn::Max(most, hn::Set(d, before));
    factor = std::exp(before - hn::GetLane(most));
  }
  V sum = hn::Zero(d);
  for (int i = 0; i < padded; i += lanes) {
    V e = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), most));
    // If all scores are NaN or the lowest, the padding would be the largest.
    if (i + lanes > block.count) {
      e = hn::IfThenElseZero(
          hn::FirstN(d, size_t(std::max(block.count - i, 0))), e);
    }
    sum = hn::Add(sum, e);
    hn::StoreU(e, d, scores + i);
  }
  row->sum = hn::GetLane(hn::SumOfLanes(d, sum)) +
             (block.is_first ? 0.0f : factor * row->sum);
  row->most = hn::GetLane(most);
  return factor;
}

// kRows queries from `query` on against one block. scores: [kRows, padded].
template <int kRows>
HWY_INLINE void AttendRows(const SoftmaxAttentionArgs& args, const Block& block,
                           int query, float* scores, RunningRow* running) {
  const D d;
  const int width = PanelWidth();
  const int padded = RoundUp(block.count, width);
  const int64_t lanes = width / 2;
  for (int begin = 0; begin < padded; begin += width) {
    MultiplyPanel<kRows>(
        {args.queries + query * args.query_stride, args.query_stride, 1},
        args.head_dim, block.keys.data + begin / width * block.keys.size(),
        [&](int r, V left, V right) HWY_ATTR {
          float* out = scores + int64_t{r} * padded + begin;
          hn::StoreU(left, d, out);
          hn::StoreU(right, d, out + lanes);
        });
  }
  float kept[kRows], scale[kRows];
  for (int r = 0; r < kRows; ++r) {
    RunningRow& row = running[query + r];
    kept[r] = Exponentials(block, padded, scores + int64_t{r} * padded, &row);
    scale[r] = block.is_last ? 1.0f / row.sum : 1.0f;
    kept[r] *= scale[r];
    if (block.is_last && args.log_sums != nullptr) {
      args.log_sums[query + r] = row.most + std::log(row.sum);
    }
  }
  for (int begin = 0; begin < args.head_dim; begin += width) {
    MultiplyPanel<kRows>(
        {scores, padded, 1}, block.count,
        block.values.data + begin / width * block.values.size(),
        [&](int r, V left, V right) HWY_ATTR {
          StoreBlended(
              left, right, scale[r], kept[r],
              std::min(width, args.head_dim - begin),
              args.context + (query + r) * args.context_stride + begin);
        });
  }
}

void AttendBlock(const SoftmaxAttentionArgs& args, const Block& block,
                 float* scores, RunningRow* running) {
  ForEachRowTile(args.num_queries, [&](auto rows, int query) HWY_ATTR {
    AttendRows<decltype(rows)::value>(args, block, query, scores, running);
  });
}

// The same arguments for one head alone.
SoftmaxAttentionArgs HeadOf(const SoftmaxAttentionArgs& args, int head) {
  SoftmaxAttentionArgs one = args;
  const int offset = head * args.head_dim;
  one.queries += offset;
  one.keys += offset;
  one.values += offset;
  one.context += offset;
  one.num_heads = 1;
  if (one.log_sums != nullptr) {
    one.log_sums += int64_t{head} * args.num_queries;
  }
  return one;
}

struct Buffers {
  float* keys;
  float* values;
  float* scores;
  RunningRow* running;
};

void AttendHead(const SoftmaxAttentionArgs& args, const Buffers& buffers) {
  for (int begin = 0; begin < args.num_keys; begin += kKeyBlock) {
    const int count = std::min(kKeyBlock, args.num_keys - begin);
    const Block block = {.keys = {buffers.keys, args.head_dim},
                         .values = {buffers.values, count},
                         .count = count,
                         .is_first = begin == 0,
                         .is_last = begin + count == args.num_keys};
    PackTransposed(args.keys + begin * args.key_stride, args.key_stride, count,
                   args.scale, block.keys);
    Pack(args.values + begin * args.key_stride, args.key_stride, args.head_dim,
         1.0f, block.values);
    AttendBlock(args, block, buffers.scores, buffers.running);
  }
}

void SoftmaxAttention(const SoftmaxAttentionArgs& args, Workspace& workspace) {
  const int width = PanelWidth();
  const int most_keys = std::min(args.num_keys, kKeyBlock);
  const int padded = RoundUp(most_keys, width);
  const auto floats = [&](int64_t size) {
    return workspace.Allocate<float>(size_t(size));
  };
  const Buffers buffers = {
      floats(int64_t{padded} * args.head_dim),
      floats(int64_t{most_keys} * RoundUp(args.head_dim, width)),
      floats(int64_t{kMaxRows} * padded),
      workspace.Allocate<RunningRow>(size_t(args.num_queries))};
  for (int head = 0; head < args.num_heads; ++head) {
    AttendHead(HeadOf(args, head), buffers);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longhand {

HWY_EXPORT(SoftmaxAttention);

void SoftmaxAttention(const SoftmaxAttentionArgs& args, Workspace& workspace) {
  HWY_DYNAMIC_DISPATCH(SoftmaxAttention)(args, workspace);
}

}  // namespace longhand
#endif  // HWY_ONCE
