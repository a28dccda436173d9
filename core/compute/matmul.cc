#include "core/compute/matmul.h"

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/compute/onednn.h"
#include "core/tensor/tensor.h"

namespace longhand {
namespace {

using dnnl::memory;

// The kernel's layout is chosen for this many rows: a full default chunk.
constexpr int kPackRows = 128;

struct ActivationName {
  std::string_view name;
  Activation activation;
};
constexpr ActivationName kActivationNames[] = {
    {"gelu", Activation::kGeluErf},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
};

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
  attr.set_post_ops(ops);
  // A primitive may then run on several threads at a time.
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

}  // namespace

absl::StatusOr<Activation> ActivationFromName(std::string_view name) {
  for (const ActivationName& entry : kActivationNames) {
    if (entry.name == name) return entry.activation;
  }
  return MakeError(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                   absl::StrCat("the activation \"", ToAbsl(name),
                                "\" is not supported; use a model with gelu, "
                                "gelu_new, relu or silu"));
}

struct PackedLinear::Impl {
  struct Kernel {
    dnnl::matmul primitive;
    memory::desc src, dst, scratchpad;
  };

  int inputs = 0;
  int outputs = 0;
  dnnl::primitive_attr attr;
  memory weights;
  memory bias;
  mutable absl::Mutex mu;
  // By padded rows. Entries are never removed: there are at most as many as
  // chunk lengths / kRowBlock.
  mutable absl::flat_hash_map<int, std::unique_ptr<Kernel>> kernels
      ABSL_GUARDED_BY(mu);

  memory::desc Matrix(int rows, int columns) const {
    return memory::desc({rows, columns}, memory::data_type::f32,
                        memory::format_tag::ab);
  }

  dnnl::matmul::primitive_desc Describe(
      int rows, const memory::desc& weights_desc) const {
    return onednn::MatMulDesc(Matrix(rows, inputs), weights_desc,
                              Matrix(1, outputs), Matrix(rows, outputs), attr);
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
  try {
    auto impl = std::make_unique<Impl>();
    impl->inputs = inputs;
    impl->outputs = outputs;
    impl->attr = MakeAttributes(options);
    const dnnl::engine& engine = onednn::CpuEngine();
    memory::desc any({inputs, outputs}, memory::data_type::f32,
                     memory::format_tag::any);
    memory::desc packed = impl->Describe(kPackRows, any).weights_desc();
    // [outputs, inputs] in memory is the transpose of the operand.
    memory source(
        {{inputs, outputs}, memory::data_type::f32, memory::format_tag::ba},
        engine, const_cast<float*>(weights.data()));
    impl->weights = memory(packed, engine);
    dnnl::stream stream(engine);
    dnnl::reorder(source, impl->weights).execute(stream, source, impl->weights);
    stream.wait();
    impl->bias = memory(impl->Matrix(1, outputs), engine);
    std::copy(bias.begin(), bias.end(),
              static_cast<float*>(impl->bias.get_data_handle()));
    return PackedLinear(std::move(impl));
  } catch (const dnnl::error& error) {
    return MakeError(absl::StatusCode::kInternal, "MATH_LIBRARY",
                     absl::StrCat("oneDNN could not prepare a ", outputs, " x ",
                                  inputs, " weight matrix: ", error.what()));
  }
}

void PackedLinear::Apply(const float* src, int rows, ComputeContext& context,
                         float* dst) const {
  const Impl::Kernel& kernel = impl_->FindKernel(PaddedRows(rows));
  const dnnl::engine& engine = onednn::CpuEngine();
  memory scratchpad(
      kernel.scratchpad, engine,
      context.workspace().Allocate<std::byte>(kernel.scratchpad.get_size()));
  kernel.primitive.execute(
      context.backend().stream,
      {{DNNL_ARG_SRC, memory(kernel.src, engine, const_cast<float*>(src))},
       {DNNL_ARG_WEIGHTS, impl_->weights},
       {DNNL_ARG_BIAS, impl_->bias},
       {DNNL_ARG_DST, memory(kernel.dst, engine, dst)},
       {DNNL_ARG_SCRATCHPAD, scratchpad}});
}

int PackedLinear::inputs() const { return impl_->inputs; }
int PackedLinear::outputs() const { return impl_->outputs; }
uint64_t PackedLinear::byte_size() const {
  return impl_->weights.get_desc().get_size() +
         impl_->bias.get_desc().get_size();
}

void Gemm(int m, int n, int k, float alpha, const MatrixView& a,
          const MatrixView& b, float* dst, int64_t dst_stride) {
  dnnl_status_t status = dnnl_sgemm(
      a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha,
      a.data, a.stride, b.data, b.stride, 0.0f, dst, dst_stride);
  LH_CHECK(status == dnnl_success);
}

}  // namespace longhand
