// The attention of the Python package `bsbr` 0.1.1 for weights that were
// trained with it, exactly as published and in a corrected causal form. Per
// layer and head, for chunk i with queries Q_i, keys K_i and values V_i
// [rows, d], and x_i the input of its last token:
//   F_i = K_i^T V_i           the state, [d, d]; with compression compress(F_i)
//   R_i = W_r x_i  H_i = W_h x_i                         meta query, meta key
//   P_ij = softmax over the visible j of R_i . H_j / sqrt(d)
//   context = softmax over the visible keys(Q_i K_i^T / sqrt(d)) V_i
//             + Q_i decompress(sum_j P_ij F_j)           neither scaled
// bsbr_reference: the masks are the package's own, upper triangles. A token
// sees itself and what follows in its chunk; a chunk retrieves from itself and
// from all that follow. The package fills the last chunk up with zero keys,
// which keep their mass in the softmax; ForwardPass does so for it.
// bsbr_causal: a token sees itself and what precedes; a chunk retrieves from
// those before it, the first one nothing.
//
// State of a layer: H [hidden]; per head F, [d, d] or [1, compressed].
// Scratch: Q [rows, hidden]; R [hidden]; the mixed states [heads, state].

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/attention/retrieval_attention.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"
#include "core/compute/weighted_sum.h"

namespace longhand {
namespace {

// Query rows whose scores are made at a time.
constexpr int kRowTile = 64;
// Chunks whose weights are made, and states that are decoded, at a time.
constexpr int64_t kChunkTile = 64;

// All heads of all layers retrieve, and nothing else changes what they do.
AttentionOptions WithoutChoices(AttentionOptions options,
                                Visibility visibility) {
  options.retrieval = {.visibility = visibility, .gate = 1};
  options.adapter = nullptr;
  return options;
}

class BsbrReferenceAttention final : public RetrievalAttention {
 public:
  // The visibility says which of the two forms it is.
  BsbrReferenceAttention(const AttentionOptions& options, Visibility visibility)
      : RetrievalAttention(WithoutChoices(options, visibility)) {}

  StateLayout state_layout(int) const override {
    const int64_t d = options().head_dim;
    const PackedLinear* compress = Extra(0, "compress");
    return {.heads = options().num_heads,
            .parts = {compress == nullptr
                          ? StateLayout::Part{d, d}
                          : StateLayout::Part{1, compress->outputs()}},
            .meta_floats = options().hidden()};
  }
  int64_t scratch_floats(int rows) const override {
    return int64_t{rows + 1} * options().hidden() +
           options().num_heads * state_floats();
  }
  std::vector<std::string_view> unused_options() const override {
    return {"anchor_share", "anchors",          "features",
            "gate",         "head_gates",       "merge",
            "neighbors",    "retrieval_layers", "top_k"};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  int exchange_items() const override { return options().num_heads; }
  void Exchange(int head, const BatchView& batch,
                ComputeContext& compute) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 private:
  // Chunks of the document, [begin, end).
  struct Range {
    int64_t begin, end;

    int64_t size() const { return end - begin; }
  };

  bool causal() const {
    return options().retrieval.visibility == Visibility::kCausal;
  }
  // What chunk number `self` retrieves from.
  Range Seen(int64_t self, int64_t slots) const {
    return causal() ? Range{0, self} : Range{self, slots};
  }
  const PackedLinear* Extra(int layer, std::string_view role) const {
    return options().extras[size_t(layer)]->Find(role);
  }
  int64_t state_floats() const { return state_layout(0).head_floats(); }
  float* meta_query(const ChunkSlot& chunk) const {
    return chunk.scratch + int64_t{chunk.rows} * options().hidden();
  }
  float* mix(const ChunkSlot& chunk, int head) const {
    return meta_query(chunk) + options().hidden() + head * state_floats();
  }

  void MaskedAttention(const float* qkv, int rows, ComputeContext& compute,
                       float* context) const;
  // heads[heads, state]: the states of the chunk's own tokens.
  void MakeStates(const LayerInput& input, const ChunkSlot& chunk,
                  ComputeContext& compute, float* heads) const;
  // weights[slots]: P of one chunk and head, 0 for the chunks not seen.
  void Weights(int chunk, int head, const BatchView& batch,
               ComputeContext& compute, float* weights) const;
  // The mixed states as matrices [heads, d, d].
  const float* Expanded(const ChunkSlot& chunk, int layer,
                        ComputeContext& compute) const;
};

void BsbrReferenceAttention::MaskedAttention(const float* qkv, int rows,
                                             ComputeContext& compute,
                                             float* context) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const int64_t stride = 3 * int64_t{hidden};
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  float* scores = compute.workspace().Allocate<float>(
      size_t(std::min(rows, kRowTile)) * size_t(rows));
  for (int head = 0; head < options().num_heads; ++head) {
    const float* q = qkv + head * d;
    for (int begin = 0; begin < rows; begin += kRowTile) {
      const int end = std::min(rows, begin + kRowTile);
      // The keys that any of these rows sees.
      const int first = causal() ? 0 : begin;
      const int keys = (causal() ? end : rows) - first;
      const float* k = q + hidden + first * stride;
      Gemm(end - begin, keys, d, scale, {q + begin * stride, stride},
           {k, stride, /*transposed=*/true}, scores, keys);
      for (int r = begin; r < end; ++r) {
        float* row = scores + int64_t{r - begin} * keys;
        const int seen_begin = causal() ? 0 : r - first;
        const int seen_end = causal() ? r + 1 : keys;
        SoftmaxRows(row + seen_begin, 1, seen_end - seen_begin, keys);
        std::fill(row, row + seen_begin, 0.0f);
        std::fill(row + seen_end, row + keys, 0.0f);
      }
      Gemm(end - begin, d, keys, 1.0f, {scores, keys}, {k + hidden, stride},
           context + int64_t{begin} * hidden + head * d, hidden);
    }
  }
}

void BsbrReferenceAttention::MakeStates(const LayerInput& input,
                                        const ChunkSlot& chunk,
                                        ComputeContext& compute,
                                        float* heads) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const int num_heads = options().num_heads;
  const int64_t stride = 3 * int64_t{hidden};
  const PackedLinear* compress = Extra(input.layer, "compress");
  float* full =
      compress == nullptr
          ? heads
          : compute.workspace().Allocate<float>(size_t(PaddedRows(num_heads)) *
                                                size_t(d) * size_t(d));
  const float* k = input.qkv + chunk.own_begin * stride + hidden;
  for (int head = 0; head < num_heads; ++head) {
    Gemm(d, d, chunk.own_rows(), 1.0f,
         {k + head * d, stride, /*transposed=*/true},
         {k + hidden + head * d, stride}, full + int64_t{head} * d * d, d);
  }
  if (compress == nullptr) return;
  float* compressed = compute.workspace().Allocate<float>(
      size_t(PaddedRows(num_heads)) * size_t(compress->outputs()));
  compress->Apply(full, num_heads, compute, compressed);
  std::copy_n(compressed, int64_t{num_heads} * compress->outputs(), heads);
}

void BsbrReferenceAttention::Local(const LayerInput& input,
                                   const ChunkSlot& chunk, float* state,
                                   ComputeContext& compute) const {
  const int hidden = options().hidden();
  MaskedAttention(input.qkv, chunk.rows, compute, chunk.context);
  for (int r = 0; r < chunk.rows; ++r) {
    std::copy_n(input.qkv + r * 3 * int64_t{hidden}, hidden,
                chunk.scratch + int64_t{r} * hidden);
  }
  const size_t padded = size_t(PaddedRows(1)) * size_t(hidden);
  float* last = compute.workspace().Allocate<float>(padded);
  float* meta = compute.workspace().Allocate<float>(padded);
  std::fill_n(last, padded, 0.0f);
  std::copy_n(input.x + int64_t{chunk.own_end - 1} * hidden, hidden, last);
  Extra(input.layer, "meta_query")->Apply(last, 1, compute, meta);
  std::copy_n(meta, hidden, meta_query(chunk));
  if (state == nullptr) return;
  Extra(input.layer, "meta_key")->Apply(last, 1, compute, meta);
  MakeStates(input, chunk, compute, std::copy_n(meta, hidden, state));
}

void BsbrReferenceAttention::Weights(int chunk, int head,
                                     const BatchView& batch,
                                     ComputeContext& compute,
                                     float* weights) const {
  const Range seen = Seen(batch.first + chunk, batch.slots());
  const int d = options().head_dim;
  auto* keys = compute.workspace().Allocate<const float*>(size_t(seen.size()));
  for (int64_t slot = seen.begin; slot < seen.end; ++slot) {
    keys[slot - seen.begin] = meta_key(batch, slot, head);
  }
  const int count = static_cast<int>(seen.size());
  std::fill_n(weights, batch.slots(), 0.0f);
  Dots(meta_query(batch.chunks[chunk]) + head * d, {keys, size_t(count)}, d,
       1.0f / std::sqrt(static_cast<float>(d)), weights + seen.begin);
  SoftmaxRows(weights + seen.begin, 1, count, count);
}

void BsbrReferenceAttention::Exchange(int head, const BatchView& batch,
                                      ComputeContext& compute) const {
  const int64_t slots = batch.slots();
  const int64_t size = state_floats();
  const int64_t chunks = int64_t(batch.chunks.size());
  Workspace& workspace = compute.workspace();
  const size_t tile = size_t(std::min(kChunkTile, chunks));
  float* weights = workspace.Allocate<float>(tile * size_t(slots));
  auto* mixes = workspace.Allocate<float*>(tile);
  auto* sources = workspace.Allocate<const float*>(size_t(kChunkTile));
  float* decoded = workspace.Allocate<float>(size_t(kChunkTile * size));
  for (int64_t first = 0; first < chunks; first += kChunkTile) {
    size_t rows = 0;
    Range used{slots, 0};
    for (int64_t i = first; i < std::min(chunks, first + kChunkTile); ++i) {
      const Range seen = Seen(batch.first + i, slots);
      if (seen.size() == 0) continue;
      used = {std::min(used.begin, seen.begin), std::max(used.end, seen.end)};
      const int chunk = static_cast<int>(i);
      Weights(chunk, head, batch, compute, weights + int64_t(rows) * slots);
      mixes[rows] = mix(batch.chunks[chunk], head);
      std::fill_n(mixes[rows++], size, 0.0f);
    }
    for (int64_t begin = used.begin; begin < used.end; begin += kChunkTile) {
      const int64_t count = std::min(kChunkTile, used.end - begin);
      for (int64_t i = 0; i < count; ++i) {
        sources[i] = batch.states.Head(begin + i, head, decoded + i * size);
      }
      WeightedSum({.x = {sources, size_t(count)},
                   .weights = weights + begin,
                   .weight_stride = slots,
                   .y = {mixes, rows},
                   .size = size});
    }
  }
}

const float* BsbrReferenceAttention::Expanded(const ChunkSlot& chunk, int layer,
                                              ComputeContext& compute) const {
  const PackedLinear* decompress = Extra(layer, "decompress");
  if (decompress == nullptr) return mix(chunk, 0);
  const int heads = options().num_heads;
  const size_t padded = size_t(PaddedRows(heads));
  const size_t mixed = size_t(heads * state_floats());
  Workspace& workspace = compute.workspace();
  float* compressed =
      workspace.Allocate<float>(padded * size_t(state_floats()));
  std::fill(std::copy_n(mix(chunk, 0), mixed, compressed),
            compressed + padded * size_t(state_floats()), 0.0f);
  float* full =
      workspace.Allocate<float>(padded * size_t(decompress->outputs()));
  decompress->Apply(compressed, heads, compute, full);
  return full;
}

void BsbrReferenceAttention::Finish(int chunk, const BatchView& batch,
                                    ComputeContext& compute) const {
  if (Seen(batch.first + chunk, batch.slots()).size() == 0) return;
  const ChunkSlot& slot = batch.chunks[chunk];
  const int d = options().head_dim;
  const int hidden = options().hidden();
  Workspace& workspace = compute.workspace();
  const float* states = Expanded(slot, batch.layer, compute);
  float* retrieved = workspace.Allocate<float>(size_t(slot.rows) * size_t(d));
  float* weights = workspace.Allocate<float>(size_t(batch.slots()));
  for (int head = 0; head < options().num_heads; ++head) {
    Gemm(slot.rows, d, d, 1.0f, {slot.scratch + head * d, hidden},
         {states + int64_t{head} * d * d, d}, retrieved, d);
    for (int r = 0; r < slot.rows; ++r) {
      AddTo(retrieved + int64_t{r} * d, d,
            slot.context + int64_t{r} * hidden + head * d);
    }
    if (!slot.wants_weights()) continue;
    Weights(chunk, head, batch, compute, weights);
    Report(weights, chunk, head, batch);
  }
}

absl::StatusOr<std::unique_ptr<const Attention>> Make(
    const AttentionOptions& options, std::string_view name,
    Visibility visibility) {
  bool complete = int(options.extras.size()) == options.num_layers;
  for (const LayerExtras* extras : options.extras) {
    complete = complete && extras->Find("meta_query") != nullptr &&
               extras->Find("meta_key") != nullptr;
  }
  if (!complete) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "MECHANISM_UNAVAILABLE",
        absl::StrCat("the mechanism \"", ToAbsl(name),
                     "\" computes with meta projections that only models of "
                     "the family \"bsbr\" have; choose another mechanism for "
                     "this model"));
  }
  return std::make_unique<const BsbrReferenceAttention>(options, visibility);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeBsbrReferenceAttention(
    const AttentionOptions& options) {
  return Make(options, "bsbr_reference", Visibility::kBidirectional);
}

absl::StatusOr<std::unique_ptr<const Attention>> MakeBsbrCausalAttention(
    const AttentionOptions& options) {
  return Make(options, "bsbr_causal", Visibility::kCausal);
}

}  // namespace longhand
