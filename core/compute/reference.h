// The slow twins of matmul.h and vector_ops.h: plain loops, sums in double.
// They are the oracles of the tests and say what the fast ones mean.
#ifndef LONGHAND_CORE_COMPUTE_REFERENCE_H_
#define LONGHAND_CORE_COMPUTE_REFERENCE_H_

#include <cstdint>

#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"

namespace longhand::reference {

// The arguments of PackedLinear::Pack and Apply in one: weights
// [outputs, inputs], src [rows, inputs], dst [rows, outputs].
struct LinearArgs {
  const float* weights;
  const float* bias;
  int inputs;
  int outputs;
  LinearOptions options;
};
void Linear(const LinearArgs& linear, const float* src, int rows, float* dst);

void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride);

void SoftmaxRows(float* x, int rows, int columns, int64_t stride);
void LayerNormRows(float* x, int rows, int columns, const float* scale,
                   const float* bias, float eps);
void EluPlusOne(const float* x, int64_t size, float* y);
void AddTo(const float* x, int64_t size, float* y);
void Scale(float factor, int64_t size, float* y);
void Dots(const float* a, absl::Span<const float* const> x, int64_t size,
          float factor, float* out);
void WeightedSum(const WeightedSumArgs& args);
void GatedMerge(const GatedMergeArgs& args);

}  // namespace longhand::reference

#endif  // LONGHAND_CORE_COMPUTE_REFERENCE_H_
