// Stored heads and chunks: refused, or read and written again to bytes that
// stay the same from then on.

#include <string>

#include "core/store/record_codec.h"
#include "core/store/record_frame.h"
#include "tests/core/store/store_testing.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_meter.h"

namespace longhand::testing {
namespace {

// Strings of nothing take 8 bytes in the record and 64 in a pair of them,
// twice while a vector grows.
constexpr uint64_t kMemoryFactor = 64;

void CheckStoreRefusal(const absl::Status& status) {
  CheckRefusal(status, {absl::StatusCode::kDataLoss,
                        absl::StatusCode::kFailedPrecondition});
}

void RunHead(std::string_view bytes) {
  MemoryMeter memory;
  const auto head = DecodeHead(bytes);
  memory.CheckProportional(bytes.size(), kMemoryFactor);
  if (!head.ok()) return CheckStoreRefusal(head.status());
  const std::string once = EncodeHead(*head);
  const auto again = DecodeHead(once);
  LH_CHECK(again.ok() && EncodeHead(*again) == once);
}

void RunChunk(std::string_view bytes) {
  static const TestDecoder decoder;
  MemoryMeter memory;
  const auto chunk = DecodeChunk(bytes, decoder);
  memory.CheckProportional(bytes.size(), kMemoryFactor);
  if (!chunk.ok()) return CheckStoreRefusal(chunk.status());
  const std::string once = EncodeChunk(**chunk);
  const auto again = DecodeChunk(once, decoder);
  LH_CHECK(again.ok() && EncodeChunk(**again) == once);
}

// `body` in a frame with the right length and checksum.
std::string Framed(RecordKind kind, uint16_t version, std::string_view body) {
  ByteWriter writer = BeginRecord(kind);
  // The version and the oldest reader, behind the magic.
  writer.bytes()[4] = writer.bytes()[6] = char(version);
  writer.Bytes(body);
  return EndRecord(std::move(writer));
}

}  // namespace
}  // namespace longhand::testing

// First byte: whether what follows is a whole record or only a body, and of
// what.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand;           // NOLINT
  using namespace longhand::testing;  // NOLINT
  FuzzInput input(data, size);
  const size_t kind = input.Choose(6);
  const std::string_view bytes = input.Rest();
  if (kind == 0) {
    RunHead(bytes);
  } else if (kind == 1) {
    RunChunk(bytes);
  } else if (kind == 2) {
    RunChunk(Framed(RecordKind::kChunk, 1, bytes));
  } else {
    // Heads of versions 1, 2 and, of a newer server, 3.
    RunHead(Framed(RecordKind::kHead, uint16_t(kind - 2), bytes));
  }
  return 0;
}
