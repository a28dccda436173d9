// TensorView: a typed, shaped window on bytes that somebody else owns, such as
// a mapped weight file. AlignedBuffer: the owner of storage for the kernels,
// aligned to a cache line. A view must not outlive its owner. Both are plain
// values without locks: one writer, or many readers.
#ifndef LONGHAND_CORE_TENSOR_TENSOR_H_
#define LONGHAND_CORE_TENSOR_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "core/tensor/dtype.h"

namespace longhand {

// Dimensions, outermost first; {} is a scalar.
using Shape = absl::InlinedVector<int64_t, 4>;

// Tensors with more dimensions are refused where they come in.
inline constexpr int kMaxRank = 8;

// The product of the dimensions; 1 for a scalar.
// REQUIRES: no dimension is negative and the product fits into int64_t.
int64_t NumElements(absl::Span<const int64_t> shape);

// "[384, 1536]".
std::string ShapeToString(absl::Span<const int64_t> shape);

struct TensorView {
  // Row-major, little-endian, not necessarily aligned to the element size: copy
  // out with memcpy.
  const void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  int rank() const { return static_cast<int>(shape.size()); }
  int64_t num_elements() const { return NumElements(shape); }
  int64_t byte_size() const { return num_elements() * DTypeSize(dtype); }
  absl::Span<const uint8_t> bytes() const {
    return {static_cast<const uint8_t*>(data),
            static_cast<size_t>(byte_size())};
  }
};

// Alignment of every AlignedBuffer, in bytes.
inline constexpr size_t kBufferAlignment = 64;

// Move-only storage for a fixed number of T. Throws std::bad_alloc, as new
// does, if the memory is not there.
template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // No elements.
  AlignedBuffer() = default;

  // `size` elements with undefined values.
  static AlignedBuffer Uninitialized(size_t size) {
    return AlignedBuffer(size);
  }

  // `size` elements with all bytes 0.
  static AlignedBuffer Zeroed(size_t size) {
    AlignedBuffer buffer(size);
    if (size > 0) std::memset(buffer.data(), 0, buffer.byte_size());
    return buffer;
  }

  // A copy of `values`.
  static AlignedBuffer CopyOf(absl::Span<const T> values) {
    AlignedBuffer buffer(values.size());
    if (!values.empty()) {
      std::memcpy(buffer.data(), values.data(), buffer.byte_size());
    }
    return buffer;
  }

  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::move(other.data_)), size_(other.size_) {
    other.size_ = 0;
  }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = other.size_;
    if (this != &other) other.size_ = 0;
    return *this;
  }

  // Null if size() is 0.
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t byte_size() const { return size_ * sizeof(T); }

  absl::Span<T> span() { return {data(), size_}; }
  absl::Span<const T> span() const { return {data(), size_}; }

  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }

 private:
  struct Free {
    void operator()(T* data) const {
      ::operator delete (data, std::align_val_t{kBufferAlignment});
    }
  };

  explicit AlignedBuffer(size_t size) : size_(size) {
    if (size == 0) return;
    if (size > std::numeric_limits<ptrdiff_t>::max() / sizeof(T)) {
      throw std::bad_alloc();
    }
    data_.reset(static_cast<T*>(
        ::operator new (size * sizeof(T), std::align_val_t{kBufferAlignment})));
  }

  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

using FloatBuffer = AlignedBuffer<float>;

}  // namespace longhand

#endif  // LONGHAND_CORE_TENSOR_TENSOR_H_
