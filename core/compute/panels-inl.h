// Products of small matrices from packed panels, for the files that Highway
// compiles once per target. Plain functions without state. Include after
// hwy/highway.h, inside no namespace.

// Highway's guard: once per target.
#if defined(LONGHAND_CORE_COMPUTE_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAND_CORE_COMPUTE_PANELS_INL_H_
#undef LONGHAND_CORE_COMPUTE_PANELS_INL_H_
#else
#define LONGHAND_CORE_COMPUTE_PANELS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Columns of a packed panel: what a row's registers hold.
HWY_INLINE int PanelWidth() { return 2 * static_cast<int>(hn::Lanes(D())); }

HWY_INLINE int RoundUp(int size, int multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

// Rows in work together: with two vectors of results each they leave AVX2's
// registers room for the operands.
constexpr int kMaxRows = 6;

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
inline void PackTransposed(const float* rows, int64_t stride, int count,
                           float factor, const Panels& panels) {
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

// Panels of factor * rows[depth, columns].
inline void Pack(const float* rows, int64_t stride, int columns, float factor,
                 const Panels& panels) {
  const D d;
  const V scale = hn::Set(d, factor);
  const int width = PanelWidth();
  for (int begin = 0; begin < columns; begin += width) {
    float* out = panels.data + begin / width * panels.size();
    const float* from = rows + begin;
    const int count = std::min(width, columns - begin);
    for (int k = 0; k < panels.depth; ++k, out += width, from += stride) {
      if (count == width) {
        const size_t lanes = hn::Lanes(d);
        hn::StoreU(hn::Mul(scale, hn::LoadU(d, from)), d, out);
        hn::StoreU(hn::Mul(scale, hn::LoadU(d, from + lanes)), d, out + lanes);
        continue;
      }
      for (int c = 0; c < count; ++c) out[c] = factor * from[c];
      std::fill_n(out + count, width - count, 0.0f);
    }
  }
}

// y[0, count) = kept * y + scale * (left, right).
HWY_INLINE void StoreBlended(V left, V right, float scale, float kept,
                             int count, float* y) {
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

// tile(number of rows as a constant, first row) for tiles of kMaxRows rows, and
// one for the rest.
template <typename Tile>
HWY_INLINE void ForEachRowTile(int rows, Tile&& tile) {
  int row = 0;
  for (; row + kMaxRows <= rows; row += kMaxRows) {
    tile(std::integral_constant<int, kMaxRows>(), row);
  }
  switch (rows - row) {
    case 1:
      return tile(std::integral_constant<int, 1>(), row);
    case 2:
      return tile(std::integral_constant<int, 2>(), row);
    case 3:
      return tile(std::integral_constant<int, 3>(), row);
    case 4:
      return tile(std::integral_constant<int, 4>(), row);
    case 5:
      return tile(std::integral_constant<int, 5>(), row);
    default:
      return;
  }
}

// The left operand of a product: element (r, k) is data[r * row + k * column].
struct Left {
  const float* data;
  int64_t row;
  int64_t column;
};

// store(r, left, right): the two vectors of row r of a * panel, for kRows rows
// of `depth`.
template <int kRows, typename Store>
HWY_INLINE void MultiplyPanel(const Left& a, int depth,
                              const float* HWY_RESTRICT panel, Store&& store) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V left[kRows], right[kRows];
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = hn::Zero(d);
  const float* HWY_RESTRICT column = a.data;
  for (int k = 0; k < depth; ++k, panel += 2 * lanes, column += a.column) {
    const V b0 = hn::LoadU(d, panel);
    const V b1 = hn::LoadU(d, panel + lanes);
    HWY_UNROLL(6)
    for (int r = 0; r < kRows; ++r) {
      const V x = hn::Set(d, column[r * a.row]);
      left[r] = hn::MulAdd(x, b0, left[r]);
      right[r] = hn::MulAdd(x, b1, right[r]);
    }
  }
  HWY_UNROLL(6)
  for (int r = 0; r < kRows; ++r) store(r, left[r], right[r]);
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#endif  // LONGHAND_CORE_COMPUTE_PANELS_INL_H_
