#include "core/compute/matmul.h"

#include <array>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/compute/linear_kernel.h"
#include "core/compute/quantize.h"
#include "core/tensor/tensor.h"

namespace longhand {
namespace {

// Rows of the product that checks a layer's int8 sums.
constexpr int kCheckRows = 128;

}  // namespace

struct PackedLinear::Impl {
  Impl(int in, int out, const LinearOptions& linear_options)
      : inputs(in),
        outputs(out),
        options(linear_options),
        kernel(in, out, linear_options) {}

  const int inputs;
  const int outputs;
  const LinearOptions options;  // with the effective precision
  LinearKernel kernel;
  FloatBuffer bias;                    // [outputs], in int8
  FloatBuffer channel_scales;          // [outputs], in int8
  AlignedBuffer<int32_t> weight_sums;  // [outputs], in int8

  absl::Status Pack(absl::Span<const float> values,
                    absl::Span<const float> biases) {
    switch (options.precision) {
      case Precision::kFp32:
        kernel.Pack(values.data(), biases.data());
        return absl::OkStatus();
      case Precision::kBf16: {
        auto rounded = AlignedBuffer<uint16_t>::Uninitialized(values.size());
        RoundToBf16(values.data(), int64_t(values.size()), rounded.data());
        kernel.Pack(rounded.data(), biases.data());
        return absl::OkStatus();
      }
      case Precision::kInt8: {
        QuantizedWeights quantized =
            QuantizeWeights(values, inputs, outputs, CpuInt8Sums());
        kernel.Pack(quantized.values.data(), nullptr);
        if (!SumsAreExact(quantized.values.data())) {
          return MakeError(absl::StatusCode::kInternal, "MATH_LIBRARY",
                           "oneDNN's int8 products saturate on this CPU; use "
                           "fp32, and report it");
        }
        channel_scales = std::move(quantized.scales);
        weight_sums = std::move(quantized.sums);
        bias = FloatBuffer::CopyOf(biases);
        return absl::OkStatus();
      }
    }
    LH_CHECK(false);
  }

  // Whether the kernel's sums are exact where they come closest to saturation:
  // QuantizeWeights relies on how kernels pair the products. Row r is 255 where
  // the weights of one output are positive, or negative for an odd r, and 0
  // elsewhere; `values` are the weights [outputs, inputs].
  bool SumsAreExact(const int8_t* values) const {
    auto src = AlignedBuffer<uint8_t>::Zeroed(size_t{kCheckRows} * inputs);
    std::array<int32_t, kCheckRows> expected = {};
    const auto output = [&](int r) {
      return int64_t{r} * outputs / kCheckRows;
    };
    for (int r = 0; r < kCheckRows; ++r) {
      const int8_t* row = values + output(r) * inputs;
      for (int i = 0; i < inputs; ++i) {
        if (r % 2 == 0 ? row[i] <= 0 : row[i] >= 0) continue;
        src[size_t(r) * inputs + i] = 255;
        expected[r] += 255 * row[i];
      }
    }
    auto sums = AlignedBuffer<int32_t>::Zeroed(size_t{kCheckRows} * outputs);
    ComputeContext context;
    kernel.Multiply(src.data(), kCheckRows, context, sums.data());
    for (int r = 0; r < kCheckRows; ++r) {
      if (sums[size_t(r) * outputs + output(r)] != expected[r]) return false;
    }
    return true;
  }

  void ApplyBf16(const float* src, int rows, ComputeContext& context,
                 float* dst) const {
    const int padded = PaddedRows(rows);
    uint16_t* rounded =
        context.workspace().Allocate<uint16_t>(size_t(padded) * size_t(inputs));
    RoundToBf16(src, int64_t{rows} * inputs, rounded);
    kernel.Multiply(rounded, padded, context, dst);
  }

  void ApplyInt8(const float* src, int rows, ComputeContext& context,
                 float* dst) const {
    const int padded = PaddedRows(rows);
    Workspace& workspace = context.workspace();
    const QuantizedRows quantized = {
        workspace.Allocate<uint8_t>(size_t(padded) * size_t(inputs)),
        workspace.Allocate<float>(size_t(rows)),
        workspace.Allocate<int32_t>(size_t(rows))};
    QuantizeRows(src, rows, inputs, quantized);
    int32_t* sums =
        workspace.Allocate<int32_t>(size_t(padded) * size_t(outputs));
    kernel.Multiply(quantized.values, padded, context, sums);
    DequantizeRows({.sums = sums,
                    .row_scales = quantized.scales,
                    .zero_points = quantized.zero_points,
                    .channel_scales = channel_scales.data(),
                    .weight_sums = weight_sums.data(),
                    .bias = bias.data(),
                    .rows = rows,
                    .columns = outputs,
                    .activation = options.activation,
                    .accumulate = options.accumulate},
                   dst);
  }
};

PackedLinear::PackedLinear() = default;
PackedLinear::~PackedLinear() = default;
PackedLinear::PackedLinear(PackedLinear&&) noexcept = default;
PackedLinear& PackedLinear::operator=(PackedLinear&&) noexcept = default;
PackedLinear::PackedLinear(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

absl::StatusOr<PackedLinear> PackedLinear::Pack(absl::Span<const float> weights,
                                                absl::Span<const float> bias,
                                                int inputs, int outputs,
                                                LinearOptions options) {
  LH_CHECK(weights.size() == size_t(inputs) * size_t(outputs));
  LH_CHECK(bias.size() == size_t(outputs));
  options.precision = EffectivePrecision(options.precision);
  if (options.precision == Precision::kInt8 && inputs > kMaxInt8Inputs) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "PRECISION_UNSUPPORTED",
        absl::StrCat("a layer with ", inputs, " inputs is too wide for int8 (",
                     kMaxInt8Inputs, " are possible); use fp32 or bf16"));
  }
  try {
    auto impl = std::make_unique<Impl>(inputs, outputs, options);
    LH_RETURN_IF_ERROR(impl->Pack(weights, bias));
    return PackedLinear(std::move(impl));
  } catch (const dnnl::error& error) {
    return MakeError(absl::StatusCode::kInternal, "MATH_LIBRARY",
                     absl::StrCat("oneDNN could not prepare a ", outputs, " x ",
                                  inputs, " weight matrix: ", error.what()));
  }
}

void PackedLinear::Apply(const float* src, int rows, ComputeContext& context,
                         float* dst) const {
  switch (impl_->options.precision) {
    case Precision::kFp32:
      return impl_->kernel.Multiply(src, PaddedRows(rows), context, dst);
    case Precision::kBf16:
      return impl_->ApplyBf16(src, rows, context, dst);
    case Precision::kInt8:
      return impl_->ApplyInt8(src, rows, context, dst);
  }
}

int PackedLinear::inputs() const { return impl_->inputs; }
int PackedLinear::outputs() const { return impl_->outputs; }
Precision PackedLinear::precision() const { return impl_->options.precision; }
uint64_t PackedLinear::byte_size() const {
  return impl_->kernel.byte_size() + impl_->bias.byte_size() +
         impl_->channel_scales.byte_size() + impl_->weight_sums.byte_size();
}

}  // namespace longhand
