#include "core/pooling/pooler.h"

#include <cmath>

namespace longhand {

float NormL2(absl::Span<const float> vector) {
  double sum = 0;
  for (float value : vector) sum += double{value} * value;
  return static_cast<float>(std::sqrt(sum));
}

float NormalizeL2(absl::Span<float> vector) {
  const float norm = NormL2(vector);
  if (norm > 0) {
    for (float& value : vector) value /= norm;
  }
  return norm;
}

}  // namespace longhand
