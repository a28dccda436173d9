// The slow twins of matmul.h, merge_ops.h, quantize.h, score_ops.h,
// softmax_attention.h, vector_ops.h and weighted_sum.h: plain loops, sums in
// double. They are the oracles of the tests and say what the fast ones mean.
#ifndef LONGHAND_CORE_COMPUTE_REFERENCE_H_
#define LONGHAND_CORE_COMPUTE_REFERENCE_H_

#include <cstdint>

#include "core/compute/matmul.h"
#include "core/compute/merge_ops.h"
#include "core/compute/quantize.h"
#include "core/compute/score_ops.h"
#include "core/compute/softmax_attention.h"
#include "core/compute/vector_ops.h"
#include "core/compute/weighted_sum.h"

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

// The same in int8, step by step: the reference QuantizeRows, exact integer
// sums, the reference DequantizeRows.
void LinearInt8(const LinearArgs& linear, const float* src, int rows,
                float* dst);

double Activate(double x, Activation activation);
void QuantizeRows(const float* x, int rows, int columns,
                  const QuantizedRows& out);
void DequantizeRows(const DequantizeArgs& args, float* dst);
void RoundToBf16(const float* x, int64_t size, uint16_t* y);

void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride);

void SoftmaxRows(float* x, int rows, int columns, int64_t stride);
void LayerNormRows(float* x, int rows, int columns, const float* scale,
                   const float* bias, float eps);
void RmsNormRows(float* x, int rows, int columns, const float* scale,
                 int64_t stride, float eps);
void EluPlusOne(const float* x, int64_t size, float* y);
void LogEluPlusOne(const float* x, int64_t size, float* y);
void SquaredRelu(const float* x, int64_t size, float* y);
void AddTo(const float* x, int64_t size, float* y);
void Multiply(const float* x, int64_t size, float* y);
void Scale(float factor, int64_t size, float* y);
void Dots(const float* a, absl::Span<const float* const> x, int64_t size,
          float factor, float* out);
void WeightedSum(const WeightedSumArgs& args);
void SoftmaxRowsWithLogSum(float* x, int rows, int columns, int64_t stride,
                           float* log_sum);
void RowDots(const float* a, int64_t stride, int rows, const float* b,
             int64_t size, float* out);
void BlendRows(const BlendRowsArgs& args);

void SoftmaxAttention(const SoftmaxAttentionArgs& args);

void Scores(const ScoresArgs& args);
void ColumnScores(const ColumnScoresArgs& args);
int64_t IndicesAtLeast(const float* x, int begin, int end, float threshold,
                       int* out);

}  // namespace longhand::reference

#endif  // LONGHAND_CORE_COMPUTE_REFERENCE_H_
