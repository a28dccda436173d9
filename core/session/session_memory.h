// SessionMemory: the budget that all sessions and the content cache share, and
// reservations from it that may outlive it (a store may keep chunks longer than
// the manager lives). Each is on a tenant's account; the tenants that hold any
// have equal shares of the budget, and so has one that asks for its first part.
// Thread-safe.
#ifndef LONGHAND_CORE_SESSION_SESSION_MEMORY_H_
#define LONGHAND_CORE_SESSION_SESSION_MEMORY_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/working_memory.h"

namespace longhand {

class SessionMemory {
  struct Account;
  struct Budget {
    explicit Budget(uint64_t limit_bytes) : memory(limit_bytes) {}

    WorkingMemory memory;
    // Accounts with more than nothing on them.
    std::atomic<int64_t> num_holders{0};
    absl::Mutex mutex;
    // By tenant; each removes itself.
    std::map<std::string, std::weak_ptr<Account>> accounts
        ABSL_GUARDED_BY(mutex);
  };
  // Of one tenant, while it has parts.
  struct Account {
    Account(std::shared_ptr<Budget> of, std::string name)
        : budget(std::move(of)), tenant(std::move(name)) {}
    ~Account() {
      absl::MutexLock lock(&budget->mutex);
      const auto found = budget->accounts.find(tenant);
      // It may have a successor by now.
      if (found != budget->accounts.end() && found->second.expired()) {
        budget->accounts.erase(found);
      }
    }
    void Add(int64_t bytes) {
      if (bytes == 0) return;
      const int64_t before = used_bytes.fetch_add(bytes);
      if (before == 0) ++budget->num_holders;
      if (before + bytes == 0) --budget->num_holders;
    }

    const std::shared_ptr<Budget> budget;
    const std::string tenant;
    std::atomic<int64_t> used_bytes{0};
  };

 public:
  // A part of the budget. One thread at a time.
  class Part {
   public:
    ~Part() { account_->Add(-int64_t(bytes())); }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

    // As MemoryReservation::Resize.
    bool Resize(uint64_t bytes) {
      const int64_t before = int64_t(reservation_.bytes());
      if (!reservation_.Resize(bytes)) return false;
      account_->Add(int64_t(bytes) - before);
      return true;
    }
    uint64_t bytes() const { return reservation_.bytes(); }
    const std::string& tenant() const { return account_->tenant; }

    // The reservation of a part whose size is final.
    static std::shared_ptr<const MemoryReservation> Seal(
        std::shared_ptr<Part> part) {
      const MemoryReservation* const reservation = &part->reservation_;
      return {std::move(part), reservation};
    }

   private:
    friend class SessionMemory;
    explicit Part(std::shared_ptr<Account> account)
        : account_(std::move(account)),
          reservation_(&account_->budget->memory) {}

    const std::shared_ptr<Account> account_;
    MemoryReservation reservation_;
  };

  explicit SessionMemory(uint64_t limit_bytes)
      : budget_(std::make_shared<Budget>(limit_bytes)) {}

  // Of 0 bytes.
  std::shared_ptr<Part> MakePart(const std::string& tenant) const {
    // What is not needed goes only after the lock, which it takes itself.
    const auto fresh = std::make_shared<Account>(budget_, tenant);
    std::shared_ptr<Account> account;
    {
      absl::MutexLock lock(&budget_->mutex);
      std::weak_ptr<Account>& slot = budget_->accounts[tenant];
      account = slot.lock();
      if (account == nullptr) slot = account = fresh;
    }
    return std::shared_ptr<Part>(new Part(std::move(account)));
  }

  uint64_t UsedBy(const std::string& tenant) const {
    const std::shared_ptr<Account> account = FindAccount(tenant);
    return account == nullptr ? 0 : uint64_t(account->used_bytes);
  }
  // What each tenant may hold for itself, as `tenant` sees it: one that holds
  // nothing yet has a share as well.
  uint64_t ShareFor(const std::string& tenant) const {
    const int64_t holders = budget_->num_holders + (UsedBy(tenant) == 0);
    return limit_bytes() / uint64_t(std::max<int64_t>(1, holders));
  }

  uint64_t used_bytes() const { return budget_->memory.used_bytes(); }
  uint64_t limit_bytes() const { return budget_->memory.limit_bytes(); }

 private:
  // Null if the tenant has no parts.
  std::shared_ptr<Account> FindAccount(const std::string& tenant) const {
    absl::MutexLock lock(&budget_->mutex);
    const auto found = budget_->accounts.find(tenant);
    return found == budget_->accounts.end() ? nullptr : found->second.lock();
  }

  const std::shared_ptr<Budget> budget_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_MEMORY_H_
