#include "core/compute/merge_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/merge_ops.cc"
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

// Calls body(i, mask) for every vector of [0, size); the last one's mask leaves
// out what lies beyond.
template <typename Body>
HWY_INLINE void ForEachMasked(int64_t size, Body&& body) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t i = 0; i < size; i += lanes) {
    body(i, hn::FirstN(d, size_t(std::min(lanes, size - i))));
  }
}

void SoftmaxRowsWithLogSum(float* x, int rows, int columns, int64_t stride,
                           float* log_sum) {
  const D d;
  for (int r = 0; r < rows; ++r, x += stride) {
    V most = hn::Set(d, std::numeric_limits<float>::lowest());
    const V lowest = most;
    ForEachMasked(columns, [&](int64_t i, hn::Mask<D> mask) HWY_ATTR {
      most = hn::Max(
          most, hn::IfThenElse(mask, hn::MaskedLoad(mask, d, x + i), lowest));
    });
    most = hn::MaxOfLanes(d, most);
    V sum = hn::Zero(d);
    ForEachMasked(columns, [&](int64_t i, hn::Mask<D> mask) HWY_ATTR {
      const V e = hn::Exp(d, hn::Sub(hn::MaskedLoad(mask, d, x + i), most));
      sum = hn::Add(sum, hn::IfThenElseZero(mask, e));
      hn::BlendedStore(e, mask, d, x + i);
    });
    const float total = hn::GetLane(hn::SumOfLanes(d, sum));
    log_sum[r] = hn::GetLane(most) + std::log(total);
    const V inverse = hn::Set(d, 1.0f / total);
    ForEachMasked(columns, [&](int64_t i, hn::Mask<D> mask) HWY_ATTR {
      hn::BlendedStore(hn::Mul(hn::MaskedLoad(mask, d, x + i), inverse), mask,
                       d, x + i);
    });
  }
}

void RowDots(const float* a, int64_t stride, int rows, const float* b,
             int64_t size, float* out) {
  const D d;
  for (int r = 0; r < rows; ++r, a += stride) {
    V sum = hn::Zero(d);
    ForEachMasked(size, [&](int64_t i, hn::Mask<D> mask) HWY_ATTR {
      sum = hn::MulAdd(hn::MaskedLoad(mask, d, a + i),
                       hn::MaskedLoad(mask, d, b + i), sum);
    });
    out[r] = hn::GetLane(hn::SumOfLanes(d, sum));
  }
}

void BlendRows(const BlendRowsArgs& args) {
  const D d;
  for (int r = 0; r < args.rows; ++r) {
    const float* other = args.other + r * args.size;
    float* context = args.context + r * args.context_stride;
    const V keep = hn::Set(d, 1.0f - args.share[r]);
    const V take = hn::Set(d, args.share[r] * args.scale[r]);
    ForEachMasked(args.size, [&](int64_t i, hn::Mask<D> mask) HWY_ATTR {
      const V own = hn::Mul(keep, hn::MaskedLoad(mask, d, context + i));
      hn::BlendedStore(
          hn::MulAdd(take, hn::MaskedLoad(mask, d, other + i), own), mask, d,
          context + i);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longhand {

HWY_EXPORT(SoftmaxRowsWithLogSum);
HWY_EXPORT(RowDots);
HWY_EXPORT(BlendRows);

void SoftmaxRowsWithLogSum(float* x, int rows, int columns, int64_t stride,
                           float* log_sum) {
  HWY_DYNAMIC_DISPATCH(SoftmaxRowsWithLogSum)
  (x, rows, columns, stride, log_sum);
}

void RowDots(const float* a, int64_t stride, int rows, const float* b,
             int64_t size, float* out) {
  HWY_DYNAMIC_DISPATCH(RowDots)(a, stride, rows, b, size, out);
}

void BlendRows(const BlendRowsArgs& args) {
  HWY_DYNAMIC_DISPATCH(BlendRows)(args);
}

}  // namespace longhand
#endif  // HWY_ONCE
