// DType: the element types of a safetensors file that have whole bytes, with
// their sizes and names, and the conversions from 16-bit floats. Pure
// functions; safe from any thread.
#ifndef LONGHAND_CORE_TENSOR_DTYPE_H_
#define LONGHAND_CORE_TENSOR_DTYPE_H_

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace longhand {

// X(enumerator, name in the file, bytes per element)
#define LH_DTYPE_LIST(X)   \
  X(kBool, "BOOL", 1)      \
  X(kU8, "U8", 1)          \
  X(kI8, "I8", 1)          \
  X(kF8E5M2, "F8_E5M2", 1) \
  X(kF8E4M3, "F8_E4M3", 1) \
  X(kF8E8M0, "F8_E8M0", 1) \
  X(kI16, "I16", 2)        \
  X(kU16, "U16", 2)        \
  X(kF16, "F16", 2)        \
  X(kBF16, "BF16", 2)      \
  X(kI32, "I32", 4)        \
  X(kU32, "U32", 4)        \
  X(kF32, "F32", 4)        \
  X(kC64, "C64", 8)        \
  X(kF64, "F64", 8)        \
  X(kI64, "I64", 8)        \
  X(kU64, "U64", 8)

enum class DType : uint8_t {
#define LH_DTYPE_ENUMERATOR(id, name, bytes) id,
  LH_DTYPE_LIST(LH_DTYPE_ENUMERATOR)
#undef LH_DTYPE_ENUMERATOR
};

// Bytes per element.
constexpr int64_t DTypeSize(DType dtype) {
  switch (dtype) {
#define LH_DTYPE_SIZE(id, name, bytes) \
  case DType::id:                      \
    return bytes;
    LH_DTYPE_LIST(LH_DTYPE_SIZE)
#undef LH_DTYPE_SIZE
  }
  return 0;
}

// "F32", as safetensors spells it.
std::string_view DTypeName(DType dtype);

// The inverse of DTypeName, or nullopt.
std::optional<DType> DTypeFromName(std::string_view name);

// Whether LoadF32 can turn the type into float: F32, F16, BF16 or F64.
constexpr bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 ||
         dtype == DType::kBF16 || dtype == DType::kF64;
}

// Exact: every bfloat16 is a float.
constexpr float Bf16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Exact: every IEEE 754 half is a float; keeps subnormals, infinities and the
// payload of a NaN.
constexpr float F16ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  uint32_t exponent = (bits >> 10) & 0x1fu;
  uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) {
    return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  }
  if (exponent == 0) {
    if (mantissa == 0) return std::bit_cast<float>(sign);
    // A subnormal half is a normal float: shift the leading one into place.
    const uint32_t shift =
        static_cast<uint32_t>(std::countl_zero(mantissa)) - 21;
    mantissa = mantissa << shift & 0x3ffu;
    return std::bit_cast<float>(sign | (113 - shift) << 23 | mantissa << 13);
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

}  // namespace longhand

#endif  // LONGHAND_CORE_TENSOR_DTYPE_H_
