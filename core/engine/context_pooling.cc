#include "core/engine/context_pooling.h"

#include "core/base/check.h"
#include "core/pooling/pooler.h"

namespace longhand {

void ContextPooling::AddChunk(absl::Span<const float> pooled) {
  ++chunks_;
  if (!is_mixing()) return;
  std::vector<float> unit(pooled.begin(), pooled.end());
  NormalizeL2(absl::MakeSpan(unit));
  sum_.resize(unit.size());
  for (size_t i = 0; i < unit.size(); ++i) sum_[i] += unit[i];
  if (anchor_.empty()) anchor_ = std::move(unit);
}

ContextMix ContextPooling::Apply(absl::Span<float> vector) const {
  LH_CHECK(chunks_ > 0);
  if (!is_mixing() || (waits_for_document() && chunks_ == 1)) {
    if (options_.normalize) NormalizeL2(vector);
    return {};
  }
  const float norm = NormalizeL2(vector);
  const double mean_weight = options_.document_weight / double(chunks_);
  for (size_t i = 0; i < vector.size(); ++i) {
    vector[i] += options_.anchor_weight * anchor_[i] +
                 static_cast<float>(mean_weight * sum_[i]);
  }
  NormalizeL2(vector);
  if (!options_.normalize) {
    for (float& value : vector) value *= norm;
  }
  ContextMix mix{.anchor_weight = options_.anchor_weight,
                 .document_weight = options_.document_weight};
  if (waits_for_document()) mix.document_chunks = chunks_;
  return mix;
}

}  // namespace longhand
