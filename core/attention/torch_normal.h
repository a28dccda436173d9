// The normal random numbers of PyTorch's generator for the CPU, so that a model
// whose random parts come from a seed gets the same ones here. Pure functions;
// safe from any thread.
#ifndef LONGHAND_CORE_ATTENTION_TORCH_NORMAL_H_
#define LONGHAND_CORE_ATTENTION_TORCH_NORMAL_H_

#include <cstdint>

#include "absl/types/span.h"

namespace longhand {

// out = torch.randn(out.size()) right after torch.manual_seed(seed): MT19937
// (Matsumoto and Nishimura 1998) and Box-Muller pairs. Equal up to the last
// bits, in which PyTorch's own builds for different CPUs differ too.
void FillTorchNormals(int64_t seed, absl::Span<float> out);

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_TORCH_NORMAL_H_
