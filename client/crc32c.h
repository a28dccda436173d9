// CRC-32C (Castagnoli), as in RFC 3720. Internal to the client library. Pure;
// safe from any thread.
#ifndef LONGHAND_CLIENT_CRC32C_H_
#define LONGHAND_CLIENT_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace longhand::client {

uint32_t Crc32c(absl::string_view data);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CRC32C_H_
