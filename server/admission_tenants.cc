// What tenants have used, and what their documents teach.

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/check.h"
#include "server/admission.h"

namespace longhand {
namespace {

// Of the mean of bytes per token: how much one document counts.
constexpr double kBytesShare = 0.1;
// Documents of fewer tokens say little about bytes per token, and no document
// is to make the guess for all others absurd: languages differ by less.
constexpr uint64_t kTellingTokens = 64;
constexpr double kLeastBytesPerToken = 1;
constexpr double kMostBytesPerToken = 16;

bool LimitsTokens(const TenantPolicy* policy) {
  return policy != nullptr && policy->limits_tokens();
}

}  // namespace

void Admission::GiveUp(const Request& request, absl::Time now) {
  FindTenant(request, now).allowance += request.tokens;
  LeaveTenant(request.tenant, now);
}

Admission::Tenant& Admission::FindTenant(const Request& request,
                                         absl::Time now) {
  auto [found, is_new] = tenants_.try_emplace(request.tenant);
  Tenant& tenant = found->second;
  if (is_new) {
    tenant.since = now;
    if (LimitsTokens(request.policy.get())) {
      tenant.allowance = request.policy->burst();
    }
  }
  tenant.policy = request.policy;
  Refresh(tenant, now);
  return tenant;
}

void Admission::Refresh(Tenant& tenant, absl::Time now) {
  const absl::Duration passed = now - std::exchange(tenant.since, now);
  if (!LimitsTokens(tenant.policy.get())) {
    tenant.allowance = 0;
    return;
  }
  tenant.allowance =
      std::min(tenant.policy->burst(),
               tenant.allowance + absl::ToDoubleSeconds(passed) *
                                      tenant.policy->tokens_per_second);
}

void Admission::LeaveTenant(const std::string& name, absl::Time now) {
  auto found = tenants_.find(name);
  LH_CHECK(found != tenants_.end());
  --found->second.documents;
  if (tenants_.size() < sweep_at_) return;
  // Those who would begin as new ones do.
  for (auto at = tenants_.begin(); at != tenants_.end();) {
    Tenant& tenant = at->second;
    Refresh(tenant, now);
    const bool rested = !LimitsTokens(tenant.policy.get()) ||
                        tenant.allowance >= tenant.policy->burst();
    at = tenant.documents == 0 && rested ? tenants_.erase(at) : std::next(at);
  }
  sweep_at_ = std::max(kSweepAt, 2 * tenants_.size());
}

void Admission::LearnBytesPerToken(const Permit::Seen& seen) {
  if (seen.bytes == 0 || seen.received < kTellingTokens) return;
  const double found = std::clamp(double(seen.bytes) / double(seen.received),
                                  kLeastBytesPerToken, kMostBytesPerToken);
  bytes_per_token_ += kBytesShare * (found - bytes_per_token_);
}

}  // namespace longhand
