// DeltaNet (Yang et al. 2024, arXiv:2406.06484), in the published form of
// flash-linear-attention: a memory S [d, d] per head that the document's own
// tokens correct one after the other, each by the delta rule,
//   S += k (beta (v - S^T k))^T    then    o = S^T q
// where q, k and v are the projections after a short causal convolution per
// channel and silu, q and k have L2 norm 1 (1e-6 is added to the square), q is
// divided by sqrt(d) and beta = sigmoid(W_beta x); o is normalised by its root
// mean square, head by head. A token sees the tokens before it and itself, so
// the visibility is causal. Rows that are not own tokens read the memory where
// they stand, as if they came next, and leave no trace.
//
// A model without these parameters gets an untrained form: no convolution and
// no silu, beta = 1/2 (what sigmoid gives at 0) and no normalisation of o.
//
// State of a layer, all of it meta values, per head: S behind the chunk's own
// tokens; the last width - 1 rows of the projections of q, k and v, [3, width -
// 1, d], 0 before the document's first token. Scratch: the projections [rows,
// 3 hidden]; beta [rows, heads]. Only the document's first chunk can be
// computed without another's state; the others are computed in Exchange, in
// order.

#include <algorithm>
#include <cmath>

#include "core/attention/attention.h"
#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"
#include "core/compute/weighted_sum.h"

namespace longhand {
namespace {

constexpr int kRowTile = 1024;
constexpr float kNormEps = 1e-6f;
constexpr float kUntrainedBeta = 0.5f;
constexpr std::string_view kConvolutions[3] = {
    "query_convolution", "key_convolution", "value_convolution"};

float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

void NormalizeRow(int size, float factor, float* x) {
  float square;
  Dots(x, {&x, 1}, size, 1.0f, &square);
  Scale(factor / std::sqrt(square + kNormEps), size, x);
}

class DeltaNetAttention final : public Attention {
 public:
  explicit DeltaNetAttention(const AttentionOptions& options)
      : options_(options),
        tail_rows_(
            options.extras.empty()
                ? 0
                : static_cast<int>(
                      options.extras[0]->FindTensor(kConvolutions[0])->size()) /
                          options.hidden() -
                      1) {
    options_.retrieval.visibility = Visibility::kCausal;
  }

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
  int64_t scratch_floats(int rows) const override {
    return rows * (3 * int64_t{options_.hidden()} + options_.num_heads);
  }
  bool keeps_source_model() const override { return false; }
  bool reports_weights() const override { return false; }
  int64_t reach_tokens() const override { return 1; }
  std::vector<std::string_view> unused_options() const override {
    return {"anchor_share", "anchors",    "features",  "gate",
            "head_gates",   "merge",      "neighbors", "retrieval_layers",
            "state_codec",  "state_rank", "top_k"};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  int exchange_items() const override { return options_.num_heads; }
  void Exchange(int head, const BatchView& batch,
                ComputeContext& compute) const override;
  void Finish(int, const BatchView&, ComputeContext&) const override {}

 private:
  // What a head is computed in.
  struct Buffers {
    float* qkv;             // [3, rows, d]
    float* correction;      // [d]
    const float** sources;  // [d]
    float** rows;           // [d]
    float* state;           // [head_floats()], for a chunk that leaves none
  };

  const LayerExtras* extras(int layer) const {
    return options_.extras.empty() ? nullptr : options_.extras[size_t(layer)];
  }
  int64_t memory_floats() const {
    return int64_t{options_.head_dim} * options_.head_dim;
  }
  int64_t head_floats() const {
    return memory_floats() + 3 * int64_t{tail_rows_} * options_.head_dim;
  }
  int64_t stride() const { return 3 * int64_t{options_.hidden()}; }
  float* betas(const ChunkSlot& chunk) const {
    return chunk.scratch + chunk.rows * stride();
  }

  Buffers MakeBuffers(int rows, ComputeContext& compute) const;
  // y[rows, d] = what becomes of one head of a projection (0: q, 1: k, 2: v).
  // tail[tail_rows_, d]: the rows before the chunk's own.
  void Convolve(int layer, const ChunkSlot& chunk, int part, int head,
                const float* tail, float* y) const;
  // The last rows of the projections, own tokens behind those of `tail`; in
  // place.
  void MoveTail(const ChunkSlot& chunk, int part, int head, float* tail) const;
  // A head of a chunk; `state`, in place, from before it to behind it.
  void Walk(int layer, const ChunkSlot& chunk, int head, const Buffers& buffers,
            float* state) const;
  // One own row: S += k (beta (v - S^T k))^T. v is used up.
  void Correct(const float* k, float beta, const Buffers& buffers,
               float* v) const;
  // o = S^T x, S [d, d] as buffers.sources.
  void Read(const float* x, const Buffers& buffers, float* o) const;

  AttentionOptions options_;
  const int tail_rows_;
};

DeltaNetAttention::Buffers DeltaNetAttention::MakeBuffers(
    int rows, ComputeContext& compute) const {
  Workspace& workspace = compute.workspace();
  const size_t d = size_t(options_.head_dim);
  return {workspace.Allocate<float>(3 * size_t(rows) * d),
          workspace.Allocate<float>(d), workspace.Allocate<const float*>(d),
          workspace.Allocate<float*>(d),
          workspace.Allocate<float>(size_t(head_floats()))};
}

void DeltaNetAttention::Convolve(int layer, const ChunkSlot& chunk, int part,
                                 int head, const float* tail, float* y) const {
  const int d = options_.head_dim;
  const int hidden = options_.hidden();
  const int offset = part * hidden + head * d;
  const float* raw = chunk.scratch + offset;
  if (extras(layer) == nullptr) {
    for (int r = 0; r < chunk.rows; ++r) {
      std::copy_n(raw + r * stride(), d, y + int64_t{r} * d);
    }
    return;
  }
  const int width = tail_rows_ + 1;
  const float* weights =
      extras(layer)->FindTensor(kConvolutions[part])->data() +
      int64_t{head} * d * width;
  for (int r = 0; r < chunk.rows; ++r) {
    float* out = y + int64_t{r} * d;
    for (int i = 0; i < d; ++i) {
      out[i] = weights[i * width + tail_rows_] * raw[r * stride() + i];
    }
    const int place = std::clamp(r, chunk.own_begin, chunk.own_end);
    for (int back = 1; back <= tail_rows_; ++back) {
      const int row = place - back;
      const float* x =
          row >= chunk.own_begin
              ? raw + row * stride()
              : tail + int64_t{tail_rows_ + row - chunk.own_begin} * d;
      const float* w = weights + tail_rows_ - back;
      for (int i = 0; i < d; ++i) out[i] += w[i * width] * x[i];
    }
    for (int i = 0; i < d; ++i) out[i] *= Sigmoid(out[i]);
  }
}

void DeltaNetAttention::MoveTail(const ChunkSlot& chunk, int part, int head,
                                 float* tail) const {
  const int d = options_.head_dim;
  const int taken = std::min(tail_rows_, chunk.own_rows());
  const int kept = tail_rows_ - taken;
  std::copy(tail + int64_t{taken} * d, tail + int64_t{tail_rows_} * d, tail);
  for (int t = 0; t < taken; ++t) {
    std::copy_n(chunk.scratch + (chunk.own_end - taken + t) * stride() +
                    part * options_.hidden() + head * d,
                d, tail + int64_t{kept + t} * d);
  }
}

void DeltaNetAttention::Read(const float* x, const Buffers& buffers,
                             float* o) const {
  const size_t d = size_t(options_.head_dim);
  std::fill_n(o, d, 0.0f);
  WeightedSum({.x = {buffers.sources, d},
               .weights = x,
               .weight_stride = 0,
               .y = {&o, 1},
               .size = options_.head_dim});
}

void DeltaNetAttention::Correct(const float* k, float beta,
                                const Buffers& buffers, float* v) const {
  const int d = options_.head_dim;
  Read(k, buffers, buffers.correction);
  for (int i = 0; i < d; ++i) v[i] = beta * (v[i] - buffers.correction[i]);
  WeightedSum({.x = {&v, 1},
               .weights = k,
               .weight_stride = 1,
               .y = {buffers.rows, size_t(d)},
               .size = d});
}

void DeltaNetAttention::Walk(int layer, const ChunkSlot& chunk, int head,
                             const Buffers& buffers, float* state) const {
  const int d = options_.head_dim;
  const int hidden = options_.hidden();
  float* tail = state + memory_floats();
  const int64_t tail_floats = int64_t{tail_rows_} * d;
  const int64_t part_floats = int64_t{chunk.rows} * d;
  for (int part = 0; part < 3; ++part, tail += tail_floats) {
    Convolve(layer, chunk, part, head, tail, buffers.qkv + part * part_floats);
    MoveTail(chunk, part, head, tail);
  }
  for (int i = 0; i < d; ++i) {
    buffers.sources[i] = buffers.rows[i] = state + int64_t{i} * d;
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  float* context = chunk.context + head * d;
  for (int r = 0; r < chunk.rows; ++r) {
    float* q = buffers.qkv + int64_t{r} * d;
    float* k = q + part_floats;
    NormalizeRow(d, scale, q);
    if (r >= chunk.own_begin && r < chunk.own_end) {
      NormalizeRow(d, 1.0f, k);
      Correct(k, betas(chunk)[r * options_.num_heads + head], buffers,
              k + part_floats);
    }
    Read(q, buffers, context + int64_t{r} * hidden);
  }
  if (extras(layer) == nullptr) return;
  RmsNormRows(context, chunk.rows, d,
              extras(layer)->FindTensor("output_norm")->data(), hidden,
              static_cast<float>(1e-12 * double(*extras(layer)->FindNumber(
                                             "output_norm_eps_trillionths"))));
}

void DeltaNetAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                              float* state, ComputeContext& compute) const {
  const int heads = options_.num_heads;
  for (int r = 0; r < chunk.rows; ++r) {
    std::copy_n(input.qkv + r * input.stride, stride(),
                chunk.scratch + r * stride());
  }
  const int64_t count = int64_t{chunk.rows} * heads;
  if (extras(input.layer) == nullptr) {
    std::fill_n(betas(chunk), count, kUntrainedBeta);
  } else {
    float* logits = compute.workspace().Allocate<float>(
        size_t(PaddedRows(chunk.rows)) * size_t(heads));
    const PackedLinear& beta = *extras(input.layer)->Find("beta");
    // In tiles, as the layer's own products.
    for (int r = 0; r < chunk.rows; r += kRowTile) {
      beta.Apply(input.x + int64_t{r} * beta.inputs(),
                 std::min(kRowTile, chunk.rows - r), compute,
                 logits + int64_t{r} * heads);
    }
    std::transform(logits, logits + count, betas(chunk), Sigmoid);
  }
  if (state != nullptr) std::fill_n(state, heads * head_floats(), 0.0f);
  if (chunk.first_token != 0) return;
  const Buffers buffers = MakeBuffers(chunk.rows, compute);
  for (int head = 0; head < heads; ++head) {
    float* values = buffers.state;
    if (state != nullptr) {
      values = state + head * head_floats();
    } else {
      std::fill_n(values, head_floats(), 0.0f);
    }
    Walk(input.layer, chunk, head, buffers, values);
  }
}

void DeltaNetAttention::Exchange(int head, const BatchView& batch,
                                 ComputeContext& compute) const {
  int most = 0;
  for (const ChunkSlot& chunk : batch.chunks) most = std::max(most, chunk.rows);
  const Buffers buffers = MakeBuffers(most, compute);
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    const int64_t self = batch.first + int64_t(i);
    if (self == 0) continue;
    const ChunkSlot& chunk = batch.chunks[i];
    float* values = chunk.meta == nullptr ? buffers.state
                                          : chunk.meta + head * head_floats();
    std::copy_n(batch.states.meta(self - 1) + head * head_floats(),
                head_floats(), values);
    Walk(batch.layer, chunk, head, buffers, values);
  }
}

// Nothing at all, or everything in every layer.
bool HasParameters(const AttentionOptions& options) {
  const auto complete = [&](const LayerExtras* extras) {
    for (std::string_view role : kConvolutions) {
      if (extras->FindTensor(role) == nullptr) return false;
    }
    return extras->Find("beta") != nullptr &&
           extras->FindTensor("output_norm") != nullptr &&
           extras->FindNumber("output_norm_eps_trillionths") != nullptr;
  };
  return int(options.extras.size()) == options.num_layers &&
         std::all_of(options.extras.begin(), options.extras.end(), complete);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeDeltaNetAttention(
    const AttentionOptions& options) {
  AttentionOptions used = options;
  if (!HasParameters(options)) used.extras = {};
  return std::make_unique<const DeltaNetAttention>(used);
}

}  // namespace longhand
