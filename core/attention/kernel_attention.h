// KernelAttention: attention by a kernel with positive features phi
// (Katharopoulos et al. 2020, arXiv:2006.16236): a token takes
//   sum phi(q) . phi(k) v / sum phi(q) . phi(k)
// over all rows of its own chunk and the own tokens of the chunks that it sees,
// so that the sums over k of phi(k) v^T and phi(k) are all that a chunk leaves.
// Causal documents see the chunks before, and a state is the sum over all of
// the document so far: only the last one is ever needed. Bidirectional ones see
// all chunks, and a state is the chunk's own sum. Immutable; safe from many
// threads with distinct ComputeContexts.
//
// The meta values of a state are, per head: W [features, d], Z [features], c
// [features] with
//   sum phi_f(k) v = e^c_f W_f    sum phi_f(k) = e^c_f Z_f
// where c_f is the log of the largest sum of phi_f over one block of rows, so
// that Z_f is 1 or more, nothing overflows and no denominator vanishes,
// whatever the logits. There are no head blocks: sums that are added to over a
// whole document must not be rounded by a codec.
//
// Scratch: the sums over all rows of the chunk [heads]; Q [rows, hidden];
// bidirectional: the sums over the other chunks [heads].
#ifndef LONGHAND_CORE_ATTENTION_KERNEL_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_KERNEL_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "core/attention/attention.h"

namespace longhand {

class KernelAttention : public Attention {
 public:
  bool exchanges() const override { return true; }
  bool exchanges_in(int) const override { return true; }
  const RetrievalOptions& retrieval() const override {
    return options_.retrieval;
  }
  StateLayout state_layout(int) const override {
    return {.heads = 0,
            .parts = {},
            .meta_floats = options_.num_heads * head_floats()};
  }
  int64_t scratch_floats(int rows) const override;
  bool is_convex() const override { return true; }
  bool keeps_source_model() const override { return false; }
  bool reports_weights() const override { return false; }
  int64_t reach_tokens() const override { return 1; }
  std::vector<std::string_view> unused_options() const override;

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  int exchange_items() const override { return options_.num_heads; }
  void Exchange(int head, const BatchView& batch,
                ComputeContext& compute) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 protected:
  // Rows whose features are made at a time.
  static constexpr int kBlockRows = 256;

  // One head of at most kBlockRows rows, `stride` apart.
  struct HeadRows {
    const float* data;
    int64_t stride;
    int rows;
  };

  KernelAttention(const AttentionOptions& options, int features)
      : options_(options), features_(features) {}

  const AttentionOptions& options() const { return options_; }
  int features() const { return features_; }

  // y[features, rows] = log phi of keys.
  virtual void LogKeyFeatures(int layer, const HeadRows& keys,
                              float* y) const = 0;
  // y[rows, features] = log phi of queries, up to a number for each row, which
  // cancels.
  virtual void LogQueryFeatures(int layer, const HeadRows& queries,
                                float* y) const = 0;

 private:
  // What a head's sums are made in.
  struct Buffers {
    float* features;  // [features, kBlockRows] or the other way round
    float* sums;      // [head_floats()]
    float* mass;      // [kBlockRows]
  };

  bool causal() const {
    return options_.retrieval.visibility == Visibility::kCausal;
  }
  int64_t weighted_floats() const {
    return int64_t{features_} * options_.head_dim;
  }
  // W, Z and c of one head.
  int64_t head_floats() const { return weighted_floats() + 2 * features_; }
  float* mass(float* sums) const { return sums + weighted_floats(); }
  float* log_scale(float* sums) const { return mass(sums) + features_; }

  // All rows of the chunk.
  float* chunk_sums(const ChunkSlot& chunk, int head) const {
    return chunk.scratch + head * head_floats();
  }
  float* queries(const ChunkSlot& chunk) const {
    return chunk_sums(chunk, options_.num_heads);
  }
  float* others_sums(const ChunkSlot& chunk, int head) const {
    return queries(chunk) + int64_t{chunk.rows} * options_.hidden() +
           head * head_floats();
  }

  Buffers MakeBuffers(ComputeContext& compute) const;
  // sums += from.
  void Merge(const float* from, float* sums) const;
  // sums = those of the rows [begin, end), not empty.
  void SumRows(const LayerInput& input, int head, int begin, int end,
               const Buffers& buffers, float* sums) const;
  // context[rows, d], hidden() apart = what queries of one head take from sums.
  void Attend(int layer, const float* q, int64_t stride, int rows, float* sums,
              const Buffers& buffers, float* context) const;
  // Per chunk, the sums over the chunks before and behind it.
  void SumOthers(int head, const BatchView& batch,
                 ComputeContext& compute) const;

  const AttentionOptions options_;
  const int features_;
};

// INVALID_ARGUMENT (RETRIEVAL_OPTIONS) for a visibility that the mechanism
// `name` does not know: the states of a first pass are not sums over the
// document.
absl::Status CheckKernelVisibility(const AttentionOptions& options,
                                   std::string_view name);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_KERNEL_ATTENTION_H_
