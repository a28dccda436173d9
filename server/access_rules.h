// AccessRules: what the file of --auth-tokens says: who may call, and how much
// each may use. Immutable; thread-safe.
#ifndef LONGHAND_SERVER_ACCESS_RULES_H_
#define LONGHAND_SERVER_ACCESS_RULES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "server/tenant_policy.h"

namespace longhand {

// Who makes a call.
struct Caller {
  // 64 hexadecimal digits, or "default" where clients show nothing. Not a name
  // that an operator or a client chose.
  std::string tenant;
  std::shared_ptr<const TenantPolicy> policy;  // never null
};

class AccessRules {
 public:
  // Parses `text`; docs/tenants.md describes it. What an entry leaves out is
  // taken from `defaults`. INVALID_ARGUMENT (CONFIG_INVALID): the message names
  // `file` and the entry and holds nothing that was read but names.
  static absl::StatusOr<AccessRules> Parse(std::string_view text,
                                           std::string_view file,
                                           const TenantPolicy& defaults);

  // Null if nobody has this token. Looks up the token's hash, so that the time
  // says nothing about a secret.
  const Caller* FindToken(std::string_view token) const;

  // Null if no entry names the certificate whose TenantOf this is.
  const Caller* FindCertificate(std::string_view tenant) const;

  int num_tenants() const { return num_tenants_; }

 private:
  using Hash = std::array<uint8_t, 32>;

  absl::Status AddTenant(const nlohmann::json& entry,
                         const TenantPolicy& defaults);

  int num_tenants_ = 0;
  absl::flat_hash_map<Hash, Caller> by_token_;  // by the token's SHA-256
  absl::flat_hash_map<std::string, Caller> by_certificate_;
  absl::flat_hash_map<std::string, int> names_;  // to the entry's number
};

// The tenant behind the tokens of an entry that names no certificate. No
// certificate has the same one.
std::string TokenTenant(std::string_view name);

}  // namespace longhand

#endif  // LONGHAND_SERVER_ACCESS_RULES_H_
