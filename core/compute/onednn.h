// The differences between oneDNN 2.x (Debian 12) and 3.x (Debian 13), and the
// backend of ComputeContext. Private to core/compute.
#ifndef LONGHAND_CORE_COMPUTE_ONEDNN_H_
#define LONGHAND_CORE_COMPUTE_ONEDNN_H_

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "core/compute/compute_context.h"
#include "oneapi/dnnl/dnnl.hpp"

namespace longhand {

struct ComputeContext::Backend {
  // A primitive and the memory objects that stand for its operands, whose
  // handles each use sets anew: making them would allocate.
  struct Call {
    dnnl::primitive primitive;
    dnnl::memory src, dst, scratchpad;
    size_t scratchpad_bytes = 0;
  };

  dnnl::stream stream;
  // By LinearKernel and rows. Small, and kept for good: a worker serves one
  // model.
  absl::flat_hash_map<std::pair<uint64_t, int>, Call> calls;
};

namespace onednn {

// The process's CPU engine.
const dnnl::engine& CpuEngine();

// Whether oneDNN uses `isa` here: the CPU has it and ONEDNN_MAX_CPU_ISA allows
// it. The values are sets of bits, a larger set holding all that it builds on.
// REQUIRES: an AVX-512 set, whose bits mean the same in both versions.
inline bool CpuHas(dnnl::cpu_isa isa) {
  const int wanted = static_cast<int>(isa);
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

inline void AppendEltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm,
                          float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(algorithm, alpha, beta);
#else
  ops.append_eltwise(/*scale=*/1.0f, algorithm, alpha, beta);
#endif
}

// `bias` may be a zero descriptor: none.
inline dnnl::matmul::primitive_desc MatMulDesc(
    const dnnl::memory::desc& src, const dnnl::memory::desc& weights,
    const dnnl::memory::desc& bias, const dnnl::memory::desc& dst,
    const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias.is_zero()) return {CpuEngine(), src, weights, dst, attr};
  return {CpuEngine(), src, weights, bias, dst, attr};
#else
  if (bias.is_zero()) {
    return {dnnl::matmul::desc(src, weights, dst), attr, CpuEngine()};
  }
  return {dnnl::matmul::desc(src, weights, bias, dst), attr, CpuEngine()};
#endif
}

// A product with weights [inputs, outputs] as a convolution of one image of one
// line, [1, inputs, 1, rows] to [1, outputs, 1, rows] in the layout nhwc, whose
// bytes are those of the row-major matrices. `bias` must not be empty.
inline dnnl::convolution_forward::primitive_desc PointwiseConvolutionDesc(
    const dnnl::memory::desc& src, const dnnl::memory::desc& weights,
    const dnnl::memory::desc& bias, const dnnl::memory::desc& dst,
    const dnnl::primitive_attr& attr) {
  constexpr auto kKind = dnnl::prop_kind::forward_inference;
  constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;
  const dnnl::memory::dims strides = {1, 1}, no_padding = {0, 0};
#if DNNL_VERSION_MAJOR >= 3
  return {CpuEngine(), kKind,   kAlgorithm, src,        weights, bias,
          dst,         strides, no_padding, no_padding, attr};
#else
  return {dnnl::convolution_forward::desc(kKind, kAlgorithm, src, weights, bias,
                                          dst, strides, no_padding, no_padding),
          attr, CpuEngine()};
#endif
}

}  // namespace onednn
}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_ONEDNN_H_
