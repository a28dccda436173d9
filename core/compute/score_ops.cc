#include "core/compute/score_ops.h"

#include <algorithm>

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/score_ops.cc"
#include "hwy/foreach_target.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "core/compute/vector_loops-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

// Queries in work together: with two vectors of scores each they leave AVX2's
// registers room for the operands.
constexpr int kQueryTile = 6;
// Bytes that come from memory at a time.
constexpr int64_t kLineFloats = 64 / sizeof(float);

// Keys of a panel, which holds their transpose [size, width].
HWY_INLINE int PanelWidth() { return 2 * static_cast<int>(hn::Lanes(D())); }

// out[c * width + r] = keys[r][c] for 4 keys and 4 columns.
HWY_INLINE void TransposeBlock(const float* const* keys, int64_t column,
                               int64_t width, float* HWY_RESTRICT out) {
#if HWY_TARGET == HWY_SCALAR
  for (int r = 0; r < 4; ++r) {
    for (int c = 0; c < 4; ++c) out[c * width + r] = keys[r][column + c];
  }
#else
  const hn::FixedTag<float, 4> d;
  const auto k0 = hn::LoadU(d, keys[0] + column);
  const auto k1 = hn::LoadU(d, keys[1] + column);
  const auto k2 = hn::LoadU(d, keys[2] + column);
  const auto k3 = hn::LoadU(d, keys[3] + column);
  const auto low01 = hn::InterleaveLower(d, k0, k1);
  const auto low23 = hn::InterleaveLower(d, k2, k3);
  const auto high01 = hn::InterleaveUpper(d, k0, k1);
  const auto high23 = hn::InterleaveUpper(d, k2, k3);
  hn::StoreU(hn::ConcatLowerLower(d, low23, low01), d, out);
  hn::StoreU(hn::ConcatUpperUpper(d, low23, low01), d, out + width);
  hn::StoreU(hn::ConcatLowerLower(d, high23, high01), d, out + 2 * width);
  hn::StoreU(hn::ConcatUpperUpper(d, high23, high01), d, out + 3 * width);
#endif
}

// The panel of `count` keys, the rest of it zeros.
HWY_INLINE void PackKeys(const float* const* keys, int count, int64_t size,
                         float* HWY_RESTRICT panel) {
  const int width = PanelWidth();
  if (count < width) std::fill_n(panel, size * width, 0.0f);
  int r = 0;
  for (; r + 4 <= count; r += 4) {
    int64_t c = 0;
    for (; c + 4 <= size; c += 4) {
      TransposeBlock(keys + r, c, width, panel + c * width + r);
    }
    for (; c < size; ++c) {
      for (int i = r; i < r + 4; ++i) panel[c * width + i] = keys[i][c];
    }
  }
  for (; r < count; ++r) {
    for (int64_t c = 0; c < size; ++c) panel[c * width + r] = keys[r][c];
  }
}

HWY_INLINE void PrefetchKeys(const float* const* keys, int64_t count,
                             int64_t size) {
  for (int64_t s = 0; s < count; ++s) {
    for (int64_t c = 0; c < size; c += kLineFloats) {
      hwy::Prefetch(keys[s] + c);
    }
    // Where a key does not begin at a line it ends in one more.
    hwy::Prefetch(keys[s] + size - 1);
  }
}

// The scores of kRows queries from `row` on with a panel's `count` keys, the
// first of which is `slot`.
template <int kRows>
HWY_INLINE void ScorePanel(const ScoresArgs& args, size_t row, int64_t slot,
                           int count, const float* HWY_RESTRICT panel) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  const float* const* queries = args.queries.data() + row;
  V left[kRows], right[kRows];
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = hn::Zero(d);
  for (int64_t c = 0; c < args.size; ++c, panel += 2 * lanes) {
    const V k0 = hn::Load(d, panel);
    const V k1 = hn::Load(d, panel + lanes);
    HWY_UNROLL(6)
    for (int r = 0; r < kRows; ++r) {
      const V q = hn::Set(d, queries[r][c]);
      left[r] = hn::MulAdd(q, k0, left[r]);
      right[r] = hn::MulAdd(q, k1, right[r]);
    }
  }
  const V factor = hn::Set(d, args.factor);
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) {
    const V first = hn::Mul(left[r], factor);
    const V second = hn::Mul(right[r], factor);
    float* out = args.scores + int64_t(row + r) * args.score_stride + slot;
    if (count == 2 * lanes) {
      hn::StoreU(first, d, out);
      hn::StoreU(second, d, out + lanes);
      continue;
    }
    StorePartial(first, out, size_t(std::min<int64_t>(count, lanes)));
    if (count > lanes) StorePartial(second, out + lanes, size_t(count - lanes));
  }
}

void ScoreRows(const ScoresArgs& args, int64_t slot, int count,
               const float* panel) {
  size_t row = 0;
  for (; row + kQueryTile <= args.queries.size(); row += kQueryTile) {
    ScorePanel<kQueryTile>(args, row, slot, count, panel);
  }
  switch (args.queries.size() - row) {
    case 1:
      return ScorePanel<1>(args, row, slot, count, panel);
    case 2:
      return ScorePanel<2>(args, row, slot, count, panel);
    case 3:
      return ScorePanel<3>(args, row, slot, count, panel);
    case 4:
      return ScorePanel<4>(args, row, slot, count, panel);
    case 5:
      return ScorePanel<5>(args, row, slot, count, panel);
    default:
      return;
  }
}

void Scores(const ScoresArgs& args, Workspace& workspace) {
  const int64_t slots = int64_t(args.keys.size());
  const int width = PanelWidth();
  // The keys lie far from each other, where no hardware sees them coming.
  const int64_t ahead = 2 * int64_t{width};
  float* panel = workspace.Allocate<float>(size_t(args.size * width));
  PrefetchKeys(args.keys.data(), std::min(ahead, slots), args.size);
  for (int64_t slot = 0; slot < slots; slot += width) {
    if (slot + ahead < slots) {
      PrefetchKeys(args.keys.data() + slot + ahead,
                   std::min<int64_t>(width, slots - slot - ahead), args.size);
    }
    const int count = static_cast<int>(std::min<int64_t>(width, slots - slot));
    PackKeys(args.keys.data() + slot, count, args.size, panel);
    ScoreRows(args, slot, count, panel);
  }
}

// The scores of one query with kVectors vectors of keys from `slot` on, of
// which `count` are wanted.
template <int kVectors>
HWY_INLINE void ScoreColumns(const ColumnScoresArgs& args, size_t row,
                             int64_t slot, int64_t count) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  const float* HWY_RESTRICT query = args.queries[row];
  const float* HWY_RESTRICT column = args.columns + slot;
  V sums[kVectors];
  HWY_UNROLL(4)
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  for (int64_t c = 0; c < args.size; ++c, column += args.stride) {
    const V q = hn::Set(d, query[c]);
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = hn::MulAdd(q, hn::LoadU(d, column + v * lanes), sums[v]);
    }
  }
  const V factor = hn::Set(d, args.factor);
  float* out = args.scores + int64_t(row) * args.score_stride + slot;
  HWY_UNROLL(4)
  for (int v = 0; v < kVectors; ++v) {
    const V score = hn::Mul(sums[v], factor);
    const int64_t left = count - v * lanes;
    if (left >= lanes) {
      hn::StoreU(score, d, out + v * lanes);
    } else if (left > 0) {
      StorePartial(score, out + v * lanes, size_t(left));
    }
  }
}

void ColumnScores(const ColumnScoresArgs& args) {
  const int64_t step = 4 * int64_t(hn::Lanes(D()));
  for (size_t row = 0; row < args.queries.size(); ++row) {
    int64_t slot = 0;
    for (; slot + step <= args.stride && slot < args.slots; slot += step) {
      ScoreColumns<4>(args, row, slot, args.slots - slot);
    }
    for (; slot < args.slots; slot += step / 4) {
      ScoreColumns<1>(args, row, slot, args.slots - slot);
    }
  }
}

// Writes begin + the places of the bits of `found`.
HWY_INLINE int* WriteFound(hn::Mask<D> found, int begin, int* out) {
  uint8_t bytes[hn::MaxLanes(D()) / 8 + 8] = {};
  const size_t used = hn::StoreMaskBits(D(), found, bytes);
  for (size_t byte = 0; byte < used; ++byte) {
    for (unsigned bits = bytes[byte]; bits != 0; bits &= bits - 1) {
      *out++ = begin + static_cast<int>(8 * byte) + __builtin_ctz(bits);
    }
  }
  return out;
}

int64_t IndicesAtLeast(const float* x, int begin, int end, float threshold,
                       int* out) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const V bound = hn::Set(d, threshold);
  const auto reach = [&](int i) HWY_ATTR {
    return hn::Ge(hn::LoadU(d, x + i), bound);
  };
  int* const first = out;
  int i = begin;
  // Most of the time nothing is there.
  for (; i + 4 * lanes <= end; i += 4 * lanes) {
    const auto a = reach(i), b = reach(i + lanes), c = reach(i + 2 * lanes),
               e = reach(i + 3 * lanes);
    if (hn::AllFalse(d, hn::Or(hn::Or(a, b), hn::Or(c, e)))) continue;
    out = WriteFound(a, i, out);
    out = WriteFound(b, i + lanes, out);
    out = WriteFound(c, i + 2 * lanes, out);
    out = WriteFound(e, i + 3 * lanes, out);
  }
  for (; i < end; ++i) {
    if (x[i] >= threshold) *out++ = i;
  }
  return out - first;
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longhand {

HWY_EXPORT(Scores);
HWY_EXPORT(ColumnScores);
HWY_EXPORT(IndicesAtLeast);

void Scores(const ScoresArgs& args, Workspace& workspace) {
  HWY_DYNAMIC_DISPATCH(Scores)(args, workspace);
}

void ColumnScores(const ColumnScoresArgs& args) {
  HWY_DYNAMIC_DISPATCH(ColumnScores)(args);
}

int64_t IndicesAtLeast(const float* x, int begin, int end, float threshold,
                       int* out) {
  return HWY_DYNAMIC_DISPATCH(IndicesAtLeast)(x, begin, end, threshold, out);
}

}  // namespace longhand
#endif  // HWY_ONCE
