// Matrix products on the calling thread. PackedLinear is a weight matrix in the
// layout that the matmul kernel asked for, with its bias and what is done to
// the product; immutable, shareable between threads with distinct
// ComputeContexts. Slow twins: reference.h.
#ifndef LONGHAND_CORE_COMPUTE_MATMUL_H_
#define LONGHAND_CORE_COMPUTE_MATMUL_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/compute/activation.h"
#include "core/compute/compute_context.h"
#include "core/compute/precision.h"

namespace longhand {

// Rows of matmul operands are processed in multiples of this.
inline constexpr int kRowBlock = 16;

// Rows that a buffer must have so that a product over `rows` rows may touch it.
constexpr int PaddedRows(int rows) {
  return (rows + kRowBlock - 1) / kRowBlock * kRowBlock;
}

struct LinearOptions {
  // What follows src * weights + bias.
  Activation activation = Activation::kNone;
  // Add the product to what dst holds instead of overwriting it (a residual).
  bool accumulate = false;
  // As asked for; the CPU may compute in another one, see precision().
  Precision precision = Precision::kFp32;
};

class PackedLinear {
 public:
  // `weights` [outputs, inputs] row-major (the layout of torch.nn.Linear),
  // `bias` [outputs]; copied. INVALID_ARGUMENT (PRECISION_UNSUPPORTED) for
  // more than kMaxInt8Inputs inputs in int8.
  static absl::StatusOr<PackedLinear> Pack(absl::Span<const float> weights,
                                           absl::Span<const float> bias,
                                           int inputs, int outputs,
                                           LinearOptions options = {});

  PackedLinear();
  ~PackedLinear();
  PackedLinear(PackedLinear&&) noexcept;
  PackedLinear& operator=(PackedLinear&&) noexcept;

  // dst = activation(src * weights^T + bias), or dst += ....
  // src [PaddedRows(rows), inputs], dst [PaddedRows(rows), outputs]; rows past
  // `rows` may be read and written, their values are of no consequence. In int8
  // a row of src with an infinity or a NaN gives a row of NaN.
  void Apply(const float* src, int rows, ComputeContext& context,
             float* dst) const;

  int inputs() const;
  int outputs() const;
  // EffectivePrecision of what was asked for.
  Precision precision() const;
  uint64_t byte_size() const;

 private:
  struct Impl;
  explicit PackedLinear(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A dense row-major matrix with a row stride, in floats.
struct MatrixView {
  const float* data;
  int64_t stride;
  bool transposed = false;  // the operand is the matrix's transpose
};

// dst[m, n] = alpha * a[m, k] * b[k, n], with dst's row stride. For the small
// products of attention: a row's result does not depend on the other rows.
void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_MATMUL_H_
