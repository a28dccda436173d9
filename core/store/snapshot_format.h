// The layout of snapshots, and the sums over them. Little-endian throughout;
// every part begins at a multiple of 64 bytes, zeros fill the gaps.
//
//   file header   magic "LHSNAP\r\n" | format_version u16 | min_reader u16
//                 | flags u32 (1: signed) | header length u32 (32)
//                 | SHA-256 of the tenant
//   section       type u32 (1 head, 2 chunk) | 0 u32 | length u64
//                 | XXH3-64 of the payload u64 | XXH3-64 of these 24 bytes u64
//                 | zeros up to 64 bytes, then the payload: a record of
//                 record_codec.h
//   ...           the head, then its chunks in order
//   end           a section header of type 3, length 64, checksum 0
//   footer        length of all u64 | HMAC-SHA256 (zeros if unsigned)
//                 | XXH3-128 of everything before, canonical | magic
//                 "\r\nPANSHL"
//
// The HMAC covers the length of the tenant u64, the tenant, and everything
// before the HMAC. Helpers for one thread each.
#ifndef LONGHAND_CORE_STORE_SNAPSHOT_FORMAT_H_
#define LONGHAND_CORE_STORE_SNAPSHOT_FORMAT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct evp_mac_ctx_st;
struct XXH3_state_s;

namespace longhand {

inline constexpr std::string_view kSnapshotMagic = "LHSNAP\r\n";
inline constexpr std::string_view kSnapshotEndMagic = "\r\nPANSHL";
inline constexpr uint16_t kSnapshotFormatVersion = 1;
inline constexpr uint16_t kSnapshotMinReader = 1;
inline constexpr uint32_t kSnapshotSigned = 1;
inline constexpr size_t kSnapshotAlignment = 64;
// Of the file header's first part, up to the header length.
inline constexpr size_t kSnapshotPreludeBytes = 20;
inline constexpr uint32_t kSnapshotMaxHeaderBytes = 64 << 10;
inline constexpr size_t kSectionHeaderBytes = 64;
// Of a section's header, what its own checksum covers.
inline constexpr size_t kSectionSummedBytes = 24;
inline constexpr size_t kFooterBytes = 64;
inline constexpr uint64_t kMaxSectionBytes = uint64_t{256} << 20;

enum class SnapshotSection : uint32_t { kHead = 1, kChunk = 2, kEnd = 3 };

constexpr uint64_t SnapshotPadded(uint64_t bytes) {
  return (bytes + kSnapshotAlignment - 1) / kSnapshotAlignment *
         kSnapshotAlignment;
}

std::array<uint8_t, 32> TenantDigest(std::string_view tenant);

// HMAC-SHA256 of a stream.
class HmacSha256 {
 public:
  explicit HmacSha256(std::string_view key);
  ~HmacSha256();

  void Update(std::string_view bytes);
  // Once, at the end.
  std::array<uint8_t, 32> Finish();

 private:
  struct Free {
    void operator()(evp_mac_ctx_st* context) const;
  };
  std::unique_ptr<evp_mac_ctx_st, Free> context_;
};

// XXH3-128 of a stream.
class StreamChecksum {
 public:
  StreamChecksum();
  ~StreamChecksum();

  void Update(std::string_view bytes);
  // Canonical, of everything so far.
  std::array<uint8_t, 16> Digest() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

// Both sums over one snapshot.
class SnapshotSums {
 public:
  // `key` "": no signature.
  SnapshotSums(std::string_view tenant, std::string_view key);

  void Update(std::string_view bytes);
  // Of everything so far; zeros without a key. Once.
  std::array<uint8_t, 32> Sign();
  // Of everything so far and the signature, which it alone covers. Once.
  std::array<uint8_t, 16> ChecksumWith(std::string_view signature);

 private:
  StreamChecksum checksum_;
  std::unique_ptr<HmacSha256> signature_;  // null without a key
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_SNAPSHOT_FORMAT_H_
