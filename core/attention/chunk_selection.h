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

  // The chunks that `self` retrieves from, ascending; valid until the
  // workspace is reset. scores: [NumSeen]. REQUIRES: SeesOthers.
  absl::Span<const int> Select(int64_t self, absl::Span<const float> scores,
                               ComputeContext& compute) const;

  // In place, scores [slots] to weights: a softmax over the selected chunks,
  // then the anchors' share; 0 for all other chunks. Gives the number of
  // selected chunks. REQUIRES: SeesOthers.
  int64_t Weigh(int64_t self, absl::Span<float> scores,
                ComputeContext& compute) const;

 private:
  bool IsPinned(int64_t slot, int64_t self) const;

  const RetrievalOptions& options_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_CHUNK_SELECTION_H_
