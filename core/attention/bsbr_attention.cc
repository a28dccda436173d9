// BSBR: softmax attention inside each chunk, plus retrieval over one state
// matrix per other chunk, normalised and gated. Per layer and head, for chunk i
// with queries Q_i, keys K_i, values V_i [rows, d] of its own tokens and a
// non-negative feature map phi:
//   F_i = phi(K_i)^T V_i   z_i = sum phi(K_i)        the state
//   H_i = mean K_i         R_i = mean Q_i            meta key, meta query
//   A_ij = softmax over the selected j of R_i . H_j / sqrt(d)
//   retrieved = phi(Q_i) (sum_j A_ij F_j) / (phi(Q_i) . (sum_j A_ij z_j))
// which joins the context by the merge of the options. A retrieved row is a
// weighted mean of value rows, so it stays within their range. For the merges
// by attention mass the chunk's own mass is phi(Q_i) . z_i and the retrieved
// one phi(Q_i) . sum_j w_ij z_j with w_ij = A_ij * the number of selected
// chunks. A chunk that sees no other keeps its local context.
//
// State of a layer: meta values; per head F [d, d], then z [d].
// Scratch: phi(Q) [rows, hidden]; R [hidden]; own z [hidden]; per head the
// mixed F and z; per head the log prior of its merge.

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/attention/local_attention.h"
#include "core/attention/retrieval_attention.h"
#include "core/attention/state_mix.h"
#include "core/base/status_macros.h"
#include "core/compute/matmul.h"
#include "core/compute/merge_ops.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

// Chunks that are weighed and mixed at a time: more would need more memory than
// reading the states less often is worth.
constexpr int kGroup = 32;

class BsbrAttention final : public RetrievalAttention {
 public:
  explicit BsbrAttention(const AttentionOptions& options)
      : RetrievalAttention(options) {}

  StateLayout state_layout(int) const override {
    const int64_t d = options().head_dim;
    return {.heads = options().num_heads,
            .parts = {{d, d}, {1, d}},
            .meta_floats = meta_floats(),
            .meta_key_floats = options().head_dim};
  }
  int64_t scratch_floats(int rows) const override {
    if (!exchanges()) return 0;
    return int64_t{rows + 2} * options().hidden() +
           options().num_heads * (head_floats() + 1);
  }
  bool is_convex() const override { return true; }
  std::vector<std::string_view> unused_options() const override { return {}; }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  int exchange_items() const override { return options().num_heads; }
  void Exchange(int head, const BatchView& batch,
                ComputeContext& compute) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 private:
  // F and z of one head.
  int64_t head_floats() const {
    return int64_t{options().head_dim} * (options().head_dim + 1);
  }
  float* meta_query(const ChunkSlot& chunk) const {
    return chunk.scratch + int64_t{chunk.rows} * options().hidden();
  }
  float* own_z(const ChunkSlot& chunk) const {
    return meta_query(chunk) + options().hidden();
  }
  float* mix(const ChunkSlot& chunk, int head) const {
    return own_z(chunk) + options().hidden() + head * head_floats();
  }
  float* log_priors(const ChunkSlot& chunk) const {
    return mix(chunk, options().num_heads);
  }

  // y[rows, hidden] = phi of each head of x[rows, hidden].
  void ApplyFeatures(const float* x, int64_t stride, int rows, float* y) const;
  // Blocks of [F, z] of the chunk's own tokens, and z beside in the scratch.
  void MakeState(const LayerInput& input, const ChunkSlot& chunk,
                 float* state_heads, ComputeContext& compute) const;
  // What chunks are weighed and mixed in, for all groups of an Exchange.
  struct Buffers {
    float* scores;    // [kGroup, slots]
    int* selected;    // [kGroup, slots]
    float* weights;   // [kGroup, slots]
    int* spare;       // [slots]
    StateMix* mixes;  // [kGroup]
  };
  // Exchange for the chunks `group`, which see others.
  void MixGroup(absl::Span<const int> group, int head, const BatchView& batch,
                const Buffers& buffers, ComputeContext& compute) const;
  // `weights` are those of the chunks `selected`.
  float PriorOf(int chunk, int head, const BatchView& batch,
                absl::Span<const int> selected, const float* weights) const;
};

void BsbrAttention::ApplyFeatures(const float* x, int64_t stride, int rows,
                                  float* y) const {
  const int hidden = options().hidden();
  const int d = options().head_dim;
  if (options().retrieval.features == FeatureMap::kElu) {
    for (int r = 0; r < rows; ++r) {
      EluPlusOne(x + r * stride, hidden, y + int64_t{r} * hidden);
    }
    return;
  }
  for (int r = 0; r < rows; ++r) {
    std::copy_n(x + r * stride, hidden, y + int64_t{r} * hidden);
  }
  SoftmaxRows(y, rows * options().num_heads, d, d);
}

void BsbrAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                          float* state, ComputeContext& compute) const {
  LocalSoftmaxAttention(options(), input.qkv, chunk.rows, compute,
                        chunk.context);
  if (!exchanges_in(input.layer)) return;
  MakeMetaQuery(input, chunk, compute, meta_query(chunk));
  const Queries queries = RetrievalQueries(input, chunk, compute);
  ApplyFeatures(queries.data, queries.stride, chunk.rows, chunk.scratch);
  float* heads = state == nullptr ? compute.workspace().Allocate<float>(size_t(
                                        options().num_heads * head_floats()))
                                  : state + meta_floats();
  if (state != nullptr) MakeMeta(input, chunk, compute, state);
  MakeState(input, chunk, heads, compute);
}

void BsbrAttention::MakeState(const LayerInput& input, const ChunkSlot& chunk,
                              float* state_heads,
                              ComputeContext& compute) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const int64_t stride = 3 * int64_t{hidden};
  const int rows = chunk.own_rows();
  const float* own = input.qkv + chunk.own_begin * stride;
  float* phi_k =
      compute.workspace().Allocate<float>(size_t(rows) * size_t(hidden));
  ApplyFeatures(own + hidden, stride, rows, phi_k);
  float* z = own_z(chunk);
  std::fill_n(z, hidden, 0.0f);
  for (int r = 0; r < rows; ++r) AddTo(phi_k + int64_t{r} * hidden, hidden, z);
  for (int head = 0; head < options().num_heads; ++head) {
    float* f = state_heads + head * head_floats();
    Gemm(d, d, rows, 1.0f, {phi_k + head * d, hidden, /*transposed=*/true},
         {own + 2 * hidden + head * d, stride}, f, d);
    std::copy_n(z + head * d, d, f + int64_t{d} * d);
  }
}

float BsbrAttention::PriorOf(int chunk, int head, const BatchView& batch,
                             absl::Span<const int> selected,
                             const float* weights) const {
  const Merge merge = options().retrieval.merge;
  if (merge == Merge::kLse) return std::log(float(selected.size()));
  if (merge == Merge::kGate) return 0;
  float retrieved = 0;
  for (size_t i = 0; i < selected.size(); ++i) {
    retrieved += weights[i] * tokens(batch, selected[i]);
  }
  return LogPrior(merge, gate(batch.layer, head),
                  float(batch.chunks[chunk].own_rows()), retrieved);
}

void BsbrAttention::MixGroup(absl::Span<const int> group, int head,
                             const BatchView& batch, const Buffers& buffers,
                             ComputeContext& compute) const {
  const int64_t slots = batch.slots();
  const float* queries[kGroup];
  int64_t most = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    queries[i] = meta_query(batch.chunks[group[i]]) + head * options().head_dim;
    most = std::max(most, selection().NumSeen(batch.first + group[i], slots));
  }
  Scores({queries, group.size()}, most, head, batch, compute, buffers.scores);
  for (size_t i = 0; i < group.size(); ++i) {
    const int64_t self = batch.first + group[i];
    const ChunkSlot& chunk = batch.chunks[group[i]];
    int* selected = buffers.selected + int64_t(i) * slots;
    float* weights = buffers.weights + int64_t(i) * slots;
    const int count =
        selection().Weigh(self,
                          {buffers.scores + int64_t(i) * most,
                           size_t(selection().NumSeen(self, slots))},
                          buffers.spare, selected, weights);
    buffers.mixes[i] = {{selected, size_t(count)}, weights, mix(chunk, head)};
    std::fill_n(mix(chunk, head), head_floats(), 0.0f);
    log_priors(chunk)[head] =
        PriorOf(group[i], head, batch, buffers.mixes[i].slots, weights);
  }
  MixStates(batch.states, head, head_floats(), {buffers.mixes, group.size()},
            compute.workspace());
}

void BsbrAttention::Exchange(int head, const BatchView& batch,
                             ComputeContext& compute) const {
  if (gate(batch.layer, head) == 0) return;
  const size_t slots = size_t(batch.slots());
  const size_t rows = std::min(batch.chunks.size(), size_t{kGroup});
  Workspace& workspace = compute.workspace();
  const Buffers buffers = {workspace.Allocate<float>(rows * slots),
                           workspace.Allocate<int>(rows * slots),
                           workspace.Allocate<float>(rows * slots),
                           workspace.Allocate<int>(slots),
                           workspace.Allocate<StateMix>(rows)};
  int group[kGroup];
  size_t size = 0;
  const int chunks = static_cast<int>(batch.chunks.size());
  for (int i = 0; i < chunks; ++i) {
    if (SeesOthers(i, batch)) group[size++] = i;
    if (size == kGroup || (i + 1 == chunks && size > 0)) {
      MixGroup({group, size}, head, batch, buffers, compute);
      size = 0;
    }
  }
}

void BsbrAttention::Finish(int chunk, const BatchView& batch,
                           ComputeContext& compute) const {
  if (!SeesOthers(chunk, batch)) return;
  const ChunkSlot& slot = batch.chunks[chunk];
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const size_t rows = size_t(slot.rows);
  Workspace& workspace = compute.workspace();
  float* numerator = workspace.Allocate<float>(rows * size_t(d));
  float* mass = workspace.Allocate<float>(rows);
  float* own_mass = workspace.Allocate<float>(rows);
  float* scale = workspace.Allocate<float>(rows);
  for (int head = 0; head < options().num_heads; ++head) {
    if (gate(batch.layer, head) == 0) continue;
    const float* phi_q = slot.scratch + head * d;
    const float* mixed = mix(slot, head);
    Gemm(slot.rows, d, d, 1.0f, {phi_q, hidden}, {mixed, d}, numerator, d);
    RowDots(phi_q, hidden, slot.rows, mixed + int64_t{d} * d, d, mass);
    for (size_t r = 0; r < rows; ++r) {
      mass[r] = std::max(mass[r], std::numeric_limits<float>::min());
      scale[r] = 1.0f / mass[r];
    }
    if (options().retrieval.merge != Merge::kGate) {
      RowDots(phi_q, hidden, slot.rows, own_z(slot) + head * d, d, own_mass);
      for (size_t r = 0; r < rows; ++r) {
        mass[r] = std::log(mass[r]);
        own_mass[r] =
            std::log(std::max(own_mass[r], std::numeric_limits<float>::min()));
      }
    }
    MergeRetrieved({.merge = options().retrieval.merge,
                    .gate = gate(batch.layer, head),
                    .log_prior = log_priors(slot)[head],
                    .log_own = own_mass,
                    .log_retrieved = mass,
                    .scale = scale,
                    .other = numerator,
                    .rows = slot.rows,
                    .size = d,
                    .context = slot.context + head * d,
                    .context_stride = hidden},
                   compute);
    if (!slot.wants_weights()) continue;
    float* weights = workspace.Allocate<float>(size_t(batch.slots()));
    Scores(meta_query(slot) + head * d, chunk, head, batch, compute, weights);
    selection().WeighInPlace(batch.first + chunk,
                             {weights, size_t(batch.slots())}, compute);
    Report(weights, chunk, head, batch);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeBsbrAttention(
    const AttentionOptions& options) {
  LH_RETURN_IF_ERROR(CheckRetrievalOptions(options));
  return std::make_unique<const BsbrAttention>(options);
}

}  // namespace longhand
