#include "core/session/session_quota.h"

#include "absl/cleanup/cleanup.h"
#include "core/base/status_macros.h"
#include "core/session/append_protocol.h"

namespace longhand {
namespace {

// How long a full tenant's sessions are not counted again.
constexpr absl::Duration kCountAge = absl::Seconds(5);

}  // namespace

absl::StatusOr<SessionQuota::Place> SessionQuota::Take(
    const SessionCall& call, int limit,
    absl::FunctionRef<absl::StatusOr<int>()> count_stored) {
  const auto is_counted = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !IsCounting(call.tenant);
  };
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      // One count at a time; nothing is pending during the first.
      LH_RETURN_IF_ERROR(environment_->WaitUntil(
          mutex_, absl::Condition(&is_counted), call.stop));
      Tenant& tenant = tenants_[call.tenant];
      if (tenant.counted && tenant.stored + tenant.pending < limit) {
        Place place(this, call.tenant);
        ++tenant.pending;
        return place;
      }
      // Full; but others may have removed some, or some expired.
      if (tenant.counted && environment_->Now() < *tenant.counted + kCountAge) {
        return QuotaError(limit);
      }
      tenant.counting = true;
      tenant.stored_meanwhile = 0;
      tenant.count_number = ++last_number_;
    }
    LH_RETURN_IF_ERROR(Count(call.tenant, count_stored));
  }
}

absl::Status SessionQuota::Count(
    const std::string& tenant,
    absl::FunctionRef<absl::StatusOr<int>()> count_stored) {
  std::optional<int> counted;
  const absl::Cleanup end = [&] {
    absl::MutexLock lock(&mutex_);
    const auto place = tenants_.find(tenant);
    Tenant& known = place->second;
    known.counting = false;
    known.count_number = ++last_number_;
    if (counted) {
      known.stored = *counted + known.stored_meanwhile;
      known.counted = environment_->Now();
    } else {
      Tidy(place);
    }
  };
  LH_ASSIGN_OR_RETURN(counted, count_stored());
  return absl::OkStatus();
}

void SessionQuota::EndPlace(const std::string& tenant, bool is_stored) {
  absl::MutexLock lock(&mutex_);
  const auto place = tenants_.find(tenant);
  Tenant& known = place->second;
  --known.pending;
  if (is_stored) {
    ++known.stored;
    ++known.stored_meanwhile;
  }
  Tidy(place);
}

uint64_t SessionQuota::CountNumber(const std::string& tenant) const {
  absl::MutexLock lock(&mutex_);
  const auto place = tenants_.find(tenant);
  return place == tenants_.end() ? 0 : place->second.count_number;
}

void SessionQuota::NoteRemoved(const std::string& tenant,
                               uint64_t count_number) {
  absl::MutexLock lock(&mutex_);
  const auto place = tenants_.find(tenant);
  if (place == tenants_.end()) return;
  Tenant& known = place->second;
  if (known.count_number != count_number || known.stored == 0) return;
  --known.stored;
  Tidy(place);
}

bool SessionQuota::IsCounting(const std::string& tenant) const {
  const auto place = tenants_.find(tenant);
  return place != tenants_.end() && place->second.counting;
}

void SessionQuota::Tidy(std::map<std::string, Tenant>::iterator place) {
  const Tenant& known = place->second;
  if (known.stored == 0 && known.pending == 0 && !known.counting) {
    tenants_.erase(place);
  }
}

}  // namespace longhand
