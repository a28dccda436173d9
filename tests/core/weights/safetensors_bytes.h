// Builds safetensors files in memory for tests, good and bad ones.
#ifndef LONGHAND_TESTS_CORE_WEIGHTS_SAFETENSORS_BYTES_H_
#define LONGHAND_TESTS_CORE_WEIGHTS_SAFETENSORS_BYTES_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "nlohmann/json.hpp"

namespace longhand {

inline std::string LittleEndian64(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>(value >> (8 * i)));
  }
  return bytes;
}

// A file with this header text, its true length before it, and these data.
inline std::string SafetensorsBytes(std::string_view header,
                                    std::string_view data) {
  return LittleEndian64(header.size()) + std::string(header) +
         std::string(data);
}

template <typename T>
std::string RawBytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  }
  return bytes;
}

// Adds tensors one after the other.
class SafetensorsBuilder {
 public:
  SafetensorsBuilder& Add(const std::string& name, const std::string& dtype,
                          const std::vector<int64_t>& shape,
                          std::string_view bytes) {
    header_[name] = {
        {"dtype", dtype},
        {"shape", shape},
        {"data_offsets", {data_.size(), data_.size() + bytes.size()}}};
    data_ += bytes;
    return *this;
  }
  SafetensorsBuilder& AddF32(const std::string& name,
                             const std::vector<int64_t>& shape,
                             const std::vector<float>& values) {
    return Add(name, "F32", shape, RawBytes(values));
  }

  std::string Build() const { return SafetensorsBytes(header_.dump(), data_); }

 private:
  nlohmann::json header_ = nlohmann::json::object();
  std::string data_;
};

inline absl::Span<const uint8_t> AsSpan(const std::string& bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace longhand

#endif  // LONGHAND_TESTS_CORE_WEIGHTS_SAFETENSORS_BYTES_H_
