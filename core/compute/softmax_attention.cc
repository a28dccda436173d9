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
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Keys whose scores are there at one time, and whose packed keys and values
// stay in the second-level cache. Chunks are rarely longer.
constexpr int kKeyBlock = 1024;
// Queries in work together: with two vectors of results each they leave AVX2's
// registers room for the operands.
constexpr int kMaxRows = 6;

// Columns of a packed panel: what a row's registers hold.
HWY_INLINE int PanelWidth() { return 2 * static_cast<int>(hn::Lanes(D())); }

HWY_INLINE int RoundUp(int size, int multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

// A matrix [depth, columns] as panels: [columns / width][depth][width], the
// last one filled up with zeros.
struct Panels {
  float* data;
  int depth;
  int64_t size() const { return int64_t{depth} * PanelWidth(); }
};

// The transpose of 4 rows of 4: out[c * width + r] = factor * rows[r][c].
HWY_INLINE void TransposeBlock(const float* rows, int64_t stride, float factor,
                               float* out, int64_t width) {
#if HWY_TARGET == HWY_SCALAR
  for (int r = 0; r < 4; ++r) {
    for (int c = 0; c < 4; ++c) {
      out[c * width + r] = factor * rows[r * stride + c];
    }
  }
#else
  const hn::FixedTag<float, 4> d;
  const auto scale = hn::Set(d, factor);
  const auto a = hn::Mul(scale, hn::LoadU(d, rows));
  const auto b = hn::Mul(scale, hn::LoadU(d, rows + stride));
  const auto c = hn::Mul(scale, hn::LoadU(d, rows + 2 * stride));
  const auto e = hn::Mul(scale, hn::LoadU(d, rows + 3 * stride));
  const auto ab_low = hn::InterleaveLower(d, a, b);
  const auto ce_low = hn::InterleaveLower(d, c, e);
  const auto ab_high = hn::InterleaveUpper(d, a, b);
  const auto ce_high = hn::InterleaveUpper(d, c, e);
  hn::StoreU(hn::ConcatLowerLower(d, ce_low, ab_low), d, out);
  hn::StoreU(hn::ConcatUpperUpper(d, ce_low, ab_low), d, out + width);
  hn::StoreU(hn::ConcatLowerLower(d, ce_high, ab_high), d, out + 2 * width);
  hn::StoreU(hn::ConcatUpperUpper(d, ce_high, ab_high), d, out + 3 * width);
#endif
}

// Panels of the transpose of factor * rows[count, depth].
void PackTransposed(const float* rows, int64_t stride, int count, float factor,
                    const Panels& panels) {
  const int width = PanelWidth();
  for (int begin = 0; begin < count; begin += width) {
    float* panel = panels.data + begin / width * panels.size();
    const int columns = std::min(width, count - begin);
    if (columns < width) std::fill_n(panel, panels.size(), 0.0f);
    const float* block = rows + begin * stride;
    int c = 0;
    for (; c + 4 <= columns; c += 4) {
      int k = 0;
      for (; k + 4 <= panels.depth; k += 4) {
        TransposeBlock(block + c * stride + k, stride, factor,
                       panel + int64_t{k} * width + c, width);
      }
      for (; k < panels.depth; ++k) {
        for (int i = c; i < c + 4; ++i) {
          panel[int64_t{k} * width + i] = factor * block[i * stride + k];
        }
      }
    }
    for (; c < columns; ++c) {
      for (int k = 0; k < panels.depth; ++k) {
        panel[int64_t{k} * width + c] = factor * block[c * stride + k];
      }
    }
  }
}

// Panels of rows[depth, columns].
void Pack(const float* rows, int64_t stride, int columns,
          const Panels& panels) {
  const int width = PanelWidth();
  for (int begin = 0; begin < columns; begin += width) {
    float* panel = panels.data + begin / width * panels.size();
    const int count = std::min(width, columns - begin);
    for (int k = 0; k < panels.depth; ++k) {
      float* out = std::copy_n(rows + k * stride + begin, count,
                               panel + int64_t{k} * width);
      std::fill_n(out, width - count, 0.0f);
    }
  }
}

// out[r] = a[r] * panel for kRows rows of `depth`, two vectors each.
template <int kRows, typename Store>
HWY_INLINE void MultiplyPanel(const float* HWY_RESTRICT a, int64_t stride,
                              int depth, const float* HWY_RESTRICT panel,
                              Store&& store) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V left[kRows], right[kRows];
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = hn::Zero(d);
  for (int k = 0; k < depth; ++k, panel += 2 * lanes) {
    const V b0 = hn::LoadU(d, panel);
    const V b1 = hn::LoadU(d, panel + lanes);
    HWY_UNROLL(6)
    for (int r = 0; r < kRows; ++r) {
      const V x = hn::Set(d, a[r * stride + k]);
      left[r] = hn::MulAdd(x, b0, left[r]);
      right[r] = hn::MulAdd(x, b1, right[r]);
    }
  }
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) store(r, left[r], right[r]);
}

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

// y[0, count) = kept * y + scale * (left, right).
HWY_INLINE void Blend(V left, V right, float scale, float kept, int count,
                      float* y) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const V by = hn::Set(d, scale);
  left = hn::Mul(left, by);
  right = hn::Mul(right, by);
  if (count == 2 * lanes) {
    if (kept != 0) {
      const V keep = hn::Set(d, kept);
      left = hn::MulAdd(keep, hn::LoadU(d, y), left);
      right = hn::MulAdd(keep, hn::LoadU(d, y + lanes), right);
    }
    hn::StoreU(left, d, y);
    hn::StoreU(right, d, y + lanes);
    return;
  }
  HWY_ALIGN float values[2 * hn::MaxLanes(D())];
  hn::StoreU(left, d, values);
  hn::StoreU(right, d, values + lanes);
  for (int i = 0; i < count; ++i) {
    y[i] = kept != 0 ? kept * y[i] + values[i] : values[i];
  }
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
    MultiplyPanel<kRows>(args.queries + query * args.query_stride,
                         args.query_stride, args.head_dim,
                         block.keys.data + begin / width * block.keys.size(),
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
        scores, padded, block.count,
        block.values.data + begin / width * block.values.size(),
        [&](int r, V left, V right) HWY_ATTR {
          Blend(left, right, scale[r], kept[r],
                std::min(width, args.head_dim - begin),
                args.context + (query + r) * args.context_stride + begin);
        });
  }
}

void AttendBlock(const SoftmaxAttentionArgs& args, const Block& block,
                 float* scores, RunningRow* running) {
  int query = 0;
  for (; query + kMaxRows <= args.num_queries; query += kMaxRows) {
    AttendRows<kMaxRows>(args, block, query, scores, running);
  }
  switch (args.num_queries - query) {
    case 1:
      return AttendRows<1>(args, block, query, scores, running);
    case 2:
      return AttendRows<2>(args, block, query, scores, running);
    case 3:
      return AttendRows<3>(args, block, query, scores, running);
    case 4:
      return AttendRows<4>(args, block, query, scores, running);
    case 5:
      return AttendRows<5>(args, block, query, scores, running);
    default:
      return;
  }
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
         block.values);
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
