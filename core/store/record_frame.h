// The frame around every stored record:
//   magic "LHRC" | format_version u16 | min_reader u16 | kind u16 | 0 u16
//   | length of the body u64 | body | XXH3-64 of everything before u64
// All little-endian. The frame is the same in all versions. A version may add
// fields behind the body's last one; a reader of min_reader or newer passes
// over those that it does not know. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_STORE_RECORD_FRAME_H_
#define LONGHAND_CORE_STORE_RECORD_FRAME_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/store/byte_codec.h"

namespace longhand {

enum class RecordKind : uint16_t { kHead = 1, kChunk = 2, kGeneration = 3 };

// Each kind has versions of its own. Version 2 of heads has the options of
// mechanisms; who passed over them would compute something else.
constexpr uint16_t RecordFormatVersion(RecordKind kind) {
  return kind == RecordKind::kHead ? 2 : 1;
}
constexpr uint16_t RecordMinReader(RecordKind kind) {
  return kind == RecordKind::kHead ? 2 : 1;
}

// Write the body to what it gives, then call EndRecord.
ByteWriter BeginRecord(RecordKind kind);
std::string EndRecord(ByteWriter record);

struct OpenedRecord {
  ByteReader body;
  uint16_t format_version = 0;
  bool newer = false;  // than the versions that are known here

  // OK if all of the body was there and was read. DATA_LOSS (STORE_CORRUPT).
  absl::Status Close() const;
};

// Checks the frame. DATA_LOSS (STORE_CORRUPT); FAILED_PRECONDITION
// (FORMAT_TOO_NEW). `bytes` must outlive the result.
absl::StatusOr<OpenedRecord> OpenRecord(RecordKind kind,
                                        std::string_view bytes);

// XXH3-64.
uint64_t Checksum(std::string_view bytes);

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_RECORD_FRAME_H_
