// Snapshots: the same result whatever the cuts; what is accepted can be written
// and read again.

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/store/byte_codec.h"
#include "core/store/record_codec.h"
#include "core/store/record_frame.h"
#include "core/store/snapshot.h"
#include "core/store/snapshot_format.h"
#include "tests/core/store/store_testing.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_meter.h"

namespace longhand::testing {
namespace {

constexpr uint64_t kMemoryFactor = 64;
constexpr size_t kRecordHeaderBytes = 20;

const SnapshotOptions& Options() {
  static const auto* const options = new SnapshotOptions{.tenant = "tenant"};
  return *options;
}

template <typename T>
void Put(std::string& bytes, size_t place, T value) {
  std::memcpy(bytes.data() + place, &value, sizeof(value));
}

// A record's length and checksum as its bytes are.
void RepairRecord(std::string& bytes, size_t place, size_t size) {
  if (size < kRecordHeaderBytes + 8) return;
  Put(bytes, place + 12, uint64_t{size - kRecordHeaderBytes - 8});
  Put(bytes, place + size - 8,
      Checksum(std::string_view(bytes).substr(place, size - 8)));
}

// Makes lengths and checksums right, so that what is changed inside gets
// through to what reads it.
void Repair(std::string& bytes) {
  size_t place = kSnapshotAlignment;
  while (place + kSectionHeaderBytes <= bytes.size()) {
    uint32_t type;
    uint64_t length;
    std::memcpy(&type, bytes.data() + place, sizeof(type));
    std::memcpy(&length, bytes.data() + place + 8, sizeof(length));
    const size_t payload = place + kSectionHeaderBytes;
    const bool is_end = type == uint32_t(SnapshotSection::kEnd);
    length = is_end ? kFooterBytes
                    : std::min<uint64_t>(length, bytes.size() - payload);
    if (!is_end) RepairRecord(bytes, payload, length);
    Put(bytes, place + 8, length);
    Put(bytes, place + 16,
        is_end ? uint64_t{0}
               : Checksum(std::string_view(bytes).substr(payload, length)));
    Put(bytes, place + kSectionSummedBytes,
        Checksum(std::string_view(bytes).substr(place, kSectionSummedBytes)));
    place = payload + SnapshotPadded(length);
    if (!is_end) continue;
    bytes.resize(payload);
    const uint64_t size = payload + kFooterBytes;
    bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
    bytes.append(32, '\0');
    StreamChecksum sum;
    sum.Update(bytes);
    const auto digest = sum.Digest();
    bytes.append(reinterpret_cast<const char*>(digest.data()), digest.size());
    bytes.append(kSnapshotEndMagic);
    return;
  }
}

struct Result {
  absl::Status status;
  std::string head;  // encoded
  std::vector<std::shared_ptr<const ChunkRecord>> chunks;
};

Result Read(std::string_view bytes, uint16_t seed, size_t max_piece) {
  static const TestDecoder decoder;
  Pieces pieces(seed, max_piece);
  SnapshotReader reader(Options());
  Result result;
  while (result.status.ok() && !bytes.empty()) {
    const std::string piece(bytes.substr(0, pieces.Next()));
    bytes.remove_prefix(piece.size());
    result.status = reader.Append(piece);
    if (reader.head() != nullptr && result.head.empty()) {
      result.head = EncodeHead(*reader.head());
      reader.set_decoder(&decoder);
    }
    for (auto& chunk : reader.TakeChunks()) result.chunks.push_back(chunk);
  }
  if (result.status.ok()) result.status = reader.Finish();
  return result;
}

std::string Write(const Result& snapshot) {
  std::string bytes;
  const auto append = [&bytes](std::string_view more) {
    bytes.append(more);
    return absl::OkStatus();
  };
  SnapshotWriter writer(Options(), append);
  LH_CHECK(writer.WriteHead(*DecodeHead(snapshot.head)).ok());
  for (const auto& chunk : snapshot.chunks) {
    LH_CHECK(writer.WriteChunk(*chunk).ok());
  }
  LH_CHECK(writer.Finish().ok());
  return bytes;
}

void CheckSame(const Result& a, const Result& b) {
  LH_CHECK(a.status.code() == b.status.code());
  LH_CHECK(Reason(a.status) == Reason(b.status));
  LH_CHECK(a.head == b.head && a.chunks.size() == b.chunks.size());
  for (size_t i = 0; i < a.chunks.size(); ++i) {
    LH_CHECK(EncodeChunk(*a.chunks[i]) == EncodeChunk(*b.chunks[i]));
  }
}

void Run(const std::string& bytes, uint16_t seed, size_t max_piece) {
  Result whole;
  {
    MemoryMeter memory;
    whole = Read(bytes, 0, SIZE_MAX);
    memory.CheckProportional(bytes.size(), kMemoryFactor, 256 << 10);
  }
  CheckSame(whole, Read(bytes, seed, max_piece));
  if (whole.status.ok()) {
    CheckSame(whole, Read(Write(whole), 0, SIZE_MAX));
  } else {
    CheckRefusal(
        whole.status,
        {absl::StatusCode::kInvalidArgument,
         absl::StatusCode::kFailedPrecondition, absl::StatusCode::kNotFound,
         absl::StatusCode::kResourceExhausted, absl::StatusCode::kDataLoss});
  }
}

}  // namespace
}  // namespace longhand::testing

// Two bytes for the cuts, one for their size, one whether sums are repaired.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  longhand::testing::FuzzInput input(data, size);
  const auto seed = input.Number<uint16_t>();
  const size_t max_piece = 1 + input.Choose(255);
  const bool repair = input.Number<uint8_t>() % 4 != 0;
  std::string bytes(input.Rest());
  if (repair) longhand::testing::Repair(bytes);
  longhand::testing::Run(bytes, seed, max_piece);
  return 0;
}
