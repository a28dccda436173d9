#include "server/access_rules.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxNameBytes = 64;
constexpr size_t kHashDigits = 64;
constexpr int kMaxTenants = 10000;
constexpr double kMinWeight = 0.01;
constexpr double kMaxWeight = 1000;
constexpr double kMaxTokens = 1e15;

constexpr std::string_view kKeys[] = {
    "name",          "token_sha256",      "certificate",
    "weight",        "tokens_per_second", "burst_tokens",
    "max_documents", "max_sessions"};

absl::Status Invalid(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   message);
}

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// Upper case is refused too: TenantOf and sha256sum write lower case, and one
// hash should have one form.
bool IsHash(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return text.size() == kHashDigits &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

// Of a word that cannot be a token, or nothing.
std::string Named(std::string_view key) {
  const bool word =
      key.size() <= 24 && std::all_of(key.begin(), key.end(), [](char c) {
        return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '_';
      });
  return word ? absl::StrCat(" (", ToAbsl(key), ")") : "";
}

// What the readers of numbers quote in their errors may not be a token.
absl::Status CheckKeys(const Json& entry) {
  if (!entry.is_object()) return Invalid("must be an object");
  for (const auto& [key, value] : entry.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      return Invalid(absl::StrCat(
          "has a key that this version does not know", Named(key),
          "; the keys are name, token_sha256, certificate, weight, "
          "tokens_per_second, burst_tokens, max_documents and max_sessions"));
    }
    if (key != "name" && key != "token_sha256" && key != "certificate" &&
        !value.is_number()) {
      return Invalid(absl::StrCat(key, " must be a number"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TenantPolicy> PolicyFrom(const Json& entry,
                                        const TenantPolicy& defaults) {
  constexpr int kMaxInt = std::numeric_limits<int>::max();
  TenantPolicy policy;
  LH_ASSIGN_OR_RETURN(policy.weight, GetDouble(entry, "weight", kMinWeight,
                                               kMaxWeight, defaults.weight));
  LH_ASSIGN_OR_RETURN(policy.tokens_per_second,
                      GetDouble(entry, "tokens_per_second", 0, kMaxTokens,
                                defaults.tokens_per_second));
  LH_ASSIGN_OR_RETURN(
      policy.burst_tokens,
      GetDouble(entry, "burst_tokens", 0, kMaxTokens, defaults.burst_tokens));
  LH_ASSIGN_OR_RETURN(
      int64_t max_documents,
      GetInt(entry, "max_documents", 0, kMaxInt, defaults.max_documents));
  LH_ASSIGN_OR_RETURN(
      int64_t max_sessions,
      GetInt(entry, "max_sessions", 0, kMaxInt, defaults.max_sessions));
  policy.max_documents = static_cast<int>(max_documents);
  policy.max_sessions = static_cast<int>(max_sessions);
  return policy;
}

absl::StatusOr<std::vector<std::string>> TokenHashes(const Json& entry) {
  std::vector<std::string> hashes;
  const auto found = entry.find("token_sha256");
  if (found == entry.end()) return hashes;
  if (!found->is_array()) return Invalid("token_sha256 must be a list");
  for (const Json& hash : *found) {
    if (!IsHash(hash)) {
      return Invalid(
          "token_sha256 must hold SHA-256 hashes of 64 lower-case hexadecimal "
          "digits each, not tokens; make one with: printf %s \"$TOKEN\" | "
          "sha256sum");
    }
    hashes.push_back(hash.get<std::string>());
  }
  return hashes;
}

// "entry 3 (search)".
std::string EntryName(const Json& entry, int number) {
  std::string text = absl::StrCat("entry ", number);
  if (!entry.is_object()) return text;
  const auto name = entry.find("name");
  if (name == entry.end() || !name->is_string()) return text;
  const auto& value = name->get_ref<const std::string&>();
  return IsName(value) ? absl::StrCat(text, " (", value, ")") : text;
}

}  // namespace

std::string TokenTenant(std::string_view name) {
  Sha256 hash;
  hash.UpdateField("token tenant");
  hash.UpdateField(name);
  return hash.HexDigest();
}

absl::StatusOr<AccessRules> AccessRules::Parse(std::string_view text,
                                               std::string_view file,
                                               const TenantPolicy& defaults) {
  absl::StatusOr<Json> document = ParseJson(text, {.max_depth = 8});
  // The parser's message quotes what it stumbled over, which may be a token.
  if (!document.ok()) {
    std::string place;
    if (auto detail = GetErrorDetail(document.status()); detail.has_value()) {
      for (const auto& [key, value] : detail->metadata) {
        absl::StrAppend(&place, ", ", key, " ", value);
      }
    }
    return Invalid(absl::StrCat(ToAbsl(file), " is not valid JSON", place));
  }
  if (!document->is_object() || document->size() != 1 ||
      !document->contains("tenants") || !document->at("tenants").is_array()) {
    return Invalid(absl::StrCat(
        ToAbsl(file), " must be {\"tenants\": [...]} and nothing more"));
  }
  const Json& tenants = document->at("tenants");
  if (tenants.empty() || tenants.size() > kMaxTenants) {
    return Invalid(absl::StrCat(ToAbsl(file), " must hold 1 to ", kMaxTenants,
                                " tenants; without the file there is no "
                                "authentication by tokens"));
  }
  AccessRules rules;
  for (const Json& entry : tenants) {
    absl::Status status = rules.AddTenant(entry, defaults);
    if (!status.ok()) {
      return WithContext(
          status, "CONFIG_INVALID",
          absl::StrCat(ToAbsl(file), ", ",
                       EntryName(entry, rules.num_tenants_ + 1)));
    }
    ++rules.num_tenants_;
  }
  return rules;
}

absl::Status AccessRules::AddTenant(const Json& entry,
                                    const TenantPolicy& defaults) {
  LH_RETURN_IF_ERROR(CheckKeys(entry));
  const auto name = entry.find("name");
  if (name == entry.end() || !name->is_string() ||
      !IsName(name->get_ref<const std::string&>())) {
    return Invalid("name must be 1 to 64 of A-Z a-z 0-9 . _ -");
  }
  if (!names_.emplace(name->get<std::string>(), num_tenants_).second) {
    return Invalid("the name is given twice; put both entries together");
  }
  LH_ASSIGN_OR_RETURN(TenantPolicy policy, PolicyFrom(entry, defaults));
  LH_ASSIGN_OR_RETURN(std::vector<std::string> hashes, TokenHashes(entry));
  const bool has_certificate = entry.contains("certificate");
  if (has_certificate && !IsHash(entry.at("certificate"))) {
    return Invalid(
        "certificate must be the tenant of a client certificate, 64 lower-case "
        "hexadecimal digits");
  }
  if (hashes.empty() && !has_certificate) {
    return Invalid(
        "nobody can be this tenant; give token_sha256 or "
        "certificate, or remove the entry");
  }
  Caller caller;
  caller.policy = std::make_shared<const TenantPolicy>(policy);
  if (has_certificate) {
    caller.tenant = entry.at("certificate").get<std::string>();
    if (!by_certificate_.emplace(caller.tenant, caller).second) {
      return Invalid("another entry has this certificate already");
    }
  } else {
    caller.tenant = TokenTenant(name->get<std::string>());
  }
  for (const std::string& hex : hashes) {
    Hash hash;
    const std::string bytes = absl::HexStringToBytes(hex);
    std::copy(bytes.begin(), bytes.end(), hash.begin());
    if (!by_token_.emplace(hash, caller).second) {
      return Invalid(
          "one of token_sha256 is given twice in the file; a token "
          "names one tenant");
    }
  }
  return absl::OkStatus();
}

const Caller* AccessRules::FindToken(std::string_view token) const {
  Sha256 hash;
  hash.Update(token);
  const auto found = by_token_.find(hash.Digest());
  return found == by_token_.end() ? nullptr : &found->second;
}

const Caller* AccessRules::FindCertificate(std::string_view tenant) const {
  const auto found = by_certificate_.find(ToAbsl(tenant));
  return found == by_certificate_.end() ? nullptr : &found->second;
}

}  // namespace longhand
