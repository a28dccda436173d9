// LinearKernel: what oneDNN does for a linear layer: weights in the layout that
// its fastest implementation here asks for, and a primitive for each number of
// rows. Private to core/compute. Immutable once packed; shareable between
// threads with distinct ComputeContexts.
#ifndef LONGHAND_CORE_COMPUTE_LINEAR_KERNEL_H_
#define LONGHAND_CORE_COMPUTE_LINEAR_KERNEL_H_

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/compute/matmul.h"
#include "core/compute/onednn.h"
#include "core/tensor/tensor.h"

namespace longhand {

class LinearKernel {
 public:
  // options.precision: the effective one. In int8 the product is that of
  // unsigned rows and signed weights in 32 bits, with no bias and nothing done
  // to it. Throws dnnl::error.
  LinearKernel(int inputs, int outputs, const LinearOptions& options);

  // `weights` [outputs, inputs] of the precision's type, `bias` [outputs] or,
  // in int8, null; copied. Throws dnnl::error.
  void Pack(const void* weights, const float* bias);

  // src [rows, inputs], dst [rows, outputs], of the precision's types.
  // REQUIRES: packed; rows is a multiple of kRowBlock.
  void Multiply(const void* src, int rows, ComputeContext& context,
                void* dst) const;

  uint64_t byte_size() const {
    return weights_.get_desc().get_size() + bias_.byte_size();
  }

 private:
  // How the product is told to oneDNN.
  enum class Form { kMatMul, kPointwiseConvolution };

  struct Shape {
    dnnl::memory::desc src, dst, scratchpad;
    dnnl::primitive primitive;
  };
  dnnl::primitive_desc_base Describe(Form form, int rows,
                                     const dnnl::memory::desc& weights) const;
  dnnl::memory::desc RowsDesc(Form form, int rows, int columns,
                              dnnl::memory::data_type type) const;
  dnnl::memory::desc BiasDesc(Form form) const;
  dnnl::memory::desc WeightsDesc(Form form, dnnl::memory::format_tag tag) const;
  void ChooseForm();
  const Shape& FindShape(int rows) const;

  const uint64_t id_;  // of this object among all there ever were
  const int inputs_;
  const int outputs_;
  const Precision precision_;
  const dnnl::primitive_attr attributes_;
  Form form_ = Form::kMatMul;
  dnnl::memory weights_;
  FloatBuffer bias_;  // [outputs], or empty
  dnnl::memory bias_memory_;
  mutable absl::Mutex mu_;
  // By rows. Entries are never removed: there are at most as many as chunk
  // lengths / kRowBlock.
  mutable absl::flat_hash_map<int, std::unique_ptr<Shape>> shapes_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_LINEAR_KERNEL_H_
