#include "core/compute/activation.h"

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

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

}  // namespace longhand
