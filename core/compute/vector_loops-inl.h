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

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#endif  // LONGHAND_CORE_COMPUTE_VECTOR_LOOPS_INL_H_
