// Sha256: incremental SHA-256 for fingerprints. One thread at a time.
#ifndef LONGHAND_CORE_BASE_SHA256_H_
#define LONGHAND_CORE_BASE_SHA256_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/types/span.h"

struct evp_md_ctx_st;

namespace longhand {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::Span<const uint8_t> bytes);
  void Update(std::string_view bytes);

  // Hashes the length (8 bytes, little-endian), then the bytes, so that fields
  // cannot run into each other: ("ab", "c") and ("a", "bc") differ.
  void UpdateField(absl::Span<const uint8_t> field);
  void UpdateField(std::string_view field);

  // The hash of everything so far. More may be added afterwards.
  std::array<uint8_t, 32> Digest() const;
  // The same as 64 lower-case hexadecimal digits.
  std::string HexDigest() const;

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_SHA256_H_
