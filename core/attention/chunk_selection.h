// ChunkSelection: which chunks one chunk retrieves from, and with which
// weights, by the scores of meta query and meta keys. Constant; safe from many
// threads.
#ifndef LONGHAND_CORE_ATTENTION_CHUNK_SELECTION_H_
#define LONGHAND_CORE_ATTENTION_CHUNK_SELECTION_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/attention/retrieval_options.h"
#include "core/compute/compute_context.h"

namespace longhand {

class ChunkSelection {
 public:
  // `options` must outlive it.
  explicit ChunkSelection(const RetrievalOptions& options)
      : options_(options) {}

  // Chunk `self` of a document of which `slots` chunks are there sees the
  // chunks [0, NumSeen), itself excepted.
  int64_t NumSeen(int64_t self, int64_t slots) const {
    return options_.visibility == Visibility::kCausal ? self : slots;
  }
  bool SeesOthers(int64_t self, int64_t slots) const {
    return NumSeen(self, slots) > (self < NumSeen(self, slots) ? 1 : 0);
  }

  // The chunks that `self` retrieves from, ascending, to selected; gives their
  // number. scores: [NumSeen]; selected and spare: [NumSeen], the latter to
  // work in. REQUIRES: SeesOthers.
  int Select(int64_t self, absl::Span<const float> scores, int* spare,
             int* selected) const;

  // The same with weights, which sum to 1, beside: a softmax over the selected
  // chunks, then the anchors' share.
  int Weigh(int64_t self, absl::Span<const float> scores, int* spare,
            int* selected, float* weights) const;

  // In place, scores [slots] to weights: 0 for chunks that are not selected.
  // Gives the number of selected chunks. REQUIRES: SeesOthers.
  int64_t WeighInPlace(int64_t self, absl::Span<float> scores,
                       ComputeContext& compute) const;

 private:
  const RetrievalOptions& options_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_CHUNK_SELECTION_H_
