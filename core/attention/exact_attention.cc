// Exact retrieval: every token attends, besides its own chunk, to the keys and
// values of the tokens of the selected chunks. The choice is one for all heads,
// by the mean over the heads of R . H / sqrt(d) + log n (mean query, mean key,
// tokens): the selection of InfLLM (Xiao et al. 2024, arXiv:2402.04617) and
// MoBA (Lu et al. 2025, arXiv:2502.13189). With merge "lse" and top_k 0 this is
// dense attention over the visible document, chunk by chunk and without a
// buffer of its square.
//
// State of a layer: meta values; per head K [own rows, d], then V [own rows,
// d]. Scratch: Q [rows, hidden]; R [hidden]; per head the log mass of the
// chunk's own attention [rows].

#include <algorithm>
#include <cmath>

#include "core/attention/local_attention.h"
#include "core/attention/retrieval_attention.h"
#include "core/base/status_macros.h"
#include "core/compute/matmul.h"
#include "core/compute/merge_ops.h"

namespace longhand {
namespace {

class ExactAttention final : public RetrievalAttention {
 public:
  explicit ExactAttention(const AttentionOptions& options)
      : RetrievalAttention(options) {}

  StateLayout state_layout(int own_rows) const override {
    const StateLayout::Part matrix{own_rows, options().head_dim};
    return {.heads = options().num_heads,
            .parts = {matrix, matrix},
            .meta_floats = meta_floats(),
            .meta_key_floats = options().head_dim};
  }
  int64_t scratch_floats(int rows) const override {
    if (!exchanges()) return 0;
    return int64_t{rows + 1} * options().hidden() +
           int64_t{rows} * options().num_heads;
  }
  bool is_convex() const override { return true; }
  std::vector<std::string_view> unused_options() const override {
    return {"anchor_share", "features"};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  // The choice and the attention are one chunk's alone.
  int exchange_items() const override { return 0; }
  void Exchange(int, const BatchView&, ComputeContext&) const override {}
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 private:
  // What a head takes from the selected chunks together.
  struct Retrieved {
    float* values;    // [rows, head_dim]
    float* log_sums;  // [rows]
    // [selected, rows]: each chunk's part of log_sums; null unless wanted.
    float* chunk_log_sums;
  };

  float* meta_query(const ChunkSlot& chunk) const {
    return chunk.scratch + int64_t{chunk.rows} * options().hidden();
  }
  float* log_own(const ChunkSlot& chunk, int head) const {
    return meta_query(chunk) + options().hidden() + int64_t{head} * chunk.rows;
  }
  absl::Span<const int> Choose(int chunk, const BatchView& batch,
                               ComputeContext& compute) const;
  void Attend(int chunk, int head, const BatchView& batch,
              absl::Span<const int> selected, ComputeContext& compute,
              const Retrieved& out) const;
  void ReportMass(int chunk, int head, const BatchView& batch,
                  absl::Span<const int> selected, const Retrieved& retrieved,
                  ComputeContext& compute) const;
};

void ExactAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                           float* state, ComputeContext& compute) const {
  const bool exchanges = exchanges_in(input.layer);
  LocalSoftmaxAttention(options(), input.qkv, chunk.rows, compute,
                        chunk.context, exchanges ? log_own(chunk, 0) : nullptr);
  if (!exchanges) return;
  const int d = options().head_dim;
  const int hidden = options().hidden();
  MakeMetaQuery(input, chunk, compute, meta_query(chunk));
  KeepRetrievalQueries(input, chunk, compute, chunk.scratch);
  if (state == nullptr) return;
  MakeMeta(input, chunk, compute, state);
  float* out = state + meta_floats();
  for (int head = 0; head < options().num_heads; ++head) {
    for (int part : {1, 2}) {  // K, V
      for (int r = chunk.own_begin; r < chunk.own_end; ++r) {
        out = std::copy_n(
            input.qkv + (int64_t{r} * 3 + part) * hidden + head * d, d, out);
      }
    }
  }
}

absl::Span<const int> ExactAttention::Choose(int chunk, const BatchView& batch,
                                             ComputeContext& compute) const {
  const int64_t slots = batch.slots();
  const int64_t self = batch.first + chunk;
  const int64_t seen = selection().NumSeen(self, slots);
  float* mean = compute.workspace().Allocate<float>(size_t(slots));
  float* scores = compute.workspace().Allocate<float>(size_t(slots));
  std::fill_n(mean, slots, 0.0f);
  for (int head = 0; head < options().num_heads; ++head) {
    Scores(meta_query(batch.chunks[chunk]) + head * options().head_dim, chunk,
           head, batch, compute, scores);
    for (int64_t slot = 0; slot < seen; ++slot) {
      mean[slot] += scores[slot] / float(options().num_heads);
    }
  }
  for (int64_t slot = 0; slot < seen; ++slot) {
    mean[slot] += std::log(tokens(batch, slot));
  }
  int* spare = compute.workspace().Allocate<int>(size_t(seen));
  int* selected = compute.workspace().Allocate<int>(size_t(seen));
  const int count =
      selection().Select(self, {mean, size_t(seen)}, spare, selected);
  return {selected, size_t(count)};
}

void ExactAttention::Attend(int chunk, int head, const BatchView& batch,
                            absl::Span<const int> selected,
                            ComputeContext& compute,
                            const Retrieved& out) const {
  const int rows = batch.chunks[chunk].rows;
  const int d = options().head_dim;
  const float* q = batch.chunks[chunk].scratch + head * d;
  Workspace& workspace = compute.workspace();
  int64_t most = 0, largest = 0;
  for (int slot : selected) {
    const StateLayout& layout = batch.states.chunks[slot]->layout();
    most = std::max(most, layout.parts[0].rows);
    largest = std::max(largest, layout.head_floats());
  }
  float* decoded = workspace.Allocate<float>(size_t(largest));
  float* scores = workspace.Allocate<float>(size_t(rows * most));
  float* values = workspace.Allocate<float>(size_t(rows) * size_t(d));
  float* log_sums = workspace.Allocate<float>(size_t(rows));
  float* ones = workspace.Allocate<float>(size_t(rows));
  float* share = workspace.Allocate<float>(size_t(rows));
  std::fill_n(ones, rows, 1.0f);
  for (size_t i = 0; i < selected.size(); ++i) {
    const int slot = selected[i];
    const float* block = batch.states.Head(slot, head, decoded);
    const int keys =
        static_cast<int>(batch.states.chunks[slot]->layout().parts[0].rows);
    Gemm(rows, keys, d, ScoreScale(batch.layer, head), {q, options().hidden()},
         {block, d, /*transposed=*/true}, scores, keys);
    SoftmaxRowsWithLogSum(scores, rows, keys, keys, log_sums);
    if (out.chunk_log_sums != nullptr) {
      std::copy_n(log_sums, rows, out.chunk_log_sums + int64_t(i) * rows);
    }
    float* target = i == 0 ? out.values : values;
    Gemm(rows, d, keys, 1.0f, {scores, keys}, {block + int64_t{keys} * d, d},
         target, d);
    if (i == 0) {
      std::copy_n(log_sums, rows, out.log_sums);
      continue;
    }
    // Two softmaxes into the one over both.
    for (int r = 0; r < rows; ++r) {
      const float x = log_sums[r] - out.log_sums[r];
      share[r] = 1.0f / (1.0f + std::exp(-x));
      out.log_sums[r] = std::max(log_sums[r], out.log_sums[r]) +
                        std::log1p(std::exp(-std::abs(x)));
    }
    BlendRows({.other = values,
               .scale = ones,
               .share = share,
               .rows = rows,
               .size = d,
               .context = out.values,
               .context_stride = d});
  }
}

void ExactAttention::ReportMass(int chunk, int head, const BatchView& batch,
                                absl::Span<const int> selected,
                                const Retrieved& retrieved,
                                ComputeContext& compute) const {
  const int rows = batch.chunks[chunk].rows;
  float* weights = compute.workspace().Allocate<float>(size_t(batch.slots()));
  std::fill_n(weights, batch.slots(), 0.0f);
  for (size_t i = 0; i < selected.size(); ++i) {
    float sum = 0;
    for (int r = 0; r < rows; ++r) {
      sum += std::exp(retrieved.chunk_log_sums[int64_t(i) * rows + r] -
                      retrieved.log_sums[r]);
    }
    weights[selected[i]] = sum / float(rows);
  }
  Report(weights, chunk, head, batch);
}

void ExactAttention::Finish(int chunk, const BatchView& batch,
                            ComputeContext& compute) const {
  if (!SeesOthers(chunk, batch)) return;
  const ChunkSlot& slot = batch.chunks[chunk];
  const bool wants_weights = slot.wants_weights();
  const int d = options().head_dim;
  const size_t rows = size_t(slot.rows);
  Workspace& workspace = compute.workspace();
  const absl::Span<const int> selected = Choose(chunk, batch, compute);
  float total = 0;
  for (int chosen : selected) total += tokens(batch, chosen);
  float* ones = workspace.Allocate<float>(rows);
  std::fill_n(ones, rows, 1.0f);
  const Retrieved retrieved = {
      .values = workspace.Allocate<float>(rows * size_t(d)),
      .log_sums = workspace.Allocate<float>(rows),
      .chunk_log_sums = wants_weights
                            ? workspace.Allocate<float>(selected.size() * rows)
                            : nullptr};
  for (int head = 0; head < options().num_heads; ++head) {
    const float head_gate = gate(batch.layer, head);
    if (head_gate == 0) continue;
    Attend(chunk, head, batch, selected, compute, retrieved);
    const Merge merge = options().retrieval.merge;
    MergeRetrieved(
        {.merge = merge,
         .gate = head_gate,
         .log_prior = LogPrior(merge, head_gate, float(slot.own_rows()), total),
         .log_own = log_own(slot, head),
         .log_retrieved = retrieved.log_sums,
         .scale = ones,
         .other = retrieved.values,
         .rows = slot.rows,
         .size = d,
         .context = slot.context + head * d,
         .context_stride = options().hidden()},
        compute);
    if (wants_weights) {
      ReportMass(chunk, head, batch, selected, retrieved, compute);
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeExactAttention(
    const AttentionOptions& options) {
  LH_RETURN_IF_ERROR(CheckRetrievalOptions(options));
  return std::make_unique<const ExactAttention>(options);
}

}  // namespace longhand
