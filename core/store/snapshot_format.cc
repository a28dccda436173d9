#include "core/store/snapshot_format.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <xxhash.h>

#include <cstring>

#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/store/byte_codec.h"

namespace longhand {

std::array<uint8_t, 32> TenantDigest(std::string_view tenant) {
  Sha256 hash;
  hash.Update(tenant);
  return hash.Digest();
}

void HmacSha256::Free::operator()(evp_mac_ctx_st* context) const {
  EVP_MAC_CTX_free(context);
}

HmacSha256::HmacSha256(std::string_view key) {
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  LH_CHECK(mac != nullptr);
  context_.reset(EVP_MAC_CTX_new(mac));
  EVP_MAC_free(mac);
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  LH_CHECK(context_ != nullptr &&
           EVP_MAC_init(context_.get(),
                        reinterpret_cast<const unsigned char*>(key.data()),
                        key.size(), parameters) == 1);
}

HmacSha256::~HmacSha256() = default;

void HmacSha256::Update(std::string_view bytes) {
  LH_CHECK(EVP_MAC_update(context_.get(),
                          reinterpret_cast<const unsigned char*>(bytes.data()),
                          bytes.size()) == 1);
}

std::array<uint8_t, 32> HmacSha256::Finish() {
  std::array<uint8_t, 32> digest;
  size_t size = 0;
  LH_CHECK(EVP_MAC_final(context_.get(), digest.data(), &size, digest.size()) ==
               1 &&
           size == digest.size());
  return digest;
}

void StreamChecksum::Free::operator()(XXH3_state_s* state) const {
  XXH3_freeState(state);
}

StreamChecksum::StreamChecksum() : state_(XXH3_createState()) {
  LH_CHECK(state_ != nullptr && XXH3_128bits_reset(state_.get()) == XXH_OK);
}

StreamChecksum::~StreamChecksum() = default;

void StreamChecksum::Update(std::string_view bytes) {
  LH_CHECK(XXH3_128bits_update(state_.get(), bytes.data(), bytes.size()) ==
           XXH_OK);
}

std::array<uint8_t, 16> StreamChecksum::Digest() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
  std::array<uint8_t, 16> digest;
  static_assert(sizeof(canonical.digest) == sizeof(digest));
  std::memcpy(digest.data(), canonical.digest, sizeof(digest));
  return digest;
}

SnapshotSums::SnapshotSums(std::string_view tenant, std::string_view key) {
  if (key.empty()) return;
  signature_ = std::make_unique<HmacSha256>(key);
  ByteWriter prefix;
  prefix.Blob(tenant);
  signature_->Update(prefix.bytes());
}

void SnapshotSums::Update(std::string_view bytes) {
  checksum_.Update(bytes);
  if (signature_ != nullptr) signature_->Update(bytes);
}

std::array<uint8_t, 32> SnapshotSums::Sign() {
  return signature_ == nullptr ? std::array<uint8_t, 32>{}
                               : signature_->Finish();
}

std::array<uint8_t, 16> SnapshotSums::ChecksumWith(std::string_view signature) {
  checksum_.Update(signature);
  return checksum_.Digest();
}

}  // namespace longhand
