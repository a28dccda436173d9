// The gated attention unit (Hua et al. 2022, arXiv:2202.10447, section 3), as
// the package FLASH-pytorch has it (lucidrains, class GAU, not causal): one
// head with small queries and keys that come from one projection, weights that
// are squared and not normalised by their sum, and a gate on what they gather.
// Over a chunk of n tokens of width `hidden`, with value, gate and z from the
// projections:
//   q, k    = gamma * z + beta, a gamma and a beta each
//   weights = relu((q k^T + sqrt(hidden) * bias of the distance) / n)^2
//   context = (weights value) * gate
// All inside one chunk of the document; queries go in blocks, so that there is
// no buffer of its square.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>

#include "core/attention/chunk_attention.h"
#include "core/attention/padding.h"
#include "core/attention/relative_buckets.h"
#include "core/base/error.h"
#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

// Queries that are scored at a time.
constexpr int kQueryTile = 64;

class GauAttention final : public ChunkAttention {
 public:
  explicit GauAttention(const AttentionOptions& options)
      : ChunkAttention(options) {}

  bool takes_mask() const override { return true; }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float*,
             ComputeContext& compute) const override;

 private:
  const LayerExtras& extras(int layer) const {
    return *options().extras[size_t(layer)];
  }
  int64_t number(int layer, std::string_view role) const {
    return *extras(layer).FindNumber(role);
  }

  // [rows, head_dim]: gamma * z + beta; of the queries (0) or the keys (1).
  const float* Scaled(const LayerInput& input, const float* z, int rows,
                      int part, ComputeContext& compute) const;
  // [2 * rows - 1]: what the scores of keys get that lie rows - 1 before the
  // query, ..., rows - 1 behind it.
  const float* Biases(int layer, int rows, ComputeContext& compute) const;
};

const float* GauAttention::Scaled(const LayerInput& input, const float* z,
                                  int rows, int part,
                                  ComputeContext& compute) const {
  const int64_t d = options().head_dim;
  const LayerExtras& layer = extras(input.layer);
  const float* gamma = layer.FindTensor("offset_gamma")->data() + part * d;
  const float* beta = layer.FindTensor("offset_beta")->data() + part * d;
  float* scaled = compute.workspace().Allocate<float>(size_t(rows * d));
  for (int r = 0; r < rows; ++r) {
    float* row = scaled + r * d;
    std::copy_n(z + r * input.stride, d, row);
    Multiply(gamma, d, row);
    AddTo(beta, d, row);
  }
  return scaled;
}

const float* GauAttention::Biases(int layer, int rows,
                                  ComputeContext& compute) const {
  const float* table = extras(layer).FindTensor("relative_bias")->data();
  const float factor =
      std::sqrt(float(number(layer, "hidden_size"))) / float(rows);
  float* biases = compute.workspace().Allocate<float>(size_t(2 * rows - 1));
  for (int i = 0; i < 2 * rows - 1; ++i) {
    biases[i] = factor * table[RelativeBucket(i - (rows - 1))];
  }
  return biases;
}

void GauAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                         float*, ComputeContext& compute) const {
  const int rows = chunk.rows;
  const int d = options().head_dim;
  const int width = int(number(input.layer, "value_size"));
  const float* values = input.qkv;
  const float* gates = values + width;
  const float* z = gates + width;
  const float* queries = Scaled(input, z, rows, 0, compute);
  const float* keys = Scaled(input, z, rows, 1, compute);
  const float* biases = Biases(input.layer, rows, compute);
  float* weights =
      compute.workspace().Allocate<float>(size_t(kQueryTile) * size_t(rows));
  for (int begin = 0; begin < rows; begin += kQueryTile) {
    const int count = std::min(kQueryTile, rows - begin);
    Gemm(count, rows, d, 1.0f / float(rows), {queries + int64_t{begin} * d, d},
         {keys, d, /*transposed=*/true}, weights, rows);
    for (int i = 0; i < count; ++i) {
      float* row = weights + int64_t{i} * rows;
      AddTo(biases + (rows - 1 - begin - i), rows, row);
      SquaredRelu(row, rows, row);
      for (int j = 0; chunk.mask != nullptr && j < rows; ++j) {
        if (IsPadding(chunk, j)) row[j] = 0;
      }
    }
    float* context = chunk.context + int64_t{begin} * width;
    Gemm(count, width, rows, 1.0f, {weights, rows}, {values, input.stride},
         context, width);
    for (int i = 0; i < count; ++i) {
      Multiply(gates + (begin + i) * input.stride, width,
               context + int64_t{i} * width);
    }
  }
  ClearPaddingRows(chunk, width);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeGauAttention(
    const AttentionOptions& options) {
  bool complete = options.num_heads == 1 &&
                  int(options.extras.size()) == options.num_layers;
  for (const LayerExtras* extras : options.extras) {
    for (const char* tensor :
         {"offset_gamma", "offset_beta", "relative_bias"}) {
      complete = complete && extras->FindTensor(tensor) != nullptr;
    }
    for (const char* number : {"value_size", "hidden_size"}) {
      complete = complete && extras->FindNumber(number) != nullptr;
    }
  }
  if (!complete) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "MECHANISM_UNAVAILABLE",
        "the mechanism \"gau\" computes with a gate and with queries and keys "
        "from one projection, which only models of the family \"gau\" have; "
        "choose another mechanism for this model");
  }
  return std::make_unique<const GauAttention>(options);
}

}  // namespace longhand
