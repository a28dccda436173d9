// Facts about the math library and the CPU, fixed for the life of the process.
// Safe from any thread.
#ifndef LONGHAND_CORE_COMPUTE_RUNTIME_H_
#define LONGHAND_CORE_COMPUTE_RUNTIME_H_

#include <string>

namespace longhand {

// "2.6.3".
std::string OnednnVersion();

// The instruction set that oneDNN dispatches to on this CPU, such as "AVX2" or
// "AVX512_CORE_AMX"; ONEDNN_MAX_CPU_ISA lowers it.
std::string EffectiveIsa();

// The target that our own vector loops dispatch to, such as "AVX2".
std::string VectorTarget();

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_RUNTIME_H_
