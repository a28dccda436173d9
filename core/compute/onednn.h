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

inline void AppendEltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm,
                          float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(algorithm, alpha, beta);
#else
  ops.append_eltwise(/*scale=*/1.0f, algorithm, alpha, beta);
#endif
}

inline dnnl::matmul::primitive_desc MatMulDesc(
    const dnnl::memory::desc& src, const dnnl::memory::desc& weights,
    const dnnl::memory::desc& bias, const dnnl::memory::desc& dst,
    const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {CpuEngine(), src, weights, bias, dst, attr};
#else
  return {dnnl::matmul::desc(src, weights, bias, dst), attr, CpuEngine()};
#endif
}

}  // namespace onednn
}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_ONEDNN_H_
