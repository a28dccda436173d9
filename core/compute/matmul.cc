#include "core/compute/matmul.h"

#include <array>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/compute/onednn.h"
#include "core/compute/quantize.h"
#include "core/tensor/tensor.h"

namespace longhand {
namespace {

using dnnl::memory;

// The kernel's layout is chosen for this many rows: a full default chunk.
constexpr int kPackRows = 128;

// The element types of a product's operands and result.
struct DataTypes {
  memory::data_type src, weights, dst;
};

DataTypes TypesOf(Precision precision) {
  using Type = memory::data_type;
  switch (precision) {
    case Precision::kFp32:
      return {Type::f32, Type::f32, Type::f32};
    case Precision::kBf16:
      return {Type::bf16, Type::bf16, Type::f32};
    case Precision::kInt8:
      return {Type::u8, Type::s8, Type::s32};
  }
  LH_CHECK(false);
}

// What the kernel itself does to the product; DequantizeRows does it in int8.
dnnl::primitive_attr MakeAttributes(const LinearOptions& options) {
  dnnl::post_ops ops;
  switch (options.activation) {
    case Activation::kNone:
      break;
    case Activation::kGeluErf:
      onednn::AppendEltwise(ops, dnnl::algorithm::eltwise_gelu_erf, 0, 0);
      break;
    case Activation::kGeluTanh:
      onednn::AppendEltwise(ops, dnnl::algorithm::eltwise_gelu_tanh, 0, 0);
      break;
    case Activation::kRelu:
      onednn::AppendEltwise(ops, dnnl::algorithm::eltwise_relu, 0, 0);
      break;
    case Activation::kSilu:
      onednn::AppendEltwise(ops, dnnl::algorithm::eltwise_swish, 1, 0);
      break;
  }
  if (options.accumulate) ops.append_sum(1.0f);
  dnnl::primitive_attr attr;
  if (options.precision != Precision::kInt8) attr.set_post_ops(ops);
  // A primitive may then run on several threads at a time.
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

}  // namespace

struct PackedLinear::Impl {
  struct Kernel {
    dnnl::matmul primitive;
    memory::desc src, dst, scratchpad;
  };

  Impl(int in, int out, const LinearOptions& linear_options)
      : inputs(in),
        outputs(out),
        options(linear_options),
        types(TypesOf(options.precision)),
        attr(MakeAttributes(options)) {}

  const int inputs;
  const int outputs;
  const LinearOptions options;  // with the effective precision
  const DataTypes types;
  const dnnl::primitive_attr attr;
  memory weights;
  FloatBuffer bias;                    // [outputs]
  FloatBuffer channel_scales;          // [outputs], in int8
  AlignedBuffer<int32_t> weight_sums;  // [outputs], in int8
  mutable absl::Mutex mu;
  // By padded rows. Entries are never removed: there are at most as many as
  // chunk lengths / kRowBlock.
  mutable absl::flat_hash_map<int, std::unique_ptr<Kernel>> kernels
      ABSL_GUARDED_BY(mu);

  // The kernel adds the bias, but not to integers.
  bool kernel_adds_bias() const {
    return options.precision != Precision::kInt8;
  }

  memory::desc BiasDesc() const {
    if (!kernel_adds_bias()) return {};
    return Matrix(1, outputs, memory::data_type::f32);
  }

  static memory::desc Matrix(int rows, int columns, memory::data_type type) {
    return memory::desc({rows, columns}, type, memory::format_tag::ab);
  }

  dnnl::matmul::primitive_desc Describe(
      int rows, const memory::desc& weights_desc) const {
    return onednn::MatMulDesc(Matrix(rows, inputs, types.src), weights_desc,
                              BiasDesc(), Matrix(rows, outputs, types.dst),
                              attr);
  }

  // `values` [outputs, inputs] of types.weights, into the kernel's layout.
  void PackWeights(const void* values) {
    const dnnl::engine& engine = onednn::CpuEngine();
    memory::desc any({inputs, outputs}, types.weights, memory::format_tag::any);
    memory::desc packed = Describe(kPackRows, any).weights_desc();
    // [outputs, inputs] in memory is the transpose of the operand.
    memory source({{inputs, outputs}, types.weights, memory::format_tag::ba},
                  engine, const_cast<void*>(values));
    weights = memory(packed, engine);
    dnnl::stream stream(engine);
    dnnl::reorder(source, weights).execute(stream, source, weights);
    stream.wait();
  }

  absl::Status Pack(absl::Span<const float> values) {
    switch (options.precision) {
      case Precision::kFp32:
        PackWeights(values.data());
        return absl::OkStatus();
      case Precision::kBf16: {
        auto rounded = AlignedBuffer<uint16_t>::Uninitialized(values.size());
        RoundToBf16(values.data(), int64_t(values.size()), rounded.data());
        PackWeights(rounded.data());
        return absl::OkStatus();
      }
      case Precision::kInt8: {
        QuantizedWeights quantized =
            QuantizeWeights(values, inputs, outputs, CpuInt8Sums());
        PackWeights(quantized.values.data());
        if (!SumsAreExact(quantized.values.data())) {
          return MakeError(absl::StatusCode::kInternal, "MATH_LIBRARY",
                           "oneDNN's int8 products saturate on this CPU; use "
                           "fp32, and report it");
        }
        channel_scales = std::move(quantized.scales);
        weight_sums = std::move(quantized.sums);
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
    auto src = AlignedBuffer<uint8_t>::Zeroed(size_t{kPackRows} * inputs);
    std::array<int32_t, kPackRows> expected = {};
    const auto output = [&](int r) { return int64_t{r} * outputs / kPackRows; };
    for (int r = 0; r < kPackRows; ++r) {
      const int8_t* row = values + output(r) * inputs;
      for (int i = 0; i < inputs; ++i) {
        if (r % 2 == 0 ? row[i] <= 0 : row[i] >= 0) continue;
        src[size_t(r) * inputs + i] = 255;
        expected[r] += 255 * row[i];
      }
    }
    auto sums = AlignedBuffer<int32_t>::Zeroed(size_t{kPackRows} * outputs);
    ComputeContext context;
    Multiply(src.data(), kPackRows, context, sums.data());
    for (int r = 0; r < kPackRows; ++r) {
      if (sums[size_t(r) * outputs + output(r)] != expected[r]) return false;
    }
    return true;
  }

  const Kernel& FindKernel(int rows) const {
    {
      absl::ReaderMutexLock lock(&mu);
      auto it = kernels.find(rows);
      if (it != kernels.end()) return *it->second;
    }
    dnnl::matmul::primitive_desc desc = Describe(rows, weights.get_desc());
    auto kernel = std::make_unique<Kernel>(
        Kernel{dnnl::matmul(desc), desc.src_desc(), desc.dst_desc(),
               desc.scratchpad_desc()});
    absl::MutexLock lock(&mu);
    return *kernels.try_emplace(rows, std::move(kernel)).first->second;
  }

  // src [padded, inputs] of types.src, dst [padded, outputs] of types.dst.
  void Multiply(const void* src, int padded, ComputeContext& context,
                void* dst) const {
    const Kernel& kernel = FindKernel(padded);
    const dnnl::engine& engine = onednn::CpuEngine();
    memory scratchpad(
        kernel.scratchpad, engine,
        context.workspace().Allocate<std::byte>(kernel.scratchpad.get_size()));
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, memory(kernel.src, engine, const_cast<void*>(src))},
        {DNNL_ARG_WEIGHTS, weights},
        {DNNL_ARG_DST, memory(kernel.dst, engine, dst)},
        {DNNL_ARG_SCRATCHPAD, scratchpad}};
    if (kernel_adds_bias()) {
      arguments.emplace(DNNL_ARG_BIAS, memory(BiasDesc(), engine,
                                              const_cast<float*>(bias.data())));
    }
    kernel.primitive.execute(context.backend().stream, arguments);
  }

  void ApplyBf16(const float* src, int rows, ComputeContext& context,
                 float* dst) const {
    const int padded = PaddedRows(rows);
    uint16_t* rounded =
        context.workspace().Allocate<uint16_t>(size_t(padded) * size_t(inputs));
    RoundToBf16(src, int64_t{rows} * inputs, rounded);
    Multiply(rounded, padded, context, dst);
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
    Multiply(quantized.values, padded, context, sums);
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
    LH_RETURN_IF_ERROR(impl->Pack(weights));
    impl->bias = FloatBuffer::CopyOf(bias);
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
      return impl_->Multiply(src, PaddedRows(rows), context, dst);
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
  return impl_->weights.get_desc().get_size() + impl_->bias.byte_size() +
         impl_->channel_scales.byte_size() + impl_->weight_sums.byte_size();
}

void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride) {
  dnnl_status_t status = dnnl_sgemm(
      a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha,
      a.data, a.stride, b.data, b.stride, 0.0f, dst, dst_stride);
  LH_CHECK(status == dnnl_success);
}

}  // namespace longhand
