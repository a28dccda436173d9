#include "core/base/sha256.h"

#include <openssl/evp.h>

#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "core/base/check.h"

namespace longhand {
namespace {

absl::Span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  LH_CHECK(context_ != nullptr);
  LH_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::Update(absl::Span<const uint8_t> bytes) {
  LH_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

void Sha256::Update(std::string_view bytes) { Update(AsBytes(bytes)); }

void Sha256::UpdateField(absl::Span<const uint8_t> field) {
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) {
    length[i] = static_cast<uint8_t>(uint64_t{field.size()} >> (8 * i));
  }
  Update(absl::MakeConstSpan(length));
  Update(field);
}

void Sha256::UpdateField(std::string_view field) {
  UpdateField(AsBytes(field));
}

std::array<uint8_t, 32> Sha256::Digest() const {
  // Finalising a copy keeps this object usable.
  std::unique_ptr<evp_md_ctx_st, Free> copy(EVP_MD_CTX_new());
  LH_CHECK(copy != nullptr);
  LH_CHECK(EVP_MD_CTX_copy_ex(copy.get(), context_.get()) == 1);
  std::array<uint8_t, 32> digest;
  unsigned int length = 0;
  LH_CHECK(EVP_DigestFinal_ex(copy.get(), digest.data(), &length) == 1);
  LH_CHECK(length == digest.size());
  return digest;
}

std::string Sha256::HexDigest() const {
  const std::array<uint8_t, 32> digest = Digest();
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(digest.data()), digest.size()));
}

}  // namespace longhand
