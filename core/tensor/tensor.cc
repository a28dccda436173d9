#include "core/tensor/tensor.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/check.h"

namespace longhand {

int64_t NumElements(absl::Span<const int64_t> shape) {
  int64_t elements = 1;
  for (int64_t dimension : shape) {
    LH_CHECK(dimension >= 0);
    LH_CHECK(!__builtin_mul_overflow(elements, dimension, &elements));
  }
  return elements;
}

std::string ShapeToString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace longhand
