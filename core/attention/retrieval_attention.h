// RetrievalAttention: what the mechanisms share whose chunks retrieve from each
// other's states: gates, meta queries and meta keys, the choice of chunks and
// its report. Immutable; safe from many threads with distinct ComputeContexts.
//
// The meta values of such a state are the meta key H [hidden], then the number
// of tokens that it stands for.
#ifndef LONGHAND_CORE_ATTENTION_RETRIEVAL_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_RETRIEVAL_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/attention/attention.h"
#include "core/attention/chunk_selection.h"

namespace longhand {

class RetrievalAttention : public Attention {
 public:
  bool exchanges() const override { return exchanges_; }
  bool exchanges_in(int layer) const override {
    return layer_exchanges_[size_t(layer)];
  }
  const RetrievalOptions& retrieval() const override {
    return options_.retrieval;
  }

 protected:
  explicit RetrievalAttention(const AttentionOptions& options);

  // Rows of queries, `stride` apart.
  struct Queries {
    const float* data;
    int64_t stride;
  };

  const AttentionOptions& options() const { return options_; }
  const ChunkSelection& selection() const { return selection_; }
  // 0: this head retrieves nothing.
  float gate(int layer, int head) const {
    return gates_[size_t(layer) * size_t(options_.num_heads) + size_t(head)];
  }
  // 1 / sqrt(head_dim), times the adapter's temperature.
  float ScoreScale(int layer, int head) const;
  int64_t meta_floats() const { return options_.hidden() + 1; }

  const float* meta_key(const BatchView& batch, int64_t slot, int head) const {
    return batch.states.meta(slot) + int64_t{head} * options_.head_dim;
  }
  float tokens(const BatchView& batch, int64_t slot) const {
    return batch.states.meta(slot)[options_.hidden()];
  }
  bool SeesOthers(int chunk, const BatchView& batch) const {
    return selection_.SeesOthers(batch.first + chunk, batch.slots());
  }

  // meta_query[hidden]: the mean query of the chunk's own tokens.
  void MakeMetaQuery(const LayerInput& input, const ChunkSlot& chunk,
                     ComputeContext& compute, float* meta_query) const;
  // meta[meta_floats()].
  void MakeMeta(const LayerInput& input, const ChunkSlot& chunk,
                ComputeContext& compute, float* meta) const;
  // The queries that retrieve: those of the layer, or the adapter's in the
  // workspace. Heads side by side.
  Queries RetrievalQueries(const LayerInput& input, const ChunkSlot& chunk,
                           ComputeContext& compute) const;
  // The same copied to queries [rows, hidden], for a later step.
  void KeepRetrievalQueries(const LayerInput& input, const ChunkSlot& chunk,
                            ComputeContext& compute, float* queries) const;

  // scores[slots] = scale * meta query . meta key for the chunks that
  // batch.chunks[chunk] sees, 0 for the others. meta_query: [head_dim].
  void Scores(const float* meta_query, int chunk, int head,
              const BatchView& batch, ComputeContext& compute,
              float* scores) const;

  // scores[queries, seen] = the same for several chunks and the first `seen`
  // slots. meta_queries: each [head_dim].
  void Scores(absl::Span<const float* const> meta_queries, int64_t seen,
              int head, const BatchView& batch, ComputeContext& compute,
              float* scores) const;

  // Adds a head's weights [slots] to what was asked for.
  void Report(const float* weights, int chunk, int head,
              const BatchView& batch) const;

 private:
  const AttentionOptions options_;
  const ChunkSelection selection_;
  std::vector<float> gates_;  // [layers, heads]
  std::vector<bool> layer_exchanges_;
  int num_exchanging_layers_ = 0;
  bool exchanges_ = false;
};

// INVALID_ARGUMENT (RETRIEVAL_OPTIONS) for options that the model's sizes or
// each other rule out.
absl::Status CheckRetrievalOptions(const AttentionOptions& options);

// For each row, context = (1 - a) context + a scale other, with a by the merge
// of the options. Per row: the logs of the chunk's own and of the retrieved
// attention mass; log_prior is added to the latter.
struct MergeArgs {
  Merge merge;
  float gate;
  float log_prior;
  const float* log_own;        // [rows]; not looked at by kGate
  const float* log_retrieved;  // [rows]; the same
  const float* scale;          // [rows]
  const float* other;          // [rows, size]
  int rows;
  int64_t size;
  float* context;
  int64_t context_stride;
};
void MergeRetrieved(const MergeArgs& args, ComputeContext& compute);

// The log_prior of a merge: own_tokens against the retrieved ones.
float LogPrior(Merge merge, float gate, float own_tokens,
               float retrieved_tokens);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_RETRIEVAL_ATTENTION_H_
