// Records come back as they were, and nothing that was damaged comes back at
// all. Golden files keep the format: what an older version wrote stays
// readable.

#include "core/store/record_codec.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <tuple>

#include "core/store/record_frame.h"
#include "gtest/gtest.h"
#include "tests/core/store/store_testing.h"

namespace longhand {
namespace {

using testing::ExpectSameChunk;
using testing::ExpectSameHead;
using testing::FullHead;
using testing::MakeChunk;
using testing::ReasonOf;
using testing::TestDecoder;

// Bytes of the place of format_version in a frame.
constexpr size_t kVersionPlace = 4;

// The same record as another version would have written it, `extra` bytes
// longer.
std::string AsVersion(std::string record, uint16_t version, uint16_t min_reader,
                      const std::string& extra) {
  record.resize(record.size() - sizeof(uint64_t));
  record += extra;
  const uint64_t length = record.size() - 20;
  std::memcpy(&record[kVersionPlace], &version, sizeof(version));
  std::memcpy(&record[kVersionPlace + 2], &min_reader, sizeof(min_reader));
  std::memcpy(&record[12], &length, sizeof(length));
  const uint64_t checksum = Checksum(record);
  record.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
  return record;
}

// `status` of decoding must be STORE_CORRUPT for every flipped byte, every
// shorter length and trailing bytes.
void ExpectDamageIsRefused(
    const std::string& record,
    const std::function<absl::Status(std::string_view)>& decode) {
  ASSERT_TRUE(decode(record).ok());
  for (size_t i = 0; i < record.size(); ++i) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string damaged = record;
      damaged[i] = char(damaged[i] ^ flip);
      ASSERT_EQ(ReasonOf(decode(damaged)), "STORE_CORRUPT") << "byte " << i;
    }
    // A copy of its own, so that a sanitizer sees reads past the end.
    const std::string cut(record, 0, i);
    ASSERT_EQ(ReasonOf(decode(cut)), "STORE_CORRUPT") << "cut at " << i;
  }
  EXPECT_EQ(ReasonOf(decode(record + '\0')), "STORE_CORRUPT");
}

absl::Status StatusOfHead(std::string_view bytes) {
  return DecodeHead(bytes).status();
}
absl::Status StatusOfChunk(std::string_view bytes) {
  return DecodeChunk(bytes, TestDecoder()).status();
}

TEST(RecordCodec, HeadRoundTrip) {
  const auto head = DecodeHead(EncodeHead(FullHead()));
  ASSERT_TRUE(head.ok()) << head.status();
  ExpectSameHead(*head, FullHead());
}

TEST(RecordCodec, EmptyHeadRoundTrip) {
  SessionHead empty;
  empty.create_time = absl::InfinitePast();
  empty.expire_time = absl::InfiniteFuture();
  empty.ttl = absl::InfiniteDuration();
  const auto head = DecodeHead(EncodeHead(empty));
  ASSERT_TRUE(head.ok()) << head.status();
  ExpectSameHead(*head, empty);
}

TEST(RecordCodec, ChunkRoundTripWithEveryCodec) {
  for (const std::string& codec : StateCodecRegistry().Names()) {
    const TestDecoder decoder(codec);
    const auto chunk = MakeChunk(decoder, 1, 4);
    const auto decoded = DecodeChunk(EncodeChunk(*chunk), decoder);
    ASSERT_TRUE(decoded.ok()) << codec << ": " << decoded.status();
    ExpectSameChunk(**decoded, *chunk);
    EXPECT_EQ((*decoded)->encoded->charge, nullptr);
  }
}

TEST(RecordCodec, ChunkOfTokenIdsWithoutStateRoundTrip) {
  ChunkRecord chunk;
  chunk.place = {.begin = 7, .end = 9, .window_begin = 5, .window_end = 9};
  chunk.ids = {101, -5};
  chunk.encoded = std::make_shared<EncodedChunk>();
  const auto decoded = DecodeChunk(EncodeChunk(chunk), TestDecoder());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ExpectSameChunk(**decoded, chunk);
}

TEST(RecordCodec, DamagedHeadIsRefused) {
  ExpectDamageIsRefused(EncodeHead(FullHead()), StatusOfHead);
}

TEST(RecordCodec, DamagedChunkIsRefused) {
  ExpectDamageIsRefused(EncodeChunk(*MakeChunk(TestDecoder(), 1)),
                        StatusOfChunk);
}

TEST(RecordCodec, KindsAreNotMistaken) {
  EXPECT_EQ(ReasonOf(StatusOfChunk(EncodeHead(FullHead()))), "STORE_CORRUPT");
  EXPECT_EQ(ReasonOf(StatusOfHead(EncodeChunk(*MakeChunk(TestDecoder(), 1)))),
            "STORE_CORRUPT");
}

// A record can have a right checksum and wrong content: who can write to the
// store can write that.
TEST(RecordCodec, ForgedBodiesAreRefused) {
  const std::string head = EncodeHead(FullHead());
  const std::string chunk = EncodeChunk(*MakeChunk(TestDecoder(), 1));
  for (const auto& [kind, record, decode] :
       {std::tuple(RecordKind::kHead, head, &StatusOfHead),
        std::tuple(RecordKind::kChunk, chunk, &StatusOfChunk)}) {
    const uint16_t version = RecordFormatVersion(kind);
    int refused = 0;
    for (size_t i = 20; i + 16 <= record.size(); ++i) {
      std::string forged = record;
      std::memset(&forged[i], 0xff, 8);  // lengths become huge
      forged = AsVersion(forged, version, version, "");
      const absl::Status status = decode(forged);
      if (status.ok()) continue;
      ++refused;
      EXPECT_EQ(ReasonOf(status), "STORE_CORRUPT") << "at " << i;
    }
    EXPECT_GT(refused, 20);
    EXPECT_EQ(ReasonOf(decode(AsVersion(record, version, version, "x"))),
              "STORE_CORRUPT");
  }
}

// Names of options that there are not, and one that is there twice.
TEST(RecordCodec, MechanismOptionsHaveTheirNames) {
  SessionHead head;
  head.options.mechanism_options.stride_tokens = 5;
  head.options.mechanism_options.window_tokens = 6;
  const std::string record = EncodeHead(head);
  constexpr uint16_t kVersion = RecordFormatVersion(RecordKind::kHead);
  const auto with_name = [&](const std::string& name) {
    std::string forged = record;
    const size_t place = forged.find("stride_tokens");
    forged.replace(place, name.size(), name);
    return ReasonOf(DecodeHead(AsVersion(forged, kVersion, kVersion, "")));
  };
  EXPECT_EQ(with_name("stride_tokens"), "OK");
  EXPECT_EQ(with_name("Stride_tokens"), "STORE_CORRUPT");
  EXPECT_EQ(with_name("shrimp_tokens"), "FORMAT_TOO_NEW");
  std::string twice = record;
  twice.replace(twice.find("stride_tokens") - 8, 8 + 13,
                twice.substr(twice.find("window_tokens") - 8, 8 + 13));
  EXPECT_EQ(ReasonOf(DecodeHead(AsVersion(twice, kVersion, kVersion, ""))),
            "STORE_CORRUPT");
}

TEST(RecordCodec, ForgedStateIsTheDecodersToRefuse) {
  const std::string chunk = EncodeChunk(*MakeChunk(TestDecoder(), 1));
  EXPECT_EQ(ReasonOf(DecodeChunk(chunk, TestDecoder("f32", 5))),
            "STATE_CORRUPT");
}

TEST(RecordCodec, NewerVersions) {
  constexpr uint16_t kVersion = RecordFormatVersion(RecordKind::kHead);
  const std::string record = EncodeHead(FullHead());
  // Fields that this version does not know, behind those that it knows.
  const auto newer =
      DecodeHead(AsVersion(record, kVersion + 1, kVersion, "more"));
  ASSERT_TRUE(newer.ok()) << newer.status();
  ExpectSameHead(*newer, FullHead());
  EXPECT_EQ(
      ReasonOf(DecodeHead(AsVersion(record, kVersion + 1, kVersion + 1, ""))),
      "FORMAT_TOO_NEW");
}

// LONGHAND_WRITE_GOLDEN=1 writes a file that is not there yet: a new version
// gets a new name.
std::string Golden(const std::string& name, const std::string& record) {
  const std::string path = std::string(LONGHAND_GOLDEN_DIR) + "/" + name;
  if (std::getenv("LONGHAND_WRITE_GOLDEN") != nullptr &&
      !std::filesystem::exists(path)) {
    testing::WriteAll(path, record);
  }
  return testing::ReadAll(path);
}

// What version 1 wrote, which did not know the options of mechanisms.
TEST(RecordCodec, GoldenHeadOfVersion1) {
  const auto head = DecodeHead(testing::ReadAll(
      std::string(LONGHAND_GOLDEN_DIR) + "/session_head_v1.bin"));
  ASSERT_TRUE(head.ok()) << head.status();
  SessionHead expected = FullHead();
  expected.options.mechanism_options = DefaultMechanismOptions();
  expected.options.global_tokens.clear();
  ExpectSameHead(*head, expected);
}

TEST(RecordCodec, GoldenHead) {
  const std::string record = EncodeHead(FullHead());
  const std::string golden = Golden("session_head_v2.bin", record);
  EXPECT_EQ(record, golden);
  const auto head = DecodeHead(golden);
  ASSERT_TRUE(head.ok()) << head.status();
  ExpectSameHead(*head, FullHead());
}

TEST(RecordCodec, GoldenChunk) {
  // Numbers that no library's random distribution had a part in.
  const TestDecoder decoder;
  const size_t bytes = decoder.MakeState(0)->bytes().size();
  std::string state(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) state[i] = char(i % 64);
  ChunkRecord chunk = *MakeChunk(decoder, 1, 2);
  auto encoded = std::make_shared<EncodedChunk>(*chunk.encoded);
  encoded->state = *decoder.DecodeState(3, state);
  chunk.encoded = encoded;

  const std::string record = EncodeChunk(chunk);
  const std::string golden = Golden("session_chunk_v1.bin", record);
  EXPECT_EQ(record, golden);
  const auto decoded = DecodeChunk(golden, decoder);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ExpectSameChunk(**decoded, chunk);
}

}  // namespace
}  // namespace longhand
