// CRC-32C (Castagnoli), as iSCSI, Kafka and google.storage count it. Pure
// function; safe from any thread.
#ifndef LONGHAND_CORE_SESSION_CRC32C_H_
#define LONGHAND_CORE_SESSION_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace longhand {

uint32_t Crc32c(std::string_view bytes);

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_CRC32C_H_
