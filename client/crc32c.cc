#include "client/crc32c.h"

#include <algorithm>
#include <cstddef>

#include "isa-l/crc.h"

namespace longhand::client {

uint32_t Crc32c(absl::string_view data) {
  // The library counts in int.
  constexpr size_t kStep = size_t{1} << 30;
  uint32_t crc = ~uint32_t{0};
  while (!data.empty()) {
    const size_t count = std::min(data.size(), kStep);
    // It does not write, though its parameter is not const.
    auto* bytes =
        reinterpret_cast<unsigned char*>(const_cast<char*>(data.data()));
    crc = crc32_iscsi(bytes, static_cast<int>(count), crc);
    data.remove_prefix(count);
  }
  return ~crc;
}

}  // namespace longhand::client
