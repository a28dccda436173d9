#include "core/compute/merge_ops.h"

#include <cmath>

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/merge_ops.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "core/compute/vector_loops-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

void SoftmaxRowsWithLogSum(float* x, int rows, int columns, int64_t stride,
                           float* log_sum) {
  const D d;
  for (int r = 0; r < rows; ++r, x += stride) {
    const V most = hn::Set(d, RowMax(x, columns));
    Map(x, columns, x,
        [&](V v) HWY_ATTR { return hn::Exp(d, hn::Sub(v, most)); });
    const float total = Accumulate(x, columns, [](V v) HWY_ATTR { return v; });
    log_sum[r] = hn::GetLane(most) + std::log(total);
    const V inverse = hn::Set(d, 1.0f / total);
    Map(x, columns, x, [&](V v) HWY_ATTR { return hn::Mul(v, inverse); });
  }
}

void RowDots(const float* a, int64_t stride, int rows, const float* b,
             int64_t size, float* out) {
  for (int r = 0; r < rows; ++r, a += stride) out[r] = Dot(a, b, size);
}

void BlendRows(const BlendRowsArgs& args) {
  const D d;
  for (int r = 0; r < args.rows; ++r) {
    const float* other = args.other + r * args.size;
    float* context = args.context + r * args.context_stride;
    const V keep = hn::Set(d, 1.0f - args.share[r]);
    const V take = hn::Set(d, args.share[r] * args.scale[r]);
    const auto blend = [&](V own, V more) HWY_ATTR {
      return hn::MulAdd(take, more, hn::Mul(keep, own));
    };
    ForEachVector(
        args.size,
        [&](int64_t i) HWY_ATTR {
          hn::StoreU(blend(hn::LoadU(d, context + i), hn::LoadU(d, other + i)),
                     d, context + i);
        },
        [&](int64_t i, size_t count) HWY_ATTR {
          StorePartial(blend(LoadPartial(context + i, count),
                             LoadPartial(other + i, count)),
                       context + i, count);
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
