// BSBR with second-order states: a remote chunk's keys and values are taken as
// jointly Gaussian, so that the attention to it is known in closed form. With
// t = 1 / sqrt(d), means k_j and v_j, C_j = Cov(v, k), S_j = diag Var(k), n_j
// tokens:
//   LSE_j(q) = log n_j + t q . k_j + t^2 q^T S_j q / 2
//   o_j(q)   = v_j + t C_j q
// The chunks are weighed once for a chunk's mean query R_i:
//   A_ij = softmax over the selected j of LSE_j(R_i)
//   retrieved(q) = sum_j A_ij v_j + t (sum_j A_ij C_j) q
// A sum of n exponentials is dominated by its largest beyond sqrt(2 log n)
// standard deviations of the exponent (the random energy model; Derrida 1981),
// so past that point the log-sum-exp grows linearly and the tilt t C q stops
// growing. The values of such a state are not bounded by those of the chunk.
// The merges by mass take L_retrieved(q) = log sum of exp LSE_j(q) over the
// selected chunks, token by token.
//
// State of a layer: meta values, whose meta key is the mean key (with an
// adapter: the adapted one); per head C^T [d, d], k [d], v [d], S [d].
// Scratch: Q [rows, hidden]; R [hidden]; per head the log mass of the chunk's
// own attention [rows]; per head the mixed [C^T, k, v, S]; per head L_retrieved
// [rows], then the log prior of its merge and the mixed log n.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/attention/local_attention.h"
#include "core/attention/retrieval_attention.h"
#include "core/base/status_macros.h"
#include "core/compute/matmul.h"
#include "core/compute/merge_ops.h"
#include "core/compute/vector_ops.h"
#include "core/compute/weighted_sum.h"

namespace longhand {
namespace {

// log(exp(a) + exp(b)).
float LogAddExp(float a, float b) {
  const float most = std::max(a, b);
  if (most == -std::numeric_limits<float>::infinity()) return most;
  return most + std::log1p(std::exp(-std::abs(a - b)));
}

// Where the exponent's deviation stops to add to the mass.
float CriticalDeviation(float tokens) {
  return std::sqrt(2 * std::log(std::max(tokens, 1.0f)));
}

// LSE_j for the exponent's mean and variance.
float LogMass(float mean, float variance, float tokens) {
  const float deviation = std::sqrt(variance);
  const float critical = CriticalDeviation(tokens);
  return mean + (deviation <= critical ? std::log(tokens) + variance / 2
                                       : deviation * critical);
}

class CumulantAttention final : public RetrievalAttention {
 public:
  explicit CumulantAttention(const AttentionOptions& options)
      : RetrievalAttention(options) {}

  StateLayout state_layout(int) const override {
    const int64_t d = options().head_dim;
    return {.heads = options().num_heads,
            .parts = {{d, d}, {1, d}, {1, d}, {1, d}},
            .meta_floats = meta_floats(),
            .meta_key_floats = options().head_dim};
  }
  int64_t scratch_floats(int rows) const override {
    if (!exchanges()) return 0;
    return int64_t{rows + 1} * options().hidden() +
           options().num_heads * (2 * int64_t{rows} + head_floats() + 2);
  }
  std::vector<std::string_view> unused_options() const override {
    return {"features"};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  int exchange_items() const override { return options().num_heads; }
  void Exchange(int head, const BatchView& batch,
                ComputeContext& compute) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 private:
  int64_t head_floats() const {
    return int64_t{options().head_dim} * (options().head_dim + 3);
  }
  // The parts of a head's block.
  const float* mean_key(const float* block) const {
    return block + int64_t{options().head_dim} * options().head_dim;
  }
  const float* mean_value(const float* block) const {
    return mean_key(block) + options().head_dim;
  }
  const float* key_variance(const float* block) const {
    return mean_value(block) + options().head_dim;
  }
  // The parts of the scratch.
  float* meta_query(const ChunkSlot& chunk) const {
    return chunk.scratch + int64_t{chunk.rows} * options().hidden();
  }
  float* log_own(const ChunkSlot& chunk, int head) const {
    return meta_query(chunk) + options().hidden() + int64_t{head} * chunk.rows;
  }
  float* mix(const ChunkSlot& chunk, int head) const {
    return log_own(chunk, options().num_heads) + head * head_floats();
  }
  float* log_retrieved(const ChunkSlot& chunk, int head) const {
    return mix(chunk, options().num_heads) + int64_t{head} * (chunk.rows + 2);
  }
  float* log_prior(const ChunkSlot& chunk, int head) const {
    return log_retrieved(chunk, head) + chunk.rows;
  }

  void MakeState(const LayerInput& input, const ChunkSlot& chunk, float* state,
                 ComputeContext& compute) const;
  int64_t Weights(int chunk, int head, const BatchView& batch,
                  ComputeContext& compute, float* weights) const;
  // Adds LSE_j of every row to log_retrieved; means: [rows], to work in.
  void AddMass(const ChunkSlot& chunk, int head, float scale,
               const float* block, float tokens, float* means) const;
  void Mix(int chunk, int head, const BatchView& batch,
           ComputeContext& compute) const;
  void FinishHead(const ChunkSlot& slot, int head, const BatchView& batch,
                  ComputeContext& compute) const;
};

void CumulantAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                              float* state, ComputeContext& compute) const {
  const bool exchanges = exchanges_in(input.layer);
  LocalSoftmaxAttention(options(), input.qkv, chunk.rows, compute,
                        chunk.context, exchanges ? log_own(chunk, 0) : nullptr);
  if (!exchanges) return;
  MakeMetaQuery(input, chunk, compute, meta_query(chunk));
  KeepRetrievalQueries(input, chunk, compute, chunk.scratch);
  if (state != nullptr) MakeState(input, chunk, state, compute);
}

void CumulantAttention::MakeState(const LayerInput& input,
                                  const ChunkSlot& chunk, float* state,
                                  ComputeContext& compute) const {
  MakeMeta(input, chunk, compute, state);
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const int rows = chunk.own_rows();
  const float share = 1.0f / float(rows);
  const int64_t stride = 3 * int64_t{hidden};
  const float* own = input.qkv + chunk.own_begin * stride;
  Workspace& workspace = compute.workspace();
  // Centred first: a difference of large products would lose the covariance.
  float* k = workspace.Allocate<float>(size_t(rows) * size_t(d));
  float* v = workspace.Allocate<float>(size_t(rows) * size_t(d));
  for (int head = 0; head < options().num_heads; ++head) {
    float* block = state + meta_floats() + head * head_floats();
    float* mean_k = block + int64_t{d} * d;
    float* mean_v = mean_k + d;
    float* variance = mean_v + d;
    std::fill_n(mean_k, 3 * d, 0.0f);
    for (int r = 0; r < rows; ++r) {
      AddTo(own + r * stride + hidden + head * d, d, mean_k);
      AddTo(own + r * stride + 2 * hidden + head * d, d, mean_v);
    }
    Scale(share, 2 * d, mean_k);
    for (int r = 0; r < rows; ++r) {
      const float* key = own + r * stride + hidden + head * d;
      for (int c = 0; c < d; ++c) {
        const float delta = key[c] - mean_k[c];
        k[r * d + c] = delta;
        v[r * d + c] = key[hidden + c] - mean_v[c];
        variance[c] += share * delta * delta;
      }
    }
    Gemm(d, d, rows, share, {k, d, /*transposed=*/true}, {v, d}, block, d);
  }
}

int64_t CumulantAttention::Weights(int chunk, int head, const BatchView& batch,
                                   ComputeContext& compute,
                                   float* weights) const {
  const int d = options().head_dim;
  const float* r = meta_query(batch.chunks[chunk]) + head * d;
  Scores(r, chunk, head, batch, compute, weights);
  const int64_t seen = selection().NumSeen(batch.first + chunk, batch.slots());
  const float scale = ScoreScale(batch.layer, head);
  float* decoded = compute.workspace().Allocate<float>(size_t(head_floats()));
  for (int64_t slot = 0; slot < seen; ++slot) {
    const float* variance =
        key_variance(batch.states.Head(slot, head, decoded));
    float spread = 0;
    for (int c = 0; c < d; ++c) spread += r[c] * r[c] * variance[c];
    weights[slot] =
        LogMass(weights[slot], scale * scale * spread, tokens(batch, slot));
  }
  return selection().WeighInPlace(batch.first + chunk,
                                  {weights, size_t(batch.slots())}, compute);
}

void CumulantAttention::AddMass(const ChunkSlot& chunk, int head, float scale,
                                const float* block, float tokens,
                                float* means) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const float* q = chunk.scratch + head * d;
  RowDots(q, hidden, chunk.rows, mean_key(block), d, means);
  const float* variance = key_variance(block);
  float* sums = log_retrieved(chunk, head);
  for (int r = 0; r < chunk.rows; ++r) {
    const float* row = q + int64_t{r} * hidden;
    float spread = 0;
    for (int c = 0; c < d; ++c) spread += row[c] * row[c] * variance[c];
    sums[r] = LogAddExp(
        sums[r], LogMass(scale * means[r], scale * scale * spread, tokens));
  }
}

void CumulantAttention::Mix(int chunk, int head, const BatchView& batch,
                            ComputeContext& compute) const {
  const ChunkSlot& slot = batch.chunks[chunk];
  const Merge merge = options().retrieval.merge;
  Workspace& workspace = compute.workspace();
  float* weights = workspace.Allocate<float>(size_t(batch.slots()));
  Weights(chunk, head, batch, compute, weights);
  float* mixed = mix(slot, head);
  std::fill_n(mixed, head_floats(), 0.0f);
  std::fill_n(log_retrieved(slot, head), slot.rows,
              -std::numeric_limits<float>::infinity());
  float* decoded = workspace.Allocate<float>(size_t(head_floats()));
  float* means = workspace.Allocate<float>(size_t(slot.rows));
  float retrieved_tokens = 0, mean_tokens = 0;
  for (int64_t j = 0; j < batch.slots(); ++j) {
    if (weights[j] == 0) continue;
    const float* block = batch.states.Head(j, head, decoded);
    WeightedSum({.x = {&block, 1},
                 .weights = weights + j,
                 .weight_stride = 1,
                 .y = {&mixed, 1},
                 .size = head_floats()});
    retrieved_tokens += tokens(batch, j);
    mean_tokens += weights[j] * tokens(batch, j);
    if (merge != Merge::kGate) {
      AddMass(slot, head, ScoreScale(batch.layer, head), block,
              tokens(batch, j), means);
    }
  }
  log_prior(slot, head)[0] = LogPrior(merge, gate(batch.layer, head),
                                      float(slot.own_rows()), retrieved_tokens);
  log_prior(slot, head)[1] = mean_tokens;
}

void CumulantAttention::Exchange(int head, const BatchView& batch,
                                 ComputeContext& compute) const {
  if (gate(batch.layer, head) == 0) return;
  for (int i = 0; i < static_cast<int>(batch.chunks.size()); ++i) {
    if (SeesOthers(i, batch)) Mix(i, head, batch, compute);
  }
}

void CumulantAttention::FinishHead(const ChunkSlot& slot, int head,
                                   const BatchView& batch,
                                   ComputeContext& compute) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const float* mixed = mix(slot, head);
  const float* variance = key_variance(mixed);
  const float scale = ScoreScale(batch.layer, head);
  const float critical = CriticalDeviation(log_prior(slot, head)[1]);
  const float* q = slot.scratch + head * d;
  Workspace& workspace = compute.workspace();
  float* values = workspace.Allocate<float>(size_t(slot.rows) * size_t(d));
  float* ones = workspace.Allocate<float>(size_t(slot.rows));
  std::fill_n(ones, slot.rows, 1.0f);
  Gemm(slot.rows, d, d, scale, {q, hidden}, {mixed, d}, values, d);
  for (int r = 0; r < slot.rows; ++r) {
    const float* row = q + int64_t{r} * hidden;
    float spread = 0;
    for (int c = 0; c < d; ++c) spread += row[c] * row[c] * variance[c];
    const float deviation = scale * std::sqrt(spread);
    if (deviation > critical) Scale(critical / deviation, d, values + r * d);
    AddTo(mean_value(mixed), d, values + r * d);
  }
  MergeRetrieved({.merge = options().retrieval.merge,
                  .gate = gate(batch.layer, head),
                  .log_prior = log_prior(slot, head)[0],
                  .log_own = log_own(slot, head),
                  .log_retrieved = log_retrieved(slot, head),
                  .scale = ones,
                  .other = values,
                  .rows = slot.rows,
                  .size = d,
                  .context = slot.context + head * d,
                  .context_stride = hidden},
                 compute);
}

void CumulantAttention::Finish(int chunk, const BatchView& batch,
                               ComputeContext& compute) const {
  if (!SeesOthers(chunk, batch)) return;
  const ChunkSlot& slot = batch.chunks[chunk];
  for (int head = 0; head < options().num_heads; ++head) {
    if (gate(batch.layer, head) == 0) continue;
    FinishHead(slot, head, batch, compute);
    if (!slot.wants_weights()) continue;
    float* weights = compute.workspace().Allocate<float>(size_t(batch.slots()));
    Weights(chunk, head, batch, compute, weights);
    Report(weights, chunk, head, batch);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeCumulantAttention(
    const AttentionOptions& options) {
  LH_RETURN_IF_ERROR(CheckRetrievalOptions(options));
  return std::make_unique<const CumulantAttention>(options);
}

}  // namespace longhand
