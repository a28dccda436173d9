// The slow twins of quantize.h and of the int8 linear layer.

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "core/compute/reference.h"

namespace longhand::reference {

double Activate(double x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    case Activation::kGeluTanh: {
      const double inner =
          std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1.0 + std::tanh(inner));
    }
    case Activation::kRelu:
      return x < 0 ? 0.0 : x;
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
  }
  return x;
}

void QuantizeRows(const float* x, int rows, int columns,
                  const QuantizedRows& out) {
  for (int r = 0; r < rows; ++r) {
    const float* row = x + int64_t{r} * columns;
    uint8_t* values = out.values + int64_t{r} * columns;
    float low = 0;
    float high = 0;
    bool finite = true;
    for (int c = 0; c < columns; ++c) {
      low = std::min(low, row[c]);
      high = std::max(high, row[c]);
      finite = finite && std::isfinite(row[c]);
    }
    const float scale = std::max(high / 255.0f - low / 255.0f,
                                 std::numeric_limits<float>::min());
    const float inverse = 1.0f / scale;
    const int zero_point =
        finite ? static_cast<int>(std::lrint(-low * inverse)) : 0;
    out.scales[r] = finite ? scale : std::numeric_limits<float>::quiet_NaN();
    out.zero_points[r] = zero_point;
    for (int c = 0; c < columns; ++c) {
      const long value = finite ? std::lrint(row[c] * inverse) + zero_point : 0;
      values[c] = static_cast<uint8_t>(std::clamp<long>(value, 0, 255));
    }
  }
}

void DequantizeRows(const DequantizeArgs& args, float* dst) {
  for (int r = 0; r < args.rows; ++r) {
    for (int c = 0; c < args.columns; ++c) {
      const int64_t i = int64_t{r} * args.columns + c;
      const int64_t centred =
          args.sums[i] - int64_t{args.zero_points[r]} * args.weight_sums[c];
      const double value = static_cast<double>(centred) * args.row_scales[r] *
                               args.channel_scales[c] +
                           args.bias[c];
      const double activated = Activate(value, args.activation);
      dst[i] =
          static_cast<float>(args.accumulate ? dst[i] + activated : activated);
    }
  }
}

void RoundToBf16(const float* x, int64_t size, uint16_t* y) {
  for (int64_t i = 0; i < size; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]);
    const uint32_t lower = bits & 0xffff;
    uint32_t upper = bits >> 16;
    if (std::isnan(x[i])) {
      upper |= 0x40;
    } else if (lower > 0x8000 || (lower == 0x8000 && upper % 2 == 1)) {
      ++upper;
    }
    y[i] = static_cast<uint16_t>(upper);
  }
}

void LinearInt8(const LinearArgs& linear, const float* src, int rows,
                float* dst) {
  const QuantizedWeights weights = QuantizeWeights(
      {linear.weights, size_t(linear.inputs) * size_t(linear.outputs)},
      linear.inputs, linear.outputs, CpuInt8Sums());
  std::vector<uint8_t> values(size_t(rows) * size_t(linear.inputs));
  std::vector<float> scales(static_cast<size_t>(rows));
  std::vector<int32_t> zero_points(static_cast<size_t>(rows));
  QuantizeRows(src, rows, linear.inputs,
               {values.data(), scales.data(), zero_points.data()});
  std::vector<int32_t> sums(size_t(rows) * size_t(linear.outputs));
  for (int r = 0; r < rows; ++r) {
    for (int o = 0; o < linear.outputs; ++o) {
      int64_t sum = 0;
      for (int i = 0; i < linear.inputs; ++i) {
        sum += int64_t{values[size_t(r) * linear.inputs + i]} *
               weights.values[size_t(o) * linear.inputs + i];
      }
      sums[size_t(r) * linear.outputs + o] = static_cast<int32_t>(sum);
    }
  }
  DequantizeRows({.sums = sums.data(),
                  .row_scales = scales.data(),
                  .zero_points = zero_points.data(),
                  .channel_scales = weights.scales.data(),
                  .weight_sums = weights.sums.data(),
                  .bias = linear.bias,
                  .rows = rows,
                  .columns = linear.outputs,
                  .activation = linear.options.activation,
                  .accumulate = linear.options.accumulate},
                 dst);
}

}  // namespace longhand::reference
