// Pooler: makes one vector from the hidden states of a chunk, and one for the
// document from those of its chunks. Immutable; safe from many threads.
#ifndef LONGHAND_CORE_POOLING_POOLER_H_
#define LONGHAND_CORE_POOLING_POOLER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace longhand {

// The document's vector on its way; owned by the document.
struct PoolState {
  // Double, so that a document of one chunk gives that chunk's vector exactly.
  std::vector<double> values;  // [hidden]; empty before the first chunk
  int64_t weight = 0;
};

class Pooler {
 public:
  virtual ~Pooler() = default;

  // pooled[hidden] from hidden_states[rows, hidden], special tokens included.
  // REQUIRES: rows >= 1.
  virtual void PoolChunk(const float* hidden_states, int rows,
                         absl::Span<float> pooled) const = 0;

  // Adds a pooled chunk of `rows` to the document.
  virtual void AddChunk(absl::Span<const float> pooled, int rows,
                        PoolState* state) const = 0;

  // document[hidden]. REQUIRES: at least one chunk was added.
  virtual void Finish(const PoolState& state,
                      absl::Span<float> document) const = 0;
};

// Scales to L2 norm 1 and gives the norm before; a zero vector stays.
float NormalizeL2(absl::Span<float> vector);

// The L2 norm.
float NormL2(absl::Span<const float> vector);

// What a line of poolers.def names.
using PoolerFactory = absl::StatusOr<std::unique_ptr<const Pooler>>();

}  // namespace longhand

#endif  // LONGHAND_CORE_POOLING_POOLER_H_
