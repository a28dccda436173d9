// Loops over float vectors of any length, for the files that Highway compiles
// once per target. Plain functions without state. Include after
// hwy/highway.h, inside no namespace.

// Highway's guard: once per target.
#if defined(LONGHAND_CORE_COMPUTE_VECTOR_LOOPS_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAND_CORE_COMPUTE_VECTOR_LOOPS_INL_H_
#undef LONGHAND_CORE_COMPUTE_VECTOR_LOOPS_INL_H_
#else
#define LONGHAND_CORE_COMPUTE_VECTOR_LOOPS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Applies `body(i)` to whole vectors and `tail(i, count)` to the rest.
template <typename Body, typename Tail>
HWY_INLINE void ForEachVector(int64_t size, Body&& body, Tail&& tail) {
  const int64_t lanes = hn::Lanes(D());
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) body(i);
  if (i < size) tail(i, static_cast<size_t>(size - i));
}

HWY_INLINE V LoadPartial(const float* x, size_t count) {
  return hn::MaskedLoad(hn::FirstN(D(), count), D(), x);
}

HWY_INLINE void StorePartial(V v, float* y, size_t count) {
  hn::BlendedStore(v, hn::FirstN(D(), count), D(), y);
}

// Sum of f(x[i]) with a fixed order for a given target.
template <typename F>
HWY_INLINE float Accumulate(const float* x, int64_t size, F&& f) {
  const D d;
  V sum = hn::Zero(d);
  ForEachVector(
      size,
      [&](int64_t i) HWY_ATTR { sum = hn::Add(sum, f(hn::LoadU(d, x + i))); },
      [&](int64_t i, size_t count) HWY_ATTR {
        sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, count),
                                              f(LoadPartial(x + i, count))));
      });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// y[i] = f(x[i]).
template <typename F>
HWY_INLINE void Map(const float* x, int64_t size, float* y, F&& f) {
  const D d;
  ForEachVector(
      size,
      [&](int64_t i) HWY_ATTR { hn::StoreU(f(hn::LoadU(d, x + i)), d, y + i); },
      [&](int64_t i, size_t count) HWY_ATTR {
        StorePartial(f(LoadPartial(x + i, count)), y + i, count);
      });
}

HWY_INLINE float RowMax(const float* x, int64_t size) {
  const D d;
  const V lowest = hn::Set(d, std::numeric_limits<float>::lowest());
  V best = lowest;
  ForEachVector(
      size,
      [&](int64_t i) HWY_ATTR { best = hn::Max(best, hn::LoadU(d, x + i)); },
      [&](int64_t i, size_t count) HWY_ATTR {
        best = hn::Max(best, hn::IfThenElse(hn::FirstN(d, count),
                                            LoadPartial(x + i, count), lowest));
      });
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

// Of vectors of `size`.
HWY_INLINE float Dot(const float* a, const float* b, int64_t size) {
  const D d;
  V sum = hn::Zero(d);
  ForEachVector(
      size,
      [&](int64_t i) HWY_ATTR {
        sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
      },
      [&](int64_t i, size_t count) HWY_ATTR {
        // MaskedLoad gives 0 in the lanes past the end.
        sum = hn::MulAdd(LoadPartial(a + i, count), LoadPartial(b + i, count),
                         sum);
      });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#endif  // LONGHAND_CORE_COMPUTE_VECTOR_LOOPS_INL_H_
