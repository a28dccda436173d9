// Between fp32 and the operands of the int8 and bf16 products. QuantizeRows,
// DequantizeRows and RoundToBf16 are vector loops, dispatched on the CPU at run
// time (Google Highway), with slow twins of the same name in namespace
// reference (reference.h). Plain functions on the calling thread, safe from
// many threads.
//
// The scheme is that of Jacob et al. 2018, "Quantization and Training of Neural
// Networks for Efficient Integer-Arithmetic-Only Inference" (arXiv:1712.05877),
// section 2: a real number is scale * (q - zero_point). Rows of activations get
// their scale and zero point at run time; weights have a scale per output
// channel and the zero point 0. A product is then
//   sum (q - zero_point) * w = sum q * w - zero_point * sum w,
// whose last sum is known beforehand.
#ifndef LONGHAND_CORE_COMPUTE_QUANTIZE_H_
#define LONGHAND_CORE_COMPUTE_QUANTIZE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/compute/activation.h"
#include "core/compute/precision.h"
#include "core/tensor/tensor.h"

namespace longhand {

// Rows of activations, x ~ scale * (value - zero_point). Borrowed storage.
struct QuantizedRows {
  uint8_t* values;       // [rows, columns]
  float* scales;         // [rows]
  int32_t* zero_points;  // [rows], 0 to 255
};

// x[rows, columns] to 8 bits, each row by its own range, which is widened to
// include 0 so that 0 is exact. A row with an infinity or a NaN gets the scale
// NaN, so that all that is computed from it is NaN.
void QuantizeRows(const float* x, int rows, int columns,
                  const QuantizedRows& out);

// dst[r][c] = activation((sums[r][c] - zero_points[r] * weight_sums[c])
//                        * row_scales[r] * channel_scales[c] + bias[c]),
// or dst += that. All matrices are [rows, columns].
struct DequantizeArgs {
  const int32_t* sums;
  const float* row_scales;      // [rows]
  const int32_t* zero_points;   // [rows]
  const float* channel_scales;  // [columns]
  const int32_t* weight_sums;   // [columns]
  const float* bias;            // [columns]
  int rows;
  int columns;
  Activation activation = Activation::kNone;
  bool accumulate = false;
};
// Magnitudes of zero_points[r] * weight_sums[c] and of the difference must fit
// 32 bits, as they do within kMaxInt8Inputs.
void DequantizeRows(const DequantizeArgs& args, float* dst);

// y[i] = x[i] as bfloat16 bits: to the nearest, ties to even; a NaN stays one.
void RoundToBf16(const float* x, int64_t size, uint16_t* y);

// A weight matrix, w ~ scales[output] * values[output][input].
struct QuantizedWeights {
  AlignedBuffer<int8_t> values;  // [outputs, inputs], within +-127
  FloatBuffer scales;            // [outputs]
  AlignedBuffer<int32_t> sums;   // [outputs] of values
};

// weights[outputs, inputs], each output by its largest magnitude. An output
// with an infinity or a NaN gets the scale NaN. Runs once per matrix.
//
// For kPairs the scale is larger where it must be so that no sum of two
// products saturates: with inputs a in [0, 255], a1 * b1 + a2 * b2 is greatest
// when a is 255 for the positive b and 0 for the others. The positive b of a
// pair sum up to at most 128 here, and the negative ones to at least -128, so
// the sum of products stays within +-255 * 128 = +-32640, inside 16 bits. (A
// plain limit of 64 for every b would do the same, but costs one of eight bits
// everywhere; large weights rarely meet.)
QuantizedWeights QuantizeWeights(absl::Span<const float> weights, int inputs,
                                 int outputs, Int8Sums sums);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_QUANTIZE_H_
