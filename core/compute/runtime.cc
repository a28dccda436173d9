#include "core/compute/runtime.h"

#include <omp.h>

#include "absl/strings/str_cat.h"
#include "core/compute/compute_context.h"
#include "core/compute/onednn.h"

namespace longhand {
namespace onednn {

const dnnl::engine& CpuEngine() {
  static const dnnl::engine* const engine =
      new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

}  // namespace onednn

ComputeContext::ComputeContext()
    : backend_(new Backend{dnnl::stream(onednn::CpuEngine()), {}}) {
  omp_set_num_threads(1);
}

ComputeContext::~ComputeContext() = default;

std::string OnednnVersion() {
  const dnnl_version_t* version = dnnl_version();
  return absl::StrCat(version->major, ".", version->minor, ".", version->patch);
}

std::string EffectiveIsa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "SSE4.1";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2_VNNI";
    case dnnl::cpu_isa::avx512_core:
      return "AVX512_CORE";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX512_CORE_VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX512_CORE_BF16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "AVX512_CORE_AMX";
    default:
      return absl::StrCat("ISA_",
                          static_cast<int>(dnnl::get_effective_cpu_isa()));
  }
}

}  // namespace longhand
