// RunningSoftmax: softmax attention of some rows of one head over keys that
// come in parts and need not lie together, without a buffer of all scores:
// each part's softmax is merged into what the rows have so far by the logs of
// their sums of exponentials (online softmax, Milakov and Gimelshein 2018,
// arXiv:1805.02867). The order of the parts is the order of summation. For one
// step of one worker: it borrows the ComputeContext's workspace.
#ifndef LONGHAND_CORE_ATTENTION_RUNNING_SOFTMAX_H_
#define LONGHAND_CORE_ATTENTION_RUNNING_SOFTMAX_H_

#include <cstdint>
#include <limits>

#include "absl/types/span.h"
#include "core/attention/token_pattern.h"
#include "core/compute/compute_context.h"
#include "core/compute/matmul.h"

namespace longhand {

// The log of the mass of what nothing was seen of yet.
inline constexpr float kNoMass = -std::numeric_limits<float>::infinity();

class RunningSoftmax {
 public:
  // Rows at a time.
  static constexpr int kMaxRows = TokenPattern::kMaxQueries;

  struct Rows {
    const float* queries;  // [count, head_dim], query_stride apart
    int64_t query_stride;
    int count;       // at most kMaxRows
    float* context;  // [count, head_dim], context_stride apart
    int64_t context_stride;
    // [count], log_stride apart: the logs of the sums of exponentials so far;
    // -infinity, and 0 in context, for a row that has seen nothing yet.
    float* log_sums;
    int64_t log_stride;
    // The same for each segment of keys, segment_stride apart, log_stride
    // between rows; null: not wanted.
    float* segment_log_sums = nullptr;
    int64_t segment_stride = 0;
    // The place of the first row and the distance between two.
    int64_t place = 0;
    int64_t step = 1;
  };

  // Keys and values that lie together.
  struct Segment {
    const float* keys;    // [count, head_dim], stride apart
    const float* values;  // the same
    int64_t stride;
    int count;
  };

  struct Keys {
    // One after the other; a key's index counts through them.
    absl::Span<const Segment> segments;
    // The indices of the keys that are taken, ascending.
    absl::Span<const int> chosen;
    // Their places, ascending; looked at where a bound is set. A row sees those
    // with nearest <= |its place - key's place| <= farthest.
    absl::Span<const int64_t> places;
    int64_t nearest = 0;
    int64_t farthest = kAnyDistance;
  };

  // Scores are scaled by 1 / sqrt(head_dim).
  RunningSoftmax(int head_dim, ComputeContext& compute);

  void Add(const Keys& keys, const Rows& rows) const;

  // Products of at most this many pairs are computed vector by vector.
  static constexpr int kMaxSparsePairs = 128;

 private:
  // Keys at a time.
  static constexpr int kMaxKeys = 2048;
  // The score of a key that a row does not see. Finite, so that a row which
  // sees none has no NaN.
  static constexpr float kUnseen = -1e30f;

  struct Operands {
    MatrixView keys, values;
  };

  void AddPart(const Keys& keys, const Rows& rows) const;
  // values_ and log_sums_ of the part's own softmax, by matrix products or
  // vector by vector.
  void AttendDense(const Keys& keys, const Rows& rows) const;
  void AttendSparse(const Keys& keys, const Rows& rows) const;
  Operands Gather(const Keys& keys) const;
  void HideUnseen(const Keys& keys, const Rows& rows) const;
  void AddSegmentSums(const Keys& keys, const Rows& rows) const;
  void Merge(const Rows& rows) const;

  const int head_dim_;
  const float scale_;
  float* const scores_;           // [kMaxRows, kMaxKeys]
  float* const gathered_;         // [2, kMaxKeys, head_dim]
  float* const values_;           // [kMaxRows, head_dim]
  float* const log_sums_;         // [kMaxRows]
  float* const share_;            // [kMaxRows]
  float* const ones_;             // [kMaxRows]
  const float** const pointers_;  // [2, kMaxSparsePairs]
  float** const outputs_;         // [kMaxSparsePairs]
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_RUNNING_SOFTMAX_H_
