// Activation: the function that follows a linear layer. A plain value.
#ifndef LONGHAND_CORE_COMPUTE_ACTIVATION_H_
#define LONGHAND_CORE_COMPUTE_ACTIVATION_H_

#include <string_view>

#include "absl/status/statusor.h"

namespace longhand {

enum class Activation { kNone, kGeluErf, kGeluTanh, kRelu, kSilu };

// Hugging Face's names ("gelu", "gelu_new", "relu", ...). UNIMPLEMENTED
// (MODEL_UNSUPPORTED) for another one.
absl::StatusOr<Activation> ActivationFromName(std::string_view name);

}  // namespace longhand

#endif  // LONGHAND_CORE_COMPUTE_ACTIVATION_H_
