#include "server/tenant.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/sha256.h"

namespace longhand {
namespace {

constexpr char kNoCertificate[] = "default";

// Of the property's name and its values, in an order of their own. "" if all
// of them are empty, as a missing common name is.
std::string HashOf(std::string_view property,
                   const std::vector<grpc::string_ref>& values) {
  std::vector<std::string_view> sorted;
  for (const grpc::string_ref& value : values) {
    if (!value.empty()) sorted.emplace_back(value.data(), value.size());
  }
  if (sorted.empty()) return "";
  std::sort(sorted.begin(), sorted.end());
  Sha256 hash;
  hash.UpdateField(property);
  for (std::string_view value : sorted) hash.UpdateField(value);
  return hash.HexDigest();
}

}  // namespace

std::string TenantOf(const grpc::AuthContext& peer) {
  std::string tenant =
      HashOf(peer.GetPeerIdentityPropertyName(), peer.GetPeerIdentity());
  // A certificate without any name must not become everybody's tenant.
  if (tenant.empty()) {
    tenant = HashOf(GRPC_X509_PEM_CERT_PROPERTY_NAME,
                    peer.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME));
  }
  return tenant.empty() ? kNoCertificate : tenant;
}

std::string TenantOf(const grpc::ServerContextBase& call) {
  const std::shared_ptr<const grpc::AuthContext> peer = call.auth_context();
  return peer == nullptr ? kNoCertificate : TenantOf(*peer);
}

}  // namespace longhand
