// Gemm, dispatched on the CPU at run time (Google Highway).
#include <algorithm>

#include "core/compute/matmul.h"

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "core/compute/panels-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

// Rows of the right operand that are packed at a time: a panel stays in the
// first-level cache.
constexpr int kDepth = 256;

// dst[m, count] from the rows [first, first + panel.depth) of the right
// operand, added to what earlier ones gave.
void MultiplyColumns(int m, const MatrixView& a, const Panels& panel, int first,
                     int count, float* dst, int64_t dst_stride) {
  const int64_t row_step = a.transposed ? 1 : a.stride;
  const int64_t column_step = a.transposed ? a.stride : 1;
  ForEachRowTile(m, [&](auto rows, int row) HWY_ATTR {
    MultiplyPanel<decltype(rows)::value>(
        {a.data + row * row_step + first * column_step, row_step, column_step},
        panel.depth, panel.data, [&](int r, V left, V right) HWY_ATTR {
          StoreBlended(left, right, /*scale=*/1, /*kept=*/first > 0 ? 1 : 0,
                       count, dst + (row + r) * dst_stride);
        });
  });
}

void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride) {
  HWY_ALIGN float packed[kDepth * 2 * hn::MaxLanes(D())];
  const int width = PanelWidth();
  for (int column = 0; column < n; column += width) {
    const int count = std::min(width, n - column);
    for (int first = 0; first < k; first += kDepth) {
      const Panels panel = {packed, std::min(kDepth, k - first)};
      if (b.transposed) {
        PackTransposed(b.data + column * b.stride + first, b.stride, count,
                       alpha, panel);
      } else {
        Pack(b.data + first * b.stride + column, b.stride, count, alpha, panel);
      }
      MultiplyColumns(m, a, panel, first, count, dst + column, dst_stride);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longhand {

HWY_EXPORT(Gemm);

void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride) {
  if (k == 0) {
    for (int r = 0; r < m; ++r) std::fill_n(dst + r * dst_stride, n, 0.0f);
    return;
  }
  HWY_DYNAMIC_DISPATCH(Gemm)(m, n, k, alpha, a, b, dst, dst_stride);
}

}  // namespace longhand
#endif  // HWY_ONCE
