// LayerExtras: what a model family has for its attention mechanism besides
// query, key, value and output: linear layers, tensors and numbers of one
// layer, by role. Owned by the model's layer; immutable once loaded, safe from
// many threads.
#ifndef LONGHAND_CORE_ATTENTION_LAYER_EXTRAS_H_
#define LONGHAND_CORE_ATTENTION_LAYER_EXTRAS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/compute/matmul.h"
#include "core/tensor/tensor.h"

namespace longhand {

class LayerExtras {
 public:
  // `role`: what mechanisms ask for, such as "meta_query".
  void Add(std::string role, PackedLinear linear) {
    linears_.emplace_back(std::move(role), std::move(linear));
  }

  void AddTensor(std::string role, FloatBuffer tensor) {
    tensors_.emplace_back(std::move(role), std::move(tensor));
  }
  void AddNumber(std::string role, int64_t number) {
    numbers_.emplace_back(std::move(role), number);
  }

  // Null if the family has none of this role.
  const PackedLinear* Find(std::string_view role) const {
    return FindIn(linears_, role);
  }
  const FloatBuffer* FindTensor(std::string_view role) const {
    return FindIn(tensors_, role);
  }
  const int64_t* FindNumber(std::string_view role) const {
    return FindIn(numbers_, role);
  }

  uint64_t byte_size() const {
    uint64_t bytes = 0;
    for (const auto& entry : linears_) bytes += entry.second.byte_size();
    for (const auto& entry : tensors_) bytes += entry.second.byte_size();
    return bytes;
  }

 private:
  template <typename Value>
  using ByRole = std::vector<std::pair<std::string, Value>>;

  template <typename Value>
  static const Value* FindIn(const ByRole<Value>& all, std::string_view role) {
    for (const auto& [name, value] : all) {
      if (name == role) return &value;
    }
    return nullptr;
  }

  ByRole<PackedLinear> linears_;
  ByRole<FloatBuffer> tensors_;
  ByRole<int64_t> numbers_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_LAYER_EXTRAS_H_
