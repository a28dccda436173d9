#include "core/compute/vector_ops.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/compute/runtime.h"

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/vector_ops.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "core/compute/vector_loops-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

void SoftmaxRows(float* x, int rows, int columns, int64_t stride) {
  const D d;
  for (int r = 0; r < rows; ++r) {
    float* row = x + r * stride;
    const V max = hn::Set(d, RowMax(row, columns));
    Map(row, columns, row,
        [&](V v) HWY_ATTR { return hn::Exp(d, hn::Sub(v, max)); });
    const float sum = Accumulate(row, columns, [](V v) HWY_ATTR { return v; });
    const V inverse = hn::Set(d, 1.0f / sum);
    Map(row, columns, row, [&](V v) HWY_ATTR { return hn::Mul(v, inverse); });
  }
}

void LayerNormRows(float* x, int rows, int columns, const float* scale,
                   const float* bias, float eps) {
  const D d;
  for (int r = 0; r < rows; ++r) {
    float* row = x + int64_t{r} * columns;
    const float mean =
        Accumulate(row, columns, [](V v) HWY_ATTR { return v; }) / columns;
    const V vmean = hn::Set(d, mean);
    const float variance = Accumulate(row, columns,
                                      [&](V v) HWY_ATTR {
                                        const V delta = hn::Sub(v, vmean);
                                        return hn::Mul(delta, delta);
                                      }) /
                           columns;
    const V inverse = hn::Set(d, 1.0f / std::sqrt(variance + eps));
    const auto normalize = [&](V v, V s, V b) HWY_ATTR {
      return hn::MulAdd(hn::Mul(hn::Sub(v, vmean), inverse), s, b);
    };
    ForEachVector(
        columns,
        [&](int64_t i) HWY_ATTR {
          hn::StoreU(normalize(hn::LoadU(d, row + i), hn::LoadU(d, scale + i),
                               hn::LoadU(d, bias + i)),
                     d, row + i);
        },
        [&](int64_t i, size_t count) HWY_ATTR {
          StorePartial(normalize(LoadPartial(row + i, count),
                                 LoadPartial(scale + i, count),
                                 LoadPartial(bias + i, count)),
                       row + i, count);
        });
  }
}

void RmsNormRows(float* x, int rows, int columns, const float* scale,
                 int64_t stride, float eps) {
  const D d;
  for (int r = 0; r < rows; ++r) {
    float* row = x + r * stride;
    const float square =
        Accumulate(row, columns, [](V v) HWY_ATTR { return hn::Mul(v, v); }) /
        columns;
    const V inverse = hn::Set(d, 1.0f / std::sqrt(square + eps));
    ForEachVector(
        columns,
        [&](int64_t i) HWY_ATTR {
          hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, row + i), inverse),
                             hn::LoadU(d, scale + i)),
                     d, row + i);
        },
        [&](int64_t i, size_t count) HWY_ATTR {
          StorePartial(hn::Mul(hn::Mul(LoadPartial(row + i, count), inverse),
                               LoadPartial(scale + i, count)),
                       row + i, count);
        });
  }
}

void Multiply(const float* x, int64_t size, float* y) {
  const D d;
  ForEachVector(
      size,
      [&](int64_t i) HWY_ATTR {
        hn::StoreU(hn::Mul(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
      },
      [&](int64_t i, size_t count) HWY_ATTR {
        StorePartial(
            hn::Mul(LoadPartial(y + i, count), LoadPartial(x + i, count)),
            y + i, count);
      });
}

void EluPlusOne(const float* x, int64_t size, float* y) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  const V zero = hn::Zero(d);
  Map(x, size, y, [&](V v) HWY_ATTR {
    return hn::IfThenElse(hn::Gt(v, zero), hn::Add(v, one),
                          hn::Exp(d, hn::Min(v, zero)));
  });
}

void LogEluPlusOne(const float* x, int64_t size, float* y) {
  const D d;
  const V zero = hn::Zero(d);
  Map(x, size, y, [&](V v) HWY_ATTR {
    return hn::IfThenElse(hn::Gt(v, zero), hn::Log1p(d, hn::Max(v, zero)), v);
  });
}

void SquaredRelu(const float* x, int64_t size, float* y) {
  const D d;
  const V zero = hn::Zero(d);
  Map(x, size, y, [&](V v) HWY_ATTR {
    const V positive = hn::Max(v, zero);
    return hn::Mul(positive, positive);
  });
}

void AddTo(const float* x, int64_t size, float* y) {
  const D d;
  ForEachVector(
      size,
      [&](int64_t i) HWY_ATTR {
        hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
      },
      [&](int64_t i, size_t count) HWY_ATTR {
        StorePartial(
            hn::Add(LoadPartial(x + i, count), LoadPartial(y + i, count)),
            y + i, count);
      });
}

void Scale(float factor, int64_t size, float* y) {
  const V v_factor = hn::Set(D(), factor);
  Map(y, size, y, [&](V v) HWY_ATTR { return hn::Mul(v, v_factor); });
}

void Dots(const float* a, absl::Span<const float* const> x, int64_t size,
          float factor, float* out) {
  for (size_t s = 0; s < x.size(); ++s) out[s] = factor * Dot(a, x[s], size);
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longhand {

HWY_EXPORT(SoftmaxRows);
HWY_EXPORT(LayerNormRows);
HWY_EXPORT(RmsNormRows);
HWY_EXPORT(Multiply);
HWY_EXPORT(EluPlusOne);
HWY_EXPORT(LogEluPlusOne);
HWY_EXPORT(SquaredRelu);
HWY_EXPORT(AddTo);
HWY_EXPORT(Scale);
HWY_EXPORT(Dots);
HWY_EXPORT(TargetName);

void SoftmaxRows(float* x, int rows, int columns, int64_t stride) {
  HWY_DYNAMIC_DISPATCH(SoftmaxRows)(x, rows, columns, stride);
}

void LayerNormRows(float* x, int rows, int columns, const float* scale,
                   const float* bias, float eps) {
  HWY_DYNAMIC_DISPATCH(LayerNormRows)(x, rows, columns, scale, bias, eps);
}

void RmsNormRows(float* x, int rows, int columns, const float* scale,
                 int64_t stride, float eps) {
  HWY_DYNAMIC_DISPATCH(RmsNormRows)(x, rows, columns, scale, stride, eps);
}

void Multiply(const float* x, int64_t size, float* y) {
  HWY_DYNAMIC_DISPATCH(Multiply)(x, size, y);
}

void EluPlusOne(const float* x, int64_t size, float* y) {
  HWY_DYNAMIC_DISPATCH(EluPlusOne)(x, size, y);
}

void LogEluPlusOne(const float* x, int64_t size, float* y) {
  HWY_DYNAMIC_DISPATCH(LogEluPlusOne)(x, size, y);
}

void SquaredRelu(const float* x, int64_t size, float* y) {
  HWY_DYNAMIC_DISPATCH(SquaredRelu)(x, size, y);
}

void AddTo(const float* x, int64_t size, float* y) {
  HWY_DYNAMIC_DISPATCH(AddTo)(x, size, y);
}

void Scale(float factor, int64_t size, float* y) {
  HWY_DYNAMIC_DISPATCH(Scale)(factor, size, y);
}

void Dots(const float* a, absl::Span<const float* const> x, int64_t size,
          float factor, float* out) {
  HWY_DYNAMIC_DISPATCH(Dots)(a, x, size, factor, out);
}

std::string VectorTarget() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace longhand
#endif  // HWY_ONCE
