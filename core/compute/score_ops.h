// What retrieval does with the scores of thousands of chunks, dispatched on the
// CPU at run time (Google Highway). Plain functions on the calling thread, safe
// from many threads with distinct workspaces. Each has a slow twin of the same
// name in namespace reference (reference.h).
#ifndef LONGHAND_CORE_COMPUTE_SCORE_OPS_H_
#define LONGHAND_CORE_COMPUTE_SCORE_OPS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/compute/workspace.h"

namespace longhand {

// scores[r, s] = factor * (queries[r] . keys[s]), vectors of `size` anywhere in
// memory. A score does not depend on the other queries and keys.
struct ScoresArgs {
  absl::Span<const float* const> queries;  // [rows] of [size]
  absl::Span<const float* const> keys;     // [slots] of [size]
  int64_t size;
  float factor;
  float* scores;  // [rows, slots], score_stride apart
  int64_t score_stride;
};
void Scores(const ScoresArgs& args, Workspace& workspace);

// The same, bit for bit, for keys that lie side by side: component c of key s
// is columns[c * stride + s]. Nothing has to be gathered or transposed.
// REQUIRES: slots <= stride, and stride is a multiple of kColumnBlock; what
// lies beyond the slots is read and not used.
struct ColumnScoresArgs {
  absl::Span<const float* const> queries;  // [rows] of [size]
  const float* columns;                    // [size, stride]
  int64_t stride;
  int64_t slots;
  int64_t size;
  float factor;
  float* scores;  // [rows, slots], score_stride apart
  int64_t score_stride;
};
inline constexpr int64_t kColumnBlock = 64;
void ColumnScores(const ColumnScoresArgs& args);

// Writes the i in [begin, end) with x[i] >= threshold to out, ascending, and
// gives their number. NaN is never among them. out: [end - begin].
int64_t IndicesAtLeast(const float* x, int begin, int end, float threshold,
                       int* out);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_SCORE_OPS_H_
