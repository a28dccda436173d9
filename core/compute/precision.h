// Precision: the arithmetic of the linear layers. Everything between them
// (attention, softmax, normalisation, residuals) is fp32 in all of them. Plain
// functions, safe from any thread; their answers do not change while the
// process runs. docs/precision.md has the measurements.
#ifndef LONGHAND_CORE_COMPUTE_PRECISION_H_
#define LONGHAND_CORE_COMPUTE_PRECISION_H_

#include <string_view>

#include "absl/status/statusor.h"

namespace longhand {

enum class Precision {
  kFp32,
  // Operands rounded to bfloat16, sums in fp32.
  kBf16,
  // Operands as 8-bit integers with scales of their own for every output
  // channel of the weights and, measured at run time, every row of the input;
  // sums in 32-bit integers.
  kInt8,
};

inline constexpr Precision kAllPrecisions[] = {
    Precision::kFp32, Precision::kBf16, Precision::kInt8};

// "fp32", "bf16", "int8".
std::string_view PrecisionName(Precision precision);

// INVALID_ARGUMENT (PRECISION_UNSUPPORTED) for another name.
absl::StatusOr<Precision> PrecisionFromName(std::string_view name);

// What this CPU computes in when asked for `requested`: bf16 where it has no
// instructions for bfloat16 products becomes fp32, which is faster there than
// emulating them.
Precision EffectivePrecision(Precision requested);

// How a CPU adds the products of unsigned inputs a <= 255 and signed weights b.
enum class Int8Sums {
  // AVX512-VNNI and AMX: four products at once, in 32 bits.
  kWide,
  // Before them (vpmaddubsw): the products of the inputs 2i and 2i + 1, in 16
  // bits, which saturate. AVX2-VNNI counts as this: oneDNN has kernels for it
  // that still use vpmaddubsw.
  kPairs,
};
Int8Sums CpuInt8Sums();

// The most inputs of an int8 layer. A sum of n products, each at most
// 255 * 127 = 32385, stays inside 32 bits for n <= (2^31 - 1) / 32385 = 66311.
inline constexpr int kMaxInt8Inputs = 0x7fffffff / (255 * 127);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_PRECISION_H_
