#include "core/compute/weighted_sum.h"

#include <algorithm>

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/weighted_sum.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "core/compute/vector_loops-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

// Many rows: tiles of kRows x kVectors sums fill AVX2's registers, and the part
// of the sources that they read is copied to one place first. States lie at the
// same place of their pages, so that they would throw each other out of the
// first-level cache.
constexpr int kRows = 4;
constexpr int kVectors = 3;
constexpr int kSourceBlock = 64;
// One row: sources are taken few at a time, so that each is read along.
constexpr int kRowSources = 8;
constexpr int kRowVectors = 8;

HWY_INLINE int PanelWidth() {
  return kVectors * static_cast<int>(hn::Lanes(D()));
}

// y[r][offset ...] of kRowCount rows, kVectors each.
template <int kRowCount>
HWY_INLINE void SumTile(const float* HWY_RESTRICT panel, size_t sources,
                        const float* HWY_RESTRICT weights, int64_t stride,
                        float* const* y, int64_t offset) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  V acc[kRowCount][kVectors];
  HWY_UNROLL(4)
  for (int r = 0; r < kRowCount; ++r) {
    HWY_UNROLL(3)
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] = hn::LoadU(d, y[r] + offset + v * lanes);
    }
  }
  for (size_t s = 0; s < sources; ++s, panel += kVectors * lanes) {
    const V x0 = hn::Load(d, panel);
    const V x1 = hn::Load(d, panel + lanes);
    const V x2 = hn::Load(d, panel + 2 * lanes);
    HWY_UNROLL(4)
    for (int r = 0; r < kRowCount; ++r) {
      const V weight = hn::Set(d, weights[r * stride + int64_t(s)]);
      acc[r][0] = hn::MulAdd(weight, x0, acc[r][0]);
      acc[r][1] = hn::MulAdd(weight, x1, acc[r][1]);
      acc[r][2] = hn::MulAdd(weight, x2, acc[r][2]);
    }
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRowCount; ++r) {
    HWY_UNROLL(3)
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(acc[r][v], d, y[r] + offset + v * lanes);
    }
  }
}

// All rows of a panel: y[r][offset ...] of its whole width.
HWY_INLINE void SumPanel(const float* panel, size_t sources,
                         const float* weights, int64_t stride,
                         absl::Span<float* const> y, int64_t offset) {
  size_t row = 0;
  for (; row + kRows <= y.size(); row += kRows) {
    SumTile<kRows>(panel, sources, weights + int64_t(row) * stride, stride,
                   y.data() + row, offset);
  }
  for (; row < y.size(); ++row) {
    SumTile<1>(panel, sources, weights + int64_t(row) * stride, stride,
               y.data() + row, offset);
  }
}

// The last panel, of `count` columns: through whole vectors elsewhere.
void SumLastPanel(const float* panel, size_t sources, const float* weights,
                  int64_t stride, absl::Span<float* const> y, int64_t offset,
                  int count) {
  HWY_ALIGN float whole[kVectors * hn::MaxLanes(D())];
  float* const rows[] = {whole};
  std::fill_n(whole, PanelWidth(), 0.0f);
  for (size_t row = 0; row < y.size(); ++row) {
    std::copy_n(y[row] + offset, count, whole);
    SumTile<1>(panel, sources, weights + int64_t(row) * stride, stride, rows,
               0);
    std::copy_n(whole, count, y[row] + offset);
  }
}

void SumManyRows(const WeightedSumArgs& args) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  const int width = PanelWidth();
  HWY_ALIGN float panel[kSourceBlock * kVectors * hn::MaxLanes(D())];
  for (size_t source = 0; source < args.x.size(); source += kSourceBlock) {
    const absl::Span<const float* const> x =
        args.x.subspan(source, kSourceBlock);
    const float* weights = args.weights + source;
    for (int64_t i = 0; i < args.size; i += width) {
      if (i + width > args.size) {
        const int count = static_cast<int>(args.size - i);
        std::fill_n(panel, x.size() * size_t(width), 0.0f);
        for (size_t s = 0; s < x.size(); ++s) {
          std::copy_n(x[s] + i, count, panel + int64_t(s) * width);
        }
        SumLastPanel(panel, x.size(), weights, args.weight_stride, args.y, i,
                     count);
        break;
      }
      float* out = panel;
      for (const float* from : x) {
        hn::Store(hn::LoadU(d, from + i), d, out);
        hn::Store(hn::LoadU(d, from + i + lanes), d, out + lanes);
        hn::Store(hn::LoadU(d, from + i + 2 * lanes), d, out + 2 * lanes);
        out += width;
      }
      SumPanel(panel, x.size(), weights, args.weight_stride, args.y, i);
    }
  }
}

// y[i ...] of kCount vectors; `load` and `store` take a pointer.
template <int kCount, typename Load, typename Store>
HWY_INLINE void SumVectors(absl::Span<const float* const> x,
                           const float* weights, int64_t i, float* y,
                           Load&& load, Store&& store) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  V acc[kCount];
  HWY_UNROLL(8)
  for (int v = 0; v < kCount; ++v) acc[v] = load(y + i + v * lanes);
  for (size_t s = 0; s < x.size(); ++s) {
    const V weight = hn::Set(d, weights[s]);
    HWY_UNROLL(8)
    for (int v = 0; v < kCount; ++v) {
      acc[v] = hn::MulAdd(weight, load(x[s] + i + v * lanes), acc[v]);
    }
  }
  HWY_UNROLL(8)
  for (int v = 0; v < kCount; ++v) store(acc[v], y + i + v * lanes);
}

void SumRow(const WeightedSumArgs& args, size_t row) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  const auto load = [&](const float* p) HWY_ATTR { return hn::LoadU(d, p); };
  const auto store = [&](V v, float* p) HWY_ATTR { hn::StoreU(v, d, p); };
  float* y = args.y[row];
  for (size_t source = 0; source < args.x.size(); source += kRowSources) {
    const absl::Span<const float* const> x =
        args.x.subspan(source, kRowSources);
    const float* weights =
        args.weights + int64_t(row) * args.weight_stride + source;
    int64_t i = 0;
    for (; i + kRowVectors * lanes <= args.size; i += kRowVectors * lanes) {
      SumVectors<kRowVectors>(x, weights, i, y, load, store);
    }
    for (; i + lanes <= args.size; i += lanes) {
      SumVectors<1>(x, weights, i, y, load, store);
    }
    if (i == args.size) continue;
    const size_t count = static_cast<size_t>(args.size - i);
    SumVectors<1>(
        x, weights, i, y,
        [&](const float* p) HWY_ATTR { return LoadPartial(p, count); },
        [&](V v, float* p) HWY_ATTR { StorePartial(v, p, count); });
  }
}

void WeightedSum(const WeightedSumArgs& args) {
  if (args.y.size() >= kRows) return SumManyRows(args);
  for (size_t row = 0; row < args.y.size(); ++row) SumRow(args, row);
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longhand {

HWY_EXPORT(WeightedSum);

void WeightedSum(const WeightedSumArgs& args) {
  HWY_DYNAMIC_DISPATCH(WeightedSum)(args);
}

}  // namespace longhand
#endif  // HWY_ONCE
