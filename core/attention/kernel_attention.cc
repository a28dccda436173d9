#include "core/attention/kernel_attention.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/compute/matmul.h"
#include "core/compute/merge_ops.h"
#include "core/compute/vector_ops.h"

namespace longhand {

int64_t KernelAttention::scratch_floats(int rows) const {
  return options_.num_heads * head_floats() * (causal() ? 1 : 2) +
         int64_t{rows} * options_.hidden();
}

std::vector<std::string_view> KernelAttention::unused_options() const {
  return {"anchor_share", "anchors",    "features",  "gate",
          "head_gates",   "merge",      "neighbors", "retrieval_layers",
          "state_codec",  "state_rank", "top_k"};
}

KernelAttention::Buffers KernelAttention::MakeBuffers(
    ComputeContext& compute) const {
  Workspace& workspace = compute.workspace();
  return {workspace.Allocate<float>(size_t(features_) * kBlockRows),
          workspace.Allocate<float>(size_t(head_floats())),
          workspace.Allocate<float>(kBlockRows)};
}

void KernelAttention::Merge(const float* from, float* sums) const {
  const int d = options_.head_dim;
  const float* from_mass = from + weighted_floats();
  const float* from_scale = from_mass + features_;
  for (int f = 0; f < features_; ++f) {
    float& scale = log_scale(sums)[f];
    const float larger = std::max(scale, from_scale[f]);
    const float kept = std::exp(scale - larger);
    const float added = std::exp(from_scale[f] - larger);
    scale = larger;
    mass(sums)[f] = kept * mass(sums)[f] + added * from_mass[f];
    float* row = sums + int64_t{f} * d;
    const float* from_row = from + int64_t{f} * d;
    for (int i = 0; i < d; ++i) row[i] = kept * row[i] + added * from_row[i];
  }
}

void KernelAttention::SumRows(const LayerInput& input, int head, int begin,
                              int end, const Buffers& buffers,
                              float* sums) const {
  const int d = options_.head_dim;
  const int hidden = options_.hidden();
  for (int first = begin; first < end; first += kBlockRows) {
    const int rows = std::min(kBlockRows, end - first);
    const float* k = input.qkv + first * input.stride + hidden + head * d;
    float* block = first == begin ? sums : buffers.sums;
    LogKeyFeatures(input.layer, {k, input.stride, rows}, buffers.features);
    SoftmaxRowsWithLogSum(buffers.features, features_, rows, rows,
                          log_scale(block));
    std::fill_n(mass(block), features_, 1.0f);
    Gemm(features_, d, rows, 1.0f, {buffers.features, rows},
         {k + hidden, input.stride}, block, d);
    if (block != sums) Merge(block, sums);
  }
}

void KernelAttention::Attend(int layer, const float* q, int64_t stride,
                             int rows, float* sums, const Buffers& buffers,
                             float* context) const {
  const int d = options_.head_dim;
  const int hidden = options_.hidden();
  for (int first = 0; first < rows; first += kBlockRows) {
    const int count = std::min(kBlockRows, rows - first);
    float* weights = buffers.features;
    float* out = context + int64_t{first} * hidden;
    LogQueryFeatures(layer, {q + first * stride, stride, count}, weights);
    for (int r = 0; r < count; ++r) {
      AddTo(log_scale(sums), features_, weights + int64_t{r} * features_);
    }
    SoftmaxRows(weights, count, features_, features_);
    Gemm(count, d, features_, 1.0f, {weights, features_}, {sums, d}, out,
         hidden);
    RowDots(weights, features_, count, mass(sums), features_, buffers.mass);
    for (int r = 0; r < count; ++r) {
      Scale(1.0f / buffers.mass[r], d, out + int64_t{r} * hidden);
    }
  }
}

void KernelAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                            float* state, ComputeContext& compute) const {
  const int hidden = options_.hidden();
  const Buffers buffers = MakeBuffers(compute);
  float* part = compute.workspace().Allocate<float>(size_t(head_floats()));
  for (int head = 0; head < options_.num_heads; ++head) {
    float* sums = chunk_sums(chunk, head);
    SumRows(input, head, chunk.own_begin, chunk.own_end, buffers, sums);
    if (state != nullptr) {
      std::copy_n(sums, head_floats(), state + head * head_floats());
    }
    if (chunk.own_begin > 0) {
      SumRows(input, head, 0, chunk.own_begin, buffers, part);
      Merge(part, sums);
    }
    if (chunk.own_end < chunk.rows) {
      SumRows(input, head, chunk.own_end, chunk.rows, buffers, part);
      Merge(part, sums);
    }
    const int begin = head * options_.head_dim;
    Attend(input.layer, input.qkv + begin, input.stride, chunk.rows, sums,
           buffers, chunk.context + begin);
  }
  for (int r = 0; r < chunk.rows; ++r) {
    std::copy_n(input.qkv + r * input.stride, hidden,
                queries(chunk) + int64_t{r} * hidden);
  }
}

void KernelAttention::SumOthers(int head, const BatchView& batch,
                                ComputeContext& compute) const {
  const int64_t chunks = int64_t(batch.chunks.size());
  LH_CHECK(batch.first == 0 && chunks == batch.slots());
  const auto own = [&](int64_t i) {
    return batch.states.meta(i) + head * head_floats();
  };
  float* running = compute.workspace().Allocate<float>(size_t(head_floats()));
  for (int64_t i = 1; i < chunks; ++i) {
    if (i == 1) {
      std::copy_n(own(0), head_floats(), running);
    } else {
      Merge(own(i - 1), running);
    }
    std::copy_n(running, head_floats(),
                others_sums(batch.chunks[size_t(i)], head));
  }
  for (int64_t i = chunks - 2; i >= 0; --i) {
    if (i == chunks - 2) {
      std::copy_n(own(chunks - 1), head_floats(), running);
    } else {
      Merge(own(i + 1), running);
    }
    float* others = others_sums(batch.chunks[size_t(i)], head);
    if (i == 0) {
      std::copy_n(running, head_floats(), others);
    } else {
      Merge(running, others);
    }
  }
}

void KernelAttention::Exchange(int head, const BatchView& batch,
                               ComputeContext& compute) const {
  if (!causal()) {
    SumOthers(head, batch, compute);
    return;
  }
  // One after the other, so that batches do not matter.
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    const int64_t self = batch.first + int64_t(i);
    float* meta = batch.chunks[i].meta;
    if (self == 0 || meta == nullptr) continue;
    Merge(batch.states.meta(self - 1) + head * head_floats(),
          meta + head * head_floats());
  }
}

void KernelAttention::Finish(int chunk, const BatchView& batch,
                             ComputeContext& compute) const {
  const int64_t self = batch.first + chunk;
  if (causal() ? self == 0 : batch.slots() == 1) return;
  const ChunkSlot& slot = batch.chunks[size_t(chunk)];
  const int hidden = options_.hidden();
  const Buffers buffers = MakeBuffers(compute);
  for (int head = 0; head < options_.num_heads; ++head) {
    float* sums = chunk_sums(slot, head);
    Merge(causal() ? batch.states.meta(self - 1) + head * head_floats()
                   : others_sums(slot, head),
          sums);
    const int begin = head * options_.head_dim;
    Attend(batch.layer, queries(slot) + begin, hidden, slot.rows, sums, buffers,
           slot.context + begin);
  }
}

absl::Status CheckKernelVisibility(const AttentionOptions& options,
                                   std::string_view name) {
  if (options.retrieval.visibility != Visibility::kTwoPass) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, "RETRIEVAL_OPTIONS",
      absl::StrCat("the mechanism \"", ToAbsl(name),
                   "\" knows the visibilities \"causal\" and "
                   "\"bidirectional\"; use one of them, or choose another "
                   "mechanism"),
      {{"field", "visibility"}});
}

}  // namespace longhand
