// SessionQuota: how many sessions each tenant has, so that none gets more than
// its limit. The store knows; what is counted there holds for a while, and what
// is created and removed meanwhile is added to it. Where both overlap, a
// session may be counted twice for that while, but never left out. Thread-safe;
// a count blocks on the store.
#ifndef LONGHAND_CORE_SESSION_SESSION_QUOTA_H_
#define LONGHAND_CORE_SESSION_SESSION_QUOTA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/session/session_manager.h"

namespace longhand {

class SessionQuota {
 public:
  // A place for a session that is being created. Given back at the end, unless
  // the session was stored. Move-only; the quota outlives it.
  class Place {
   public:
    Place(Place&& other) noexcept
        : quota_(std::exchange(other.quota_, nullptr)),
          tenant_(std::move(other.tenant_)),
          is_stored_(other.is_stored_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (quota_ != nullptr) quota_->EndPlace(tenant_, is_stored_);
    }

    void NoteStored() { is_stored_ = true; }

   private:
    friend class SessionQuota;
    Place(SessionQuota* quota, std::string tenant)
        : quota_(quota), tenant_(std::move(tenant)) {}

    SessionQuota* quota_;
    std::string tenant_;
    bool is_stored_ = false;
  };

  // The environment outlives the quota.
  explicit SessionQuota(SessionEnvironment* environment)
      : environment_(environment) {}

  // RESOURCE_EXHAUSTED (TENANT_QUOTA); what `count_stored`, the number of the
  // tenant's sessions in the store, gives; what the call's end gives.
  absl::StatusOr<Place> Take(
      const SessionCall& call, int limit,
      absl::FunctionRef<absl::StatusOr<int>()> count_stored);

  // Which count of the tenant's sessions holds: to be asked for before a
  // session is removed.
  uint64_t CountNumber(const std::string& tenant) const;
  // A session was removed. A count that began or ended since `count_number` was
  // asked for may have seen that.
  void NoteRemoved(const std::string& tenant, uint64_t count_number);

 private:
  struct Tenant {
    // Sessions in the store, at least; known once they were counted.
    int stored = 0;
    std::optional<absl::Time> counted;
    // Places of sessions that may be in the store, and may not.
    int pending = 0;
    bool counting = false;
    // Of `pending` and stored since the count began, which may have missed it.
    int stored_meanwhile = 0;
    // Another one whenever a count begins or ends.
    uint64_t count_number = 0;
  };

  bool IsCounting(const std::string& tenant) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndPlace(const std::string& tenant, bool is_stored);
  absl::Status Count(const std::string& tenant,
                     absl::FunctionRef<absl::StatusOr<int>()> count_stored);
  // Forgets a tenant that has nothing.
  void Tidy(std::map<std::string, Tenant>::iterator place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SessionEnvironment* const environment_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Tenant> tenants_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_QUOTA_H_
