#include "core/store/record_frame.h"

#include <xxhash.h>

#include <cstring>
#include <utility>

#include "core/store/store_errors.h"

namespace longhand {
namespace {

constexpr std::string_view kMagic = "LHRC";
constexpr size_t kLengthPlace = 12;
constexpr size_t kHeaderBytes = kLengthPlace + sizeof(uint64_t);

}  // namespace

uint64_t Checksum(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

ByteWriter BeginRecord(RecordKind kind) {
  ByteWriter writer;
  writer.Bytes(kMagic);
  writer.Number(RecordFormatVersion(kind));
  writer.Number(RecordMinReader(kind));
  writer.Number(uint16_t(kind));
  writer.Number(uint16_t{0});
  writer.Number(uint64_t{0});  // EndRecord knows it
  return writer;
}

std::string EndRecord(ByteWriter record) {
  const uint64_t length = record.size() - kHeaderBytes;
  std::memcpy(record.bytes().data() + kLengthPlace, &length, sizeof(length));
  record.Number(Checksum(record.bytes()));
  return std::move(record.bytes());
}

absl::StatusOr<OpenedRecord> OpenRecord(RecordKind kind,
                                        std::string_view bytes) {
  ByteReader frame(bytes);
  const bool magic = frame.Bytes(kMagic.size()) == kMagic;
  const auto version = frame.Number<uint16_t>();
  const auto min_reader = frame.Number<uint16_t>();
  const auto stored_kind = frame.Number<uint16_t>();
  frame.Number<uint16_t>();
  const std::string_view body = frame.Blob();
  const auto checksum = frame.Number<uint64_t>();
  if (!magic || !frame.ok() || !frame.at_end() ||
      checksum != Checksum(bytes.substr(0, bytes.size() - sizeof(checksum))) ||
      stored_kind != uint16_t(kind)) {
    return StoreCorruptError("a stored record is damaged");
  }
  if (min_reader > RecordFormatVersion(kind)) {
    return FormatTooNewError("a stored record");
  }
  return OpenedRecord{ByteReader(body), version,
                      version > RecordFormatVersion(kind)};
}

absl::Status OpenedRecord::Close() const {
  if (!body.ok() || !(body.at_end() || newer)) {
    return StoreCorruptError("a stored record contradicts itself");
  }
  return absl::OkStatus();
}

}  // namespace longhand
