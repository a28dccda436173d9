// What fuzz targets share: taking apart their bytes, and checks of refusals. A
// FuzzInput is for one run of one thread.
#ifndef LONGHAND_TESTS_FUZZ_FUZZ_INPUT_H_
#define LONGHAND_TESTS_FUZZ_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace longhand::testing {

class FuzzInput {
 public:
  // `data` must outlive it and the views that it gives.
  FuzzInput(const uint8_t* data, size_t size)
      : bytes_(reinterpret_cast<const char*>(data), size) {}

  // The next number; zeros follow the end.
  template <typename T>
  T Number() {
    T value{};
    const std::string_view bytes = Bytes(sizeof(T));
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  // From 0 to below `count`, by one byte. REQUIRES: count > 0.
  size_t Choose(size_t count) { return Number<uint8_t>() % count; }
  // As many as there are, at most `size`.
  std::string_view Bytes(size_t size) {
    const std::string_view bytes = bytes_.substr(0, size);
    bytes_.remove_prefix(bytes.size());
    return bytes;
  }
  std::string_view Rest() { return Bytes(bytes_.size()); }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

// Lengths of pieces, 1 to `max`, from a small seed: a fuzzer that changes the
// content leaves the cuts where they are.
class Pieces {
 public:
  Pieces(uint16_t seed, size_t max) : state_(seed), max_(max) {}

  size_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return 1 + (state_ >> 33) % max_;
  }

 private:
  uint64_t state_;
  const size_t max_;
};

inline std::string Reason(const absl::Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

// Checks that it is an error with one of these codes, a reason for programs and
// a message for people.
inline void CheckRefusal(const absl::Status& status,
                         std::initializer_list<absl::StatusCode> codes) {
  LH_CHECK(std::find(codes.begin(), codes.end(), status.code()) != codes.end());
  LH_CHECK(!status.message().empty());
  const std::string reason = Reason(status);
  LH_CHECK(!reason.empty() && reason.size() <= 63 &&
           reason.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
               std::string::npos);
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_FUZZ_FUZZ_INPUT_H_
