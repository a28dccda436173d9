// LayerExtras: linear layers that a model family has for its attention
// mechanism besides query, key, value and output, by role. Owned by the model's
// layer; immutable once loaded, safe from many threads.
#ifndef LONGHAND_CORE_ATTENTION_LAYER_EXTRAS_H_
#define LONGHAND_CORE_ATTENTION_LAYER_EXTRAS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/compute/matmul.h"

namespace longhand {

class LayerExtras {
 public:
  // `role`: what mechanisms ask for, such as "meta_query".
  void Add(std::string role, PackedLinear linear) {
    linears_.emplace_back(std::move(role), std::move(linear));
  }

  // Null if the family has none of this role.
  const PackedLinear* Find(std::string_view role) const {
    for (const auto& [name, linear] : linears_) {
      if (name == role) return &linear;
    }
    return nullptr;
  }

  uint64_t byte_size() const {
    uint64_t bytes = 0;
    for (const auto& entry : linears_) bytes += entry.second.byte_size();
    return bytes;
  }

 private:
  std::vector<std::pair<std::string, PackedLinear>> linears_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_LAYER_EXTRAS_H_
