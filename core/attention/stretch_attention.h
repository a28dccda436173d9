// Softmax attention in stretches of a sequence that was put into some order:
// every row attends to the rows of its own stretch and of a number of stretches
// before and behind it, in a circle. The core of Reformer attention.
// Single-threaded; its buffers lie in the caller's workspace.
#ifndef LONGHAND_CORE_ATTENTION_STRETCH_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_STRETCH_ATTENTION_H_

#include <cstdint>

#include "core/compute/compute_context.h"
#include "core/compute/matmul.h"

namespace longhand {

// The rows of one sequence in the order in which they are cut into stretches.
struct StretchOrder {
  int64_t places;   // of one round
  int64_t stretch;  // places of one; divides `places`
  int64_t before;   // stretches that are seen
  int64_t after;
  int rounds;     // each with an order of its own; one circle goes through all
  int32_t* rows;  // [rounds, places]: a row, or -1 for nobody

  int64_t stretches() const { return rounds * (places / stretch); }
};

// One head of the sequence.
struct StretchHead {
  MatrixView queries, keys, values;  // [rows, head_dim]
  float scale = 1;                   // of the scores
  // Whether queries are keys: then the score of a row with itself is so low
  // that it counts only where there is nobody else.
  bool masks_self = false;
  float* context;  // [rows, hidden]
};

class StretchAttention {
 public:
  StretchAttention(const StretchOrder& order, int rows, int head_dim,
                   int64_t hidden, ComputeContext& compute);

  // head.context = the attention of all rounds, each weighted by its sum of
  // exponentials. Rows that are not in the order are left alone.
  void Run(const StretchHead& head);

 private:
  void RunStretch(const StretchHead& head, int64_t stretch);
  // The rows of a stretch; those of it and its neighbours.
  int CollectRows(int64_t stretch, int32_t* out) const;
  int CollectSeen(int64_t stretch, int32_t* out) const;
  void Gather(const MatrixView& x, const int32_t* rows, int count,
              float* out) const;
  void MaskSelf(const int32_t* queries, int count, int keys);
  void Merge(const StretchHead& head, const int32_t* queries, int count);
  // The weights of a row that sees nobody but itself add up to 1 only within
  // 2^-8 in the public implementation: it subtracts a log mass near kSelfScore,
  // where floats have steps of 2^-7. As it does.
  void ScaleLonely(const StretchHead& head);
  float LonelyScale(int row) const;

  const StretchOrder order_;
  const int rows_;
  const int d_;
  const int64_t hidden_;
  int64_t query_tile_;
  int32_t* query_rows_;  // [stretch]
  int32_t* key_rows_;    // [seen]
  // The last place of a row among the keys, or -1: [rows]; and that before it
  // with the same row, or -1: [seen].
  int32_t* last_place_;
  int32_t* place_before_;
  float* queries_;     // [query tile, d]
  float* keys_;        // [seen, d]
  float* values_;      // [seen, d]
  float* scores_;      // [query tile, seen]
  float* out_;         // [query tile, d]
  float* earlier_;     // [query tile, d]: what earlier rounds gave
  float* log_masses_;  // [query tile]
  float* all_masses_;  // [rounds, rows]
  float* total_;       // [rows]: of the rounds so far, together
  float* ones_;        // [query tile]
  float* shares_;      // [query tile]
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_STRETCH_ATTENTION_H_
