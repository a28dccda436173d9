#include "core/compute/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

// Highway's headers have an order.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/quantize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "core/compute/vector_loops-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace longhand {
namespace HWY_NAMESPACE {

using DInt = hn::RebindToSigned<D>;
using DUint = hn::RebindToUnsigned<D>;
using VInt = hn::Vec<DInt>;

struct Range {
  float low, high;
  bool finite;
};

// The range of x[size] and 0.
HWY_INLINE Range FindRange(const float* x, int64_t size) {
  const D d;
  V low = hn::Zero(d);
  V high = hn::Zero(d);
  // Infinity and NaN times 0 is NaN, which stays in a sum; what Min and Max
  // make of a NaN depends on the target.
  V marker = hn::Zero(d);
  const auto look = [&](V v) HWY_ATTR {
    low = hn::Min(low, v);
    high = hn::Max(high, v);
    marker = hn::MulAdd(v, hn::Zero(d), marker);
  };
  ForEachVector(
      size, [&](int64_t i) HWY_ATTR { look(hn::LoadU(d, x + i)); },
      [&](int64_t i, size_t count)
          HWY_ATTR { look(LoadPartial(x + i, count)); });
  return {hn::GetLane(hn::MinOfLanes(d, low)),
          hn::GetLane(hn::MaxOfLanes(d, high)),
          hn::GetLane(hn::SumOfLanes(d, marker)) == 0.0f};
}

void QuantizeRow(const float* x, int64_t size, float inverse_scale,
                 int32_t zero_point, uint8_t* out) {
  const D d;
  const hn::Rebind<uint8_t, D> d8;
  const V inverse = hn::Set(d, inverse_scale);
  const VInt zero = hn::Set(DInt(), zero_point);
  // Saturates; only rounding can bring a value past either end.
  const auto quantize = [&](V v) HWY_ATTR {
    return hn::DemoteTo(d8, hn::Add(hn::NearestInt(hn::Mul(v, inverse)), zero));
  };
  ForEachVector(
      size,
      [&](int64_t i)
          HWY_ATTR { hn::StoreU(quantize(hn::LoadU(d, x + i)), d8, out + i); },
      [&](int64_t i, size_t count) HWY_ATTR {
        HWY_ALIGN uint8_t last[hn::MaxLanes(d8)];
        hn::Store(quantize(LoadPartial(x + i, count)), d8, last);
        std::memcpy(out + i, last, count);
      });
}

void QuantizeRows(const float* x, int rows, int columns,
                  const QuantizedRows& out) {
  for (int r = 0; r < rows; ++r) {
    const float* row = x + int64_t{r} * columns;
    uint8_t* values = out.values + int64_t{r} * columns;
    const Range range = FindRange(row, columns);
    if (!range.finite) {
      std::memset(values, 0, size_t(columns));
      out.scales[r] = std::numeric_limits<float>::quiet_NaN();
      out.zero_points[r] = 0;
      continue;
    }
    // Divided before they are subtracted, which cannot overflow; not below the
    // smallest normal number, whose inverse is finite.
    const float scale = std::max(range.high / 255.0f - range.low / 255.0f,
                                 std::numeric_limits<float>::min());
    const float inverse = 1.0f / scale;
    out.scales[r] = scale;
    out.zero_points[r] = static_cast<int32_t>(
        std::clamp(std::nearbyint(-range.low * inverse), 0.0f, 255.0f));
    QuantizeRow(row, columns, inverse, out.zero_points[r], values);
  }
}

// Abramowitz and Stegun, "Handbook of Mathematical Functions", formula 7.1.26:
// the error is at most 1.5e-7, before rounding.
HWY_INLINE V Erf(V x) {
  const D d;
  // erf(6) is 1 in fp32.
  const V magnitude = hn::Min(hn::Abs(x), hn::Set(d, 6.0f));
  const V t =
      hn::Div(hn::Set(d, 1.0f),
              hn::MulAdd(magnitude, hn::Set(d, 0.3275911f), hn::Set(d, 1.0f)));
  V p = hn::Set(d, 1.061405429f);
  p = hn::MulAdd(p, t, hn::Set(d, -1.453152027f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.421413741f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.284496736f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.254829592f));
  const V tail = hn::Exp(d, hn::Neg(hn::Mul(magnitude, magnitude)));
  return hn::CopySign(hn::NegMulAdd(hn::Mul(p, t), tail, hn::Set(d, 1.0f)), x);
}

// The activations keep a NaN.
struct Identity {
  HWY_INLINE V operator()(V x) const { return x; }
};

struct GeluErf {
  HWY_INLINE V operator()(V x) const {
    const D d;
    const V half = hn::Mul(x, hn::Set(d, 0.5f));
    const V erf = Erf(hn::Mul(x, hn::Set(d, 0.70710678f)));  // 1 / sqrt(2)
    return hn::MulAdd(half, erf, half);
  }
};

struct GeluTanh {
  HWY_INLINE V operator()(V x) const {
    const D d;
    const V half = hn::Mul(x, hn::Set(d, 0.5f));
    const V cubic =
        hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.044715f), hn::Set(d, 1.0f));
    const V inner =
        hn::Mul(hn::Mul(x, cubic), hn::Set(d, 0.79788456f));  // sqrt(2 / pi)
    return hn::MulAdd(half, hn::Tanh(d, inner), half);
  }
};

struct Relu {
  HWY_INLINE V operator()(V x) const {
    return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(D())), x);
  }
};

struct Silu {
  HWY_INLINE V operator()(V x) const {
    const D d;
    // Exp's range ends at 104; e^88 is still finite.
    const V power = hn::Exp(d, hn::Min(hn::Neg(x), hn::Set(d, 88.0f)));
    return hn::Div(x, hn::Add(power, hn::Set(d, 1.0f)));
  }
};

// Up to `count` integers, 0 beyond.
HWY_INLINE VInt LoadPartial(const int32_t* x, size_t count) {
  return hn::MaskedLoad(hn::FirstN(DInt(), count), DInt(), x);
}

template <typename Activate>
HWY_INLINE void DequantizeWith(const DequantizeArgs& args, float* dst,
                               Activate activate) {
  const D d;
  const DInt di;
  for (int r = 0; r < args.rows; ++r) {
    const int32_t* sums = args.sums + int64_t{r} * args.columns;
    float* out = dst + int64_t{r} * args.columns;
    const V row_scale = hn::Set(d, args.row_scales[r]);
    const VInt zero_point = hn::Set(di, args.zero_points[r]);
    const auto value = [&](VInt sum, VInt weight_sum, V scale,
                           V bias) HWY_ATTR {
      const VInt centred = hn::Sub(sum, hn::Mul(zero_point, weight_sum));
      return activate(hn::MulAdd(hn::ConvertTo(d, centred),
                                 hn::Mul(row_scale, scale), bias));
    };
    ForEachVector(
        args.columns,
        [&](int64_t i) HWY_ATTR {
          V v = value(hn::LoadU(di, sums + i),
                      hn::LoadU(di, args.weight_sums + i),
                      hn::LoadU(d, args.channel_scales + i),
                      hn::LoadU(d, args.bias + i));
          if (args.accumulate) v = hn::Add(v, hn::LoadU(d, out + i));
          hn::StoreU(v, d, out + i);
        },
        [&](int64_t i, size_t count) HWY_ATTR {
          V v = value(LoadPartial(sums + i, count),
                      LoadPartial(args.weight_sums + i, count),
                      LoadPartial(args.channel_scales + i, count),
                      LoadPartial(args.bias + i, count));
          if (args.accumulate) v = hn::Add(v, LoadPartial(out + i, count));
          StorePartial(v, out + i, count);
        });
  }
}

void DequantizeRows(const DequantizeArgs& args, float* dst) {
  switch (args.activation) {
    case Activation::kNone:
      return DequantizeWith(args, dst, Identity());
    case Activation::kGeluErf:
      return DequantizeWith(args, dst, GeluErf());
    case Activation::kGeluTanh:
      return DequantizeWith(args, dst, GeluTanh());
    case Activation::kRelu:
      return DequantizeWith(args, dst, Relu());
    case Activation::kSilu:
      return DequantizeWith(args, dst, Silu());
  }
}

// The upper halves of the rounded bits.
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> Bf16Bits(V x) {
  const DUint du;
  const auto bits = hn::BitCast(du, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded =
      hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd));
  // Rounding could carry a NaN's bits into an infinity.
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40));
  const auto nan = hn::RebindMask(du, hn::IsNaN(x));
  return hn::DemoteTo(hn::Rebind<uint16_t, D>(),
                      hn::BitCast(DInt(), hn::IfThenElse(nan, quiet, rounded)));
}

void RoundToBf16(const float* x, int64_t size, uint16_t* y) {
  const D d;
  const hn::Rebind<uint16_t, D> d16;
  ForEachVector(
      size,
      [&](int64_t i)
          HWY_ATTR { hn::StoreU(Bf16Bits(hn::LoadU(d, x + i)), d16, y + i); },
      [&](int64_t i, size_t count) HWY_ATTR {
        HWY_ALIGN uint16_t last[hn::MaxLanes(d16)];
        hn::Store(Bf16Bits(LoadPartial(x + i, count)), d16, last);
        std::memcpy(y + i, last, count * sizeof(uint16_t));
      });
}

}  // namespace HWY_NAMESPACE
}  // namespace longhand
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longhand {

HWY_EXPORT(QuantizeRows);
HWY_EXPORT(DequantizeRows);
HWY_EXPORT(RoundToBf16);

void QuantizeRows(const float* x, int rows, int columns,
                  const QuantizedRows& out) {
  HWY_DYNAMIC_DISPATCH(QuantizeRows)(x, rows, columns, out);
}

void DequantizeRows(const DequantizeArgs& args, float* dst) {
  HWY_DYNAMIC_DISPATCH(DequantizeRows)(args, dst);
}

void RoundToBf16(const float* x, int64_t size, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(RoundToBf16)(x, size, y);
}

namespace {

// What 127 steps of an output's scale stand for; NaN if a weight is not finite.
float WeightRange(const float* row, int inputs, Int8Sums sums) {
  const int together = sums == Int8Sums::kPairs ? 2 : 1;
  float range = 0;
  float marker = 0;
  for (int i = 0; i < inputs; i += together) {
    float positive = 0;
    float negative = 0;
    for (int j = i; j < std::min(i + together, inputs); ++j) {
      positive += std::max(row[j], 0.0f);
      negative -= std::min(row[j], 0.0f);
      marker += row[j] * 0.0f;
    }
    range = std::max({range, positive, negative});
  }
  return range + marker;
}

}  // namespace

QuantizedWeights QuantizeWeights(absl::Span<const float> weights, int inputs,
                                 int outputs, Int8Sums sums) {
  QuantizedWeights result{
      AlignedBuffer<int8_t>::Zeroed(weights.size()),
      FloatBuffer::Uninitialized(size_t(outputs)),
      AlignedBuffer<int32_t>::Zeroed(size_t(outputs)),
  };
  for (int o = 0; o < outputs; ++o) {
    const float* row = weights.data() + int64_t{o} * inputs;
    int8_t* values = result.values.data() + int64_t{o} * inputs;
    // Of two weights that share 127 steps, each is rounded up by half a step at
    // most: 128 together.
    float scale = WeightRange(row, inputs, sums) / 127;
    if (!std::isfinite(scale)) {
      result.scales[o] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    scale = std::max(scale, std::numeric_limits<float>::min());
    result.scales[o] = scale;
    for (int i = 0; i < inputs; ++i) {
      values[i] = static_cast<int8_t>(std::lrint(row[i] / scale));
      result.sums[o] += values[i];
    }
  }
  return result;
}

}  // namespace longhand
#endif  // HWY_ONCE
