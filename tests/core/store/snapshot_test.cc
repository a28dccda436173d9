// Snapshots come back as they were, whatever the cuts of their bytes; damaged,
// forged and foreign ones are refused.

#include "core/store/snapshot.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/store/record_frame.h"
#include "core/store/snapshot_format.h"
#include "gtest/gtest.h"
#include "tests/core/store/store_testing.h"

namespace longhand {
namespace {

using testing::ExpectSameChunk;
using testing::ExpectSameHead;
using testing::FullHead;
using testing::MakeChunk;
using testing::MakeChunks;
using testing::ReasonOf;
using testing::TestDecoder;

using Chunks = std::vector<std::shared_ptr<const ChunkRecord>>;

const SnapshotOptions kUnsigned{.tenant = "tenant"};
const SnapshotOptions kSigned{.tenant = "tenant", .key = "secret"};

std::string Write(const SnapshotOptions& options, SessionHead head,
                  const Chunks& chunks) {
  std::string bytes;
  const auto append = [&bytes](std::string_view more) {
    bytes.append(more);
    return absl::OkStatus();
  };
  SnapshotWriter writer(options, append);
  head.num_chunks = chunks.size();
  EXPECT_TRUE(writer.WriteHead(head).ok());
  for (const auto& chunk : chunks) {
    EXPECT_TRUE(writer.WriteChunk(*chunk).ok());
  }
  EXPECT_TRUE(writer.Finish().ok());
  return bytes;
}

std::string Sample(const SnapshotOptions& options) {
  return Write(options, FullHead(), MakeChunks(TestDecoder(), 1, 0, 2));
}

struct ReadResult {
  absl::Status status;
  SessionHead head;
  Chunks chunks;
};

ReadResult Read(const SnapshotOptions& options, std::string_view bytes,
                size_t piece = SIZE_MAX,
                const TestDecoder& decoder = TestDecoder()) {
  SnapshotReader reader(options);
  ReadResult result;
  while (result.status.ok() && !bytes.empty()) {
    // A copy of its own, so that a sanitizer sees reads past the end.
    const std::string part(bytes.substr(0, piece));
    bytes.remove_prefix(part.size());
    result.status = reader.Append(part);
    if (reader.head() != nullptr) {
      result.head = *reader.head();
      reader.set_decoder(&decoder);
    }
    for (auto& chunk : reader.TakeChunks()) result.chunks.push_back(chunk);
  }
  if (result.status.ok()) result.status = reader.Finish();
  return result;
}

TEST(Snapshot, RoundTrip) {
  const Chunks chunks = MakeChunks(TestDecoder(), 1, 0, 3);
  for (const SnapshotOptions& options : {kUnsigned, kSigned}) {
    const std::string bytes = Write(options, FullHead(), chunks);
    EXPECT_EQ(bytes.size() % 64, 0u);
    for (const size_t piece :
         {size_t{1}, size_t{7}, size_t{64}, size_t{1000}, SIZE_MAX}) {
      const ReadResult result = Read(options, bytes, piece);
      ASSERT_TRUE(result.status.ok()) << result.status;
      SessionHead head = FullHead();
      head.num_chunks = 3;
      ExpectSameHead(result.head, head);
      ASSERT_EQ(result.chunks.size(), 3u);
      for (int i = 0; i < 3; ++i) {
        ExpectSameChunk(*result.chunks[i], *chunks[i]);
      }
    }
  }
}

TEST(Snapshot, WithoutChunks) {
  const ReadResult result = Read(kSigned, Write(kSigned, FullHead(), {}));
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_TRUE(result.chunks.empty());
}

TEST(Snapshot, EveryFlippedByteIsRefused) {
  for (const SnapshotOptions& options : {kUnsigned, kSigned}) {
    const std::string good = Sample(options);
    ASSERT_TRUE(Read(options, good).status.ok());
    for (size_t i = 0; i < good.size(); ++i) {
      for (const int flip : {1, 0x80}) {
        std::string bad = good;
        bad[i] = char(bad[i] ^ flip);
        ASSERT_FALSE(Read(options, bad).status.ok()) << "byte " << i;
      }
    }
  }
}

TEST(Snapshot, EveryTruncationIsRefused) {
  const std::string good = Sample(kSigned);
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_EQ(ReasonOf(Read(kSigned, good.substr(0, size)).status),
              "SNAPSHOT_INVALID")
        << size;
  }
  EXPECT_EQ(ReasonOf(Read(kSigned, good + '\0').status), "SNAPSHOT_INVALID");
  EXPECT_EQ(ReasonOf(Read(kSigned, good + good, 64).status),
            "SNAPSHOT_INVALID");
}

TEST(Snapshot, OfOthersIsRefused) {
  SnapshotOptions other_tenant = kSigned, other_key = kSigned;
  other_tenant.tenant = "tenant2";
  other_key.key = "another";
  const std::string bytes = Sample(kSigned);
  EXPECT_EQ(ReasonOf(Read(other_tenant, bytes).status), "SNAPSHOT_TENANT");
  EXPECT_EQ(ReasonOf(Read(other_key, bytes).status), "SNAPSHOT_TENANT");
  EXPECT_EQ(ReasonOf(Read(kUnsigned, bytes).status), "SNAPSHOT_TENANT");
  // Leaving the signature out is no way around it.
  EXPECT_EQ(ReasonOf(Read(kSigned, Sample(kUnsigned)).status),
            "SNAPSHOT_TENANT");
}

// The signature of one body on another one, and a checksum that fits: only the
// key can tell.
TEST(Snapshot, SignatureIsThatOfTheBody) {
  SessionHead other = FullHead();
  other.tail = std::string(other.tail.size(), 'x');
  const Chunks chunks = MakeChunks(TestDecoder(), 1, 0, 2);
  const std::string genuine = Write(kSigned, FullHead(), chunks);
  std::string forged = Write(kSigned, other, chunks);
  ASSERT_EQ(forged.size(), genuine.size());
  const size_t footer = forged.size() - kFooterBytes;
  forged.replace(footer + 8, 32, genuine, footer + 8, 32);
  StreamChecksum checksum;
  checksum.Update(std::string_view(forged).substr(0, footer + 40));
  const auto digest = checksum.Digest();
  std::memcpy(&forged[footer + 40], digest.data(), digest.size());
  EXPECT_EQ(ReasonOf(Read(kSigned, forged).status), "SNAPSHOT_TENANT");
}

TEST(Snapshot, NewerFormat) {
  std::string bytes = Sample(kUnsigned);
  const uint16_t newer = kSnapshotFormatVersion + 1;
  std::memcpy(&bytes[10], &newer, sizeof(newer));  // min_reader
  EXPECT_EQ(ReasonOf(Read(kUnsigned, bytes).status), "FORMAT_TOO_NEW");
}

TEST(Snapshot, TooLarge) {
  const std::string bytes = Sample(kUnsigned);
  SnapshotOptions options = kUnsigned;
  options.max_bytes = bytes.size();
  EXPECT_TRUE(Read(options, bytes, 10).status.ok());
  options.max_bytes = bytes.size() - 1;
  EXPECT_EQ(ReasonOf(Read(options, bytes, 10).status), "SNAPSHOT_TOO_LARGE");
}

// A length that no memory has room for, with a checksum that is right.
TEST(Snapshot, HugeSectionIsRefusedAtItsHeader) {
  std::string bytes = Sample(kUnsigned);
  for (const uint64_t length :
       {uint64_t{0}, kMaxSectionBytes + 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    std::string forged = bytes.substr(0, 128);  // up to the head's payload
    std::memcpy(&forged[64 + 8], &length, sizeof(length));
    const uint64_t checksum =
        Checksum(std::string_view(forged).substr(64, kSectionSummedBytes));
    std::memcpy(&forged[64 + 24], &checksum, sizeof(checksum));
    const absl::Status status = Read(kUnsigned, forged + bytes).status;
    EXPECT_EQ(ReasonOf(status), "SNAPSHOT_INVALID") << length;
  }
}

TEST(Snapshot, ErrorsStay) {
  SnapshotReader reader(kUnsigned);
  EXPECT_FALSE(reader.Append(std::string(100, 'x')).ok());
  EXPECT_EQ(reader.head(), nullptr);
  EXPECT_EQ(ReasonOf(reader.Append(Sample(kUnsigned))), "SNAPSHOT_INVALID");
  EXPECT_EQ(ReasonOf(reader.Finish()), "SNAPSHOT_INVALID");
}

TEST(Snapshot, StateOfAnotherLayout) {
  EXPECT_EQ(ReasonOf(Read(kUnsigned, Sample(kUnsigned), SIZE_MAX,
                          TestDecoder("f32", 9))
                         .status),
            "SNAPSHOT_INVALID");
}

TEST(Snapshot, OutputErrorEndsTheWriting) {
  int calls = 0;
  const auto fail = [&calls](std::string_view) {
    ++calls;
    return absl::CancelledError("gone");
  };
  SnapshotWriter writer(kUnsigned, fail);
  EXPECT_EQ(writer.WriteHead(FullHead()).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 1);
}

// A snapshot of one chunk, as LONGHAND_WRITE_GOLDEN=1 writes it if there is no
// such file yet: a new version of it or of the records in it gets a new name.
std::string GoldenPath(const std::string& name) {
  return std::string(LONGHAND_GOLDEN_DIR) + "/" + name;
}

ChunkRecord GoldenChunk() {
  ChunkRecord chunk;
  chunk.place = {.begin = 0, .end = 2, .window_begin = 0, .window_end = 2};
  chunk.end_byte = 5;
  chunk.ids = {7592, 2088};
  chunk.token_begin = {0, 3};
  chunk.token_end = {2, 5};
  chunk.text = "ab cd";
  auto encoded = std::make_shared<EncodedChunk>();
  encoded->pooled = {0.5f, -2};
  chunk.encoded = encoded;
  return chunk;
}

void ExpectGolden(const std::string& golden, SessionHead expected) {
  const ReadResult result = Read(kSigned, golden);
  ASSERT_TRUE(result.status.ok()) << result.status;
  expected.num_chunks = 1;
  ExpectSameHead(result.head, expected);
  ASSERT_EQ(result.chunks.size(), 1u);
  ExpectSameChunk(*result.chunks[0], GoldenChunk());
}

// With a head of version 1, which did not know the options of mechanisms.
TEST(Snapshot, GoldenWithOldHead) {
  SessionHead head = FullHead();
  head.options.mechanism_options = DefaultMechanismOptions();
  head.options.global_tokens.clear();
  ExpectGolden(testing::ReadAll(GoldenPath("session_snapshot_v1.bin")), head);
}

TEST(Snapshot, Golden) {
  const std::string bytes = Write(
      kSigned, FullHead(), {std::make_shared<ChunkRecord>(GoldenChunk())});
  const std::string path = GoldenPath("session_snapshot_v1_head_v2.bin");
  if (std::getenv("LONGHAND_WRITE_GOLDEN") != nullptr &&
      !std::filesystem::exists(path)) {
    testing::WriteAll(path, bytes);
  }
  const std::string golden = testing::ReadAll(path);
  EXPECT_EQ(bytes, golden);
  ExpectGolden(golden, FullHead());
}

}  // namespace
}  // namespace longhand
