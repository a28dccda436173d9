// BSBR: softmax attention inside each chunk, plus retrieval over one state
// matrix per other chunk, normalised and gated. Per layer and head, for chunk i
// with queries Q_i, keys K_i, values V_i [rows, d] and phi = elu + 1:
//   F_i = phi(K_i)^T V_i   z_i = sum phi(K_i)        the state
//   H_i = mean K_i         R_i = mean Q_i            meta key, meta query
//   A_ij = softmax over the visible j != i of R_i . H_j / sqrt(d)
//   retrieved = phi(Q_i) (sum_j A_ij F_j) / (phi(Q_i) . (sum_j A_ij z_j))
//   context = (1 - gate) local + gate retrieved
// A chunk that sees no other keeps its local context.
//
// State of a layer: per head F [d, d] row-major, then z [d]; after all heads H
// [heads, d].
// Scratch: phi(Q) [rows, hidden]; R [heads, d]; per head the mixed F and z.

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "core/attention/attention.h"
#include "core/attention/local_attention.h"
#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

class BsbrAttention final : public Attention {
 public:
  explicit BsbrAttention(const AttentionOptions& options) : options_(options) {}

  // Without a share there is nothing to retrieve; the path is then that of
  // independent chunks, bit for bit.
  bool exchanges() const override { return options_.gate > 0; }
  bool needs_whole_document() const override {
    return exchanges() && options_.visibility == Visibility::kBidirectional;
  }
  int64_t state_floats() const override {
    return exchanges() ? mix_floats() + options_.hidden() : 0;
  }
  int64_t scratch_floats(int rows) const override {
    return exchanges() ? int64_t{rows} * options_.hidden() + options_.hidden() +
                             mix_floats()
                       : 0;
  }

  void Local(const float* qkv, const ChunkSlot& chunk,
             ComputeContext& context) const override;
  int exchange_items() const override {
    return exchanges() ? options_.num_heads : 0;
  }
  void Exchange(int head, const BatchView& batch,
                ComputeContext& context) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& context) const override;

 private:
  // F and z of one head, and of all heads.
  int64_t head_floats() const {
    return int64_t{options_.head_dim} * (options_.head_dim + 1);
  }
  int64_t mix_floats() const { return options_.num_heads * head_floats(); }

  const float* meta_key(const float* state, int head) const {
    return state + mix_floats() + int64_t{head} * options_.head_dim;
  }
  float* meta_query(const ChunkSlot& chunk) const {
    return chunk.scratch + int64_t{chunk.rows} * options_.hidden();
  }
  float* mix(const ChunkSlot& chunk, int head) const {
    return meta_query(chunk) + options_.hidden() + head * head_floats();
  }

  void MakeState(const float* qkv, const ChunkSlot& chunk,
                 ComputeContext& context) const;

  // The states of all slots of the batch, those before it first.
  absl::InlinedVector<const float*, 64> States(const BatchView& batch) const;

  // The chunks that `chunk` sees, as a range of slots; itself, if inside, is
  // left out by RetrievalWeights.
  int64_t num_seen(int chunk, const BatchView& batch) const {
    return options_.visibility == Visibility::kCausal
               ? int64_t(batch.past.size()) + chunk
               : batch.num_visible_slots();
  }
  bool sees_others(int chunk, const BatchView& batch) const {
    const bool sees_itself = options_.visibility == Visibility::kBidirectional;
    return num_seen(chunk, batch) > (sees_itself ? 1 : 0);
  }

  // weights[slots] = A of one chunk and head; 0 for slots that it does not see.
  // meta_keys: [slots].
  void RetrievalWeights(int chunk, int head, const BatchView& batch,
                        absl::Span<const float* const> meta_keys,
                        float* weights) const;

  const AttentionOptions options_;
};

void BsbrAttention::Local(const float* qkv, const ChunkSlot& chunk,
                          ComputeContext& context) const {
  LocalSoftmaxAttention(options_, qkv, chunk.rows, context, chunk.context);
  if (exchanges()) MakeState(qkv, chunk, context);
}

void BsbrAttention::MakeState(const float* qkv, const ChunkSlot& chunk,
                              ComputeContext& context) const {
  const int d = options_.head_dim;
  const int hidden = options_.hidden();
  const int64_t stride = 3 * int64_t{hidden};
  float* phi_k =
      context.workspace().Allocate<float>(size_t(chunk.rows) * size_t(hidden));
  float* phi_q = chunk.scratch;
  float* mean_q = meta_query(chunk);
  float* mean_k = chunk.state + mix_floats();
  float* sum_phi_k = context.workspace().Allocate<float>(size_t(hidden));
  std::fill_n(mean_q, hidden, 0.0f);
  std::fill_n(mean_k, hidden, 0.0f);
  std::fill_n(sum_phi_k, hidden, 0.0f);
  for (int r = 0; r < chunk.rows; ++r) {
    const float* q = qkv + r * stride;
    const float* k = q + hidden;
    EluPlusOne(q, hidden, phi_q + int64_t{r} * hidden);
    EluPlusOne(k, hidden, phi_k + int64_t{r} * hidden);
    AddTo(q, hidden, mean_q);
    AddTo(k, hidden, mean_k);
    AddTo(phi_k + int64_t{r} * hidden, hidden, sum_phi_k);
  }
  Scale(1.0f / chunk.rows, hidden, mean_q);
  Scale(1.0f / chunk.rows, hidden, mean_k);
  for (int head = 0; head < options_.num_heads; ++head) {
    float* f = chunk.state + head * head_floats();
    const float* v = qkv + 2 * hidden + head * d;
    Gemm(d, d, chunk.rows, 1.0f,
         {phi_k + head * d, hidden, /*transposed=*/true}, {v, stride}, f, d);
    std::copy_n(sum_phi_k + head * d, d, f + int64_t{d} * d);
  }
}

absl::InlinedVector<const float*, 64> BsbrAttention::States(
    const BatchView& batch) const {
  absl::InlinedVector<const float*, 64> states(batch.past.begin(),
                                               batch.past.end());
  for (const ChunkSlot& chunk : batch.chunks) states.push_back(chunk.state);
  return states;
}

void BsbrAttention::RetrievalWeights(int chunk, int head,
                                     const BatchView& batch,
                                     absl::Span<const float* const> meta_keys,
                                     float* weights) const {
  const int64_t seen = num_seen(chunk, batch);
  const int64_t self = int64_t(batch.past.size()) + chunk;
  const int d = options_.head_dim;
  std::fill(weights + seen, weights + batch.num_visible_slots(), 0.0f);
  Dots(meta_query(batch.chunks[chunk]) + head * d,
       meta_keys.subspan(0, size_t(seen)), d,
       1.0f / std::sqrt(static_cast<float>(d)), weights);
  // Far below every score, and finite: its exponential is 0.
  if (self < seen) weights[self] = std::numeric_limits<float>::lowest() / 2;
  SoftmaxRows(weights, 1, static_cast<int>(seen), seen);
  if (self < seen) weights[self] = 0.0f;
}

void BsbrAttention::Exchange(int head, const BatchView& batch,
                             ComputeContext& context) const {
  const absl::InlinedVector<const float*, 64> states = States(batch);
  absl::InlinedVector<const float*, 64> meta_keys, sources;
  for (const float* state : states) {
    meta_keys.push_back(meta_key(state, head));
    sources.push_back(state + head * head_floats());
  }
  const int64_t slots = batch.num_visible_slots();
  float* weights =
      context.workspace().Allocate<float>(batch.chunks.size() * size_t(slots));
  absl::InlinedVector<float*, 64> mixes;
  for (int i = 0; i < static_cast<int>(batch.chunks.size()); ++i) {
    if (!sees_others(i, batch)) continue;
    RetrievalWeights(i, head, batch, meta_keys,
                     weights + int64_t(mixes.size()) * slots);
    mixes.push_back(mix(batch.chunks[i], head));
    std::fill_n(mixes.back(), head_floats(), 0.0f);
  }
  WeightedSum({.x = sources,
               .weights = weights,
               .weight_stride = slots,
               .y = absl::MakeSpan(mixes),
               .size = head_floats()});
}

void BsbrAttention::Finish(int chunk, const BatchView& batch,
                           ComputeContext& context) const {
  if (!sees_others(chunk, batch)) return;
  const ChunkSlot& slot = batch.chunks[chunk];
  const int d = options_.head_dim;
  const int hidden = options_.hidden();
  float* numerator =
      context.workspace().Allocate<float>(size_t(slot.rows) * size_t(d));
  for (int head = 0; head < options_.num_heads; ++head) {
    const float* phi_q = slot.scratch + head * d;
    const float* mixed = mix(slot, head);
    Gemm(slot.rows, d, d, 1.0f, {phi_q, hidden}, {mixed, d}, numerator, d);
    GatedMerge({.numerator = numerator,
                .features = phi_q,
                .feature_stride = hidden,
                .normalizer = mixed + int64_t{d} * d,
                .gate = options_.gate,
                .rows = slot.rows,
                .size = d,
                .context = slot.context + head * d,
                .context_stride = hidden});
  }
  if (slot.retrieval_weights == nullptr) return;
  const int64_t slots = batch.num_visible_slots();
  const absl::InlinedVector<const float*, 64> states = States(batch);
  absl::InlinedVector<const float*, 64> meta_keys(states.size());
  float* weights = context.workspace().Allocate<float>(size_t(slots));
  for (int head = 0; head < options_.num_heads; ++head) {
    for (size_t s = 0; s < states.size(); ++s) {
      meta_keys[s] = meta_key(states[s], head);
    }
    RetrievalWeights(chunk, head, batch, meta_keys, weights);
    Scale(1.0f / (options_.num_layers * options_.num_heads), slots, weights);
    AddTo(weights, slots, slot.retrieval_weights);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeBsbrAttention(
    const AttentionOptions& options) {
  return std::make_unique<const BsbrAttention>(options);
}

}  // namespace longhand
