#include "core/tensor/dtype.h"

namespace longhand {

std::string_view DTypeName(DType dtype) {
  switch (dtype) {
#define LH_DTYPE_NAME(id, name, bytes) \
  case DType::id:                      \
    return name;
    LH_DTYPE_LIST(LH_DTYPE_NAME)
#undef LH_DTYPE_NAME
  }
  return "?";
}

std::optional<DType> DTypeFromName(std::string_view name) {
#define LH_DTYPE_MATCH(id, text, bytes) \
  if (name == text) return DType::id;
  LH_DTYPE_LIST(LH_DTYPE_MATCH)
#undef LH_DTYPE_MATCH
  return std::nullopt;
}

}  // namespace longhand
