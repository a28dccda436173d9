#include "core/session/crc32c.h"

#include <algorithm>
#include <climits>

#include "isa-l/crc.h"

namespace longhand {

uint32_t Crc32c(std::string_view bytes) {
  // ISA-L leaves both inversions of the standard to the caller.
  uint32_t crc = ~uint32_t{0};
  while (!bytes.empty()) {
    const size_t size = std::min<size_t>(bytes.size(), INT_MAX);
    // It does not write through the pointer.
    auto* data =
        reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    crc = crc32_iscsi(data, int(size), crc);
    bytes.remove_prefix(size);
  }
  return ~crc;
}

}  // namespace longhand
