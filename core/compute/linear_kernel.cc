#include "core/compute/linear_kernel.h"

#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/check.h"

namespace longhand {
namespace {

using dnnl::memory;
using Type = memory::data_type;

// The implementation is chosen for this many rows: a full default chunk.
constexpr int kPackRows = 128;

// The element types of a product's operands and result.
struct DataTypes {
  Type src, weights, dst;
};

DataTypes TypesOf(Precision precision) {
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
  dnnl::primitive_attr attributes;
  if (options.precision != Precision::kInt8) attributes.set_post_ops(ops);
  // A primitive may then run on several threads at a time.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

uint64_t NextId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

LinearKernel::LinearKernel(int inputs, int outputs,
                           const LinearOptions& options)
    : id_(NextId()),
      inputs_(inputs),
      outputs_(outputs),
      precision_(options.precision),
      attributes_(MakeAttributes(options)) {
  ChooseForm();
}

void LinearKernel::ChooseForm() {
  const auto name_of = [this](Form form) {
    return std::string(
        Describe(form, kPackRows, WeightsDesc(form, memory::format_tag::any))
            .impl_info_str());
  };
  // Without AVX-512 oneDNN 2.x has no matmul kernel of its own: a general
  // product packs the weights anew each time and does the rest in a second
  // walk over the result. Its kernels for convolutions of size 1 do neither.
  if (precision_ != Precision::kFp32 ||
      !Contains(name_of(Form::kMatMul), "gemm")) {
    return;
  }
  try {
    if (Contains(name_of(Form::kPointwiseConvolution), "jit_1x1")) {
      form_ = Form::kPointwiseConvolution;
    }
  } catch (const dnnl::error&) {
    // No such kernel for this shape.
  }
}

memory::desc LinearKernel::RowsDesc(Form form, int rows, int columns,
                                    Type type) const {
  if (form == Form::kMatMul) {
    return memory::desc({rows, columns}, type, memory::format_tag::ab);
  }
  return memory::desc({1, columns, 1, rows}, type, memory::format_tag::nhwc);
}

memory::desc LinearKernel::BiasDesc(Form form) const {
  if (precision_ == Precision::kInt8) return {};
  if (form == Form::kMatMul) {
    return memory::desc({1, outputs_}, Type::f32, memory::format_tag::ab);
  }
  return memory::desc({outputs_}, Type::f32, memory::format_tag::a);
}

memory::desc LinearKernel::WeightsDesc(Form form,
                                       memory::format_tag tag) const {
  const Type type = TypesOf(precision_).weights;
  if (form == Form::kMatMul)
    return memory::desc({inputs_, outputs_}, type, tag);
  return memory::desc({outputs_, inputs_, 1, 1}, type, tag);
}

dnnl::primitive_desc_base LinearKernel::Describe(
    Form form, int rows, const memory::desc& weights) const {
  const DataTypes types = TypesOf(precision_);
  const memory::desc src = RowsDesc(form, rows, inputs_, types.src);
  const memory::desc dst = RowsDesc(form, rows, outputs_, types.dst);
  if (form == Form::kMatMul) {
    return onednn::MatMulDesc(src, weights, BiasDesc(form), dst, attributes_);
  }
  return onednn::PointwiseConvolutionDesc(src, weights, BiasDesc(form), dst,
                                          attributes_);
}

void LinearKernel::Pack(const void* weights, const float* bias) {
  const dnnl::engine& engine = onednn::CpuEngine();
  const memory::desc packed =
      Describe(form_, kPackRows, WeightsDesc(form_, memory::format_tag::any))
          .query_md(dnnl::query::weights_md);
  // [outputs, inputs] in memory is the transpose of a matmul's operand.
  memory source(
      WeightsDesc(form_, form_ == Form::kMatMul ? memory::format_tag::ba
                                                : memory::format_tag::oihw),
      engine, const_cast<void*>(weights));
  weights_ = memory(packed, engine);
  dnnl::stream stream(engine);
  dnnl::reorder(source, weights_).execute(stream, source, weights_);
  stream.wait();
  if (bias == nullptr) return;
  bias_ = FloatBuffer::CopyOf({bias, size_t(outputs_)});
  bias_memory_ = memory(BiasDesc(form_), engine, bias_.data());
}

const LinearKernel::Shape& LinearKernel::FindShape(int rows) const {
  {
    absl::ReaderMutexLock lock(&mu_);
    auto it = shapes_.find(rows);
    if (it != shapes_.end()) return *it->second;
  }
  const dnnl::primitive_desc_base desc =
      Describe(form_, rows, weights_.get_desc());
  auto shape = std::make_unique<Shape>(Shape{
      desc.query_md(dnnl::query::src_md), desc.query_md(dnnl::query::dst_md),
      desc.query_md(dnnl::query::scratchpad_md), dnnl::primitive(desc.get())});
  absl::MutexLock lock(&mu_);
  return *shapes_.try_emplace(rows, std::move(shape)).first->second;
}

void LinearKernel::Multiply(const void* src, int rows, ComputeContext& context,
                            void* dst) const {
  ComputeContext::Backend& backend = context.backend();
  auto [it, is_new] = backend.calls.try_emplace({id_, rows});
  ComputeContext::Backend::Call& call = it->second;
  if (is_new) {
    const Shape& shape = FindShape(rows);
    const dnnl::engine& engine = onednn::CpuEngine();
    call = {.primitive = shape.primitive,
            .src = memory(shape.src, engine, nullptr),
            .dst = memory(shape.dst, engine, nullptr),
            .scratchpad = memory(shape.scratchpad, engine, nullptr),
            .scratchpad_bytes = shape.scratchpad.get_size()};
  }
  call.src.set_data_handle(const_cast<void*>(src));
  call.dst.set_data_handle(dst);
  call.scratchpad.set_data_handle(
      context.workspace().Allocate<std::byte>(call.scratchpad_bytes));
  // The C interface takes an array where the other takes a map.
  const std::array<dnnl_exec_arg_t, 5> arguments = {
      {{DNNL_ARG_SRC, call.src.get()},
       {DNNL_ARG_WEIGHTS, weights_.get()},
       {DNNL_ARG_DST, call.dst.get()},
       {DNNL_ARG_SCRATCHPAD, call.scratchpad.get()},
       {DNNL_ARG_BIAS, bias_memory_.get(true)}}};
  const int count = static_cast<int>(arguments.size()) - (bias_memory_ ? 0 : 1);
  const dnnl_status_t status = dnnl_primitive_execute(
      call.primitive.get(), backend.stream.get(), count, arguments.data());
  LH_CHECK(status == dnnl_success);
}

}  // namespace longhand
