// ByteWriter and ByteReader: little-endian numbers and byte strings one after
// another. The reader never trusts a length: each is compared with what is left
// before anything is allocated, and the first thing that is not there makes it
// fail for good, so that one check at the end is enough. Plain values; one
// thread each.
#ifndef LONGHAND_CORE_STORE_BYTE_CODEC_H_
#define LONGHAND_CORE_STORE_BYTE_CODEC_H_

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace longhand {

static_assert(std::endian::native == std::endian::little,
              "records are copied as they lie in memory");

class ByteWriter {
 public:
  template <typename T>
  void Number(T value) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Bytes(std::string_view bytes) { bytes_.append(bytes); }
  template <size_t N>
  void Bytes(const std::array<uint8_t, N>& bytes) {
    bytes_.append(reinterpret_cast<const char*>(bytes.data()), N);
  }
  // The length, 8 bytes, then the bytes.
  void Blob(std::string_view bytes) {
    Number(uint64_t{bytes.size()});
    Bytes(bytes);
  }
  // The number of elements, 8 bytes, then the elements.
  template <typename T>
  void Array(const std::vector<T>& values) {
    static_assert(std::is_arithmetic_v<T>);
    Number(uint64_t{values.size()});
    bytes_.append(reinterpret_cast<const char*>(values.data()),
                  values.size() * sizeof(T));
  }
  void PadTo(size_t alignment) {
    bytes_.append((alignment - bytes_.size() % alignment) % alignment, '\0');
  }

  size_t size() const { return bytes_.size(); }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  // `bytes` must outlive the reader.
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  // 0 if it is not there.
  template <typename T>
  T Number() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    T value{};
    const std::string_view bytes = Bytes(sizeof(T));
    if (ok_) std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  // A view; empty if it is not there.
  std::string_view Bytes(uint64_t size) {
    if (!ok_ || size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return bytes;
  }
  template <size_t N>
  void Bytes(std::array<uint8_t, N>* out) {
    const std::string_view bytes = Bytes(N);
    if (ok_) std::memcpy(out->data(), bytes.data(), N);
  }
  std::string_view Blob() { return Bytes(Number<uint64_t>()); }
  template <typename T>
  std::vector<T> Array() {
    static_assert(std::is_arithmetic_v<T>);
    const uint64_t size = Number<uint64_t>();
    if (!ok_ || size > bytes_.size() / sizeof(T)) {
      ok_ = false;
      return {};
    }
    std::vector<T> values(size);
    const std::string_view bytes = Bytes(size * sizeof(T));
    if (size > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  // For values that are there and make no sense.
  void Fail() { ok_ = false; }

  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_BYTE_CODEC_H_
