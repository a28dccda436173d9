// Reading test data: tensors of a safetensors file as vectors. Aborts the test
// process on a broken file, which is a fault of the checkout.
#ifndef LONGHAND_TESTS_TESTING_GOLDEN_H_
#define LONGHAND_TESTS_TESTING_GOLDEN_H_

#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/tensor/tensor.h"
#include "core/weights/safetensors.h"
#include "nlohmann/json.hpp"

namespace longhand::testing {

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path) {
    auto file = SafetensorsFile::Open(path);
    LH_CHECK(file.ok());
    file_ = *std::move(file);
  }

  bool Has(const std::string& name) const {
    return file_->Find(name) != nullptr;
  }
  const Shape& shape(const std::string& name) const { return View(name).shape; }
  std::vector<float> Floats(const std::string& name) const {
    return Copy<float>(name, DType::kF32);
  }
  std::vector<int32_t> Ints(const std::string& name) const {
    return Copy<int32_t>(name, DType::kI32);
  }

 private:
  const TensorView& View(const std::string& name) const {
    const TensorView* view = file_->Find(name);
    LH_CHECK(view != nullptr);
    return *view;
  }

  template <typename T>
  std::vector<T> Copy(const std::string& name, DType dtype) const {
    const TensorView& view = View(name);
    LH_CHECK(view.dtype == dtype);
    std::vector<T> values(size_t(view.num_elements()));
    std::memcpy(values.data(), view.data, values.size() * sizeof(T));
    return values;
  }

  std::unique_ptr<const SafetensorsFile> file_;
};

inline nlohmann::json ReadJsonFile(const std::string& path) {
  std::ifstream in(path);
  LH_CHECK(in.good());
  return nlohmann::json::parse(in);
}

inline double MaxAbsDifference(const float* a, const float* b, size_t size) {
  double worst = 0;
  for (size_t i = 0; i < size; ++i) {
    const double difference = std::abs(double{a[i]} - b[i]);
    // Also true for NaN.
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

inline double Cosine(const float* a, const float* b, size_t size) {
  double dot = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < size; ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return dot / std::sqrt(aa * bb);
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_GOLDEN_H_
