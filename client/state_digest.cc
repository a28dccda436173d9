#include "client/state_digest.h"

#include <openssl/sha.h>

#include <cstddef>
#include <cstdint>

namespace longhand::client {
namespace {

// Little-endian.
void AddInteger(uint64_t value, int bytes, std::string* to) {
  for (int i = 0; i < bytes; ++i) {
    to->push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  }
}

std::string Sha256(const std::string& data) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

}  // namespace

std::string DigestAfter(absl::string_view digest,
                        const v1::AppendSessionRequest& request) {
  if (digest.size() != SHA256_DIGEST_LENGTH) return "";
  std::string state(digest);
  if (!request.text().empty()) {
    state += 'T';
    AddInteger(request.text().size(), 8, &state);
    state = Sha256(state + request.text());
  } else if (request.token_ids().ids_size() > 0) {
    state += 'I';
    AddInteger(static_cast<uint64_t>(request.token_ids().ids_size()), 8,
               &state);
    for (const uint32_t id : request.token_ids().ids()) {
      AddInteger(id, 4, &state);
    }
    state = Sha256(state);
  }
  return request.close() ? Sha256(state + 'C') : state;
}

}  // namespace longhand::client
