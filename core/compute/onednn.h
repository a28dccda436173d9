// The differences between oneDNN 2.x (Debian 12) and 3.x (Debian 13), and the
// backend of ComputeContext. Private to core/compute.
#ifndef LONGHAND_CORE_COMPUTE_ONEDNN_H_
#define LONGHAND_CORE_COMPUTE_ONEDNN_H_

#include "core/compute/compute_context.h"
#include "oneapi/dnnl/dnnl.hpp"

namespace longhand {

struct ComputeContext::Backend {
  dnnl::stream stream;
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

}  // namespace onednn
}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_ONEDNN_H_
