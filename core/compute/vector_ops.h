// Our own vector loops, dispatched on the CPU at run time (Google Highway).
// Plain functions on the calling thread, safe from many threads. Each has a
// slow twin of the same name in namespace reference (reference.h).
#ifndef LONGHAND_CORE_COMPUTE_VECTOR_OPS_H_
#define LONGHAND_CORE_COMPUTE_VECTOR_OPS_H_

#include <cstdint>

#include "absl/types/span.h"

namespace longhand {

// x[rows, columns] in place, row by row: softmax. REQUIRES: columns >= 1.
void SoftmaxRows(float* x, int rows, int columns, int64_t stride);

// x[rows, columns] in place, row by row:
// (x - mean) / sqrt(variance + eps) * scale + bias.
void LayerNormRows(float* x, int rows, int columns, const float* scale,
                   const float* bias, float eps);

// x[rows, columns] in place, row by row, `stride` apart: x / sqrt(mean of x^2 +
// eps) * scale (RMSNorm, Zhang and Sennrich 2019, arXiv:1910.07467).
void RmsNormRows(float* x, int rows, int columns, const float* scale,
                 int64_t stride, float eps);

// y[i] = elu(x[i]) + 1: x + 1 above 0, e^x below (Katharopoulos et al. 2020,
// arXiv:2006.16236, section 3.2.1). y may be x.
void EluPlusOne(const float* x, int64_t size, float* y);

// y[i] = log(elu(x[i]) + 1): log(x + 1) above 0, x below. y may be x.
void LogEluPlusOne(const float* x, int64_t size, float* y);

// y[i] = max(x[i], 0)^2 (So et al. 2021, arXiv:2109.08668, section 4). y may be
// x.
void SquaredRelu(const float* x, int64_t size, float* y);

// y[i] += x[i].
void AddTo(const float* x, int64_t size, float* y);

// y[i] *= x[i].
void Multiply(const float* x, int64_t size, float* y);

// y[i] *= factor.
void Scale(float factor, int64_t size, float* y);

// out[s] = factor * (a . x[s]) for every source s, vectors of `size`.
void Dots(const float* a, absl::Span<const float* const> x, int64_t size,
          float factor, float* out);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_VECTOR_OPS_H_
