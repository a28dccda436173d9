// HookedStore: a SessionStore that lets a test in before or after some
// operations of another store. For tests of one thread.
#ifndef LONGHAND_TESTS_CORE_SESSION_HOOKED_STORE_H_
#define LONGHAND_TESTS_CORE_SESSION_HOOKED_STORE_H_

#include <functional>
#include <string>
#include <vector>

#include "core/base/status_macros.h"
#include "core/store/session_store.h"

namespace longhand::testing {

class HookedStore final : public SessionStore {
 public:
  // `store` must outlive it.
  explicit HookedStore(SessionStore* store)
      : HookedStore(store, store->durability()) {}
  // Claims to have that durability.
  HookedStore(SessionStore* store, Durability durability)
      : store_(store), durability_(durability) {}

  // Run before the operation, if set; an error becomes its result.
  std::function<absl::Status()> on_create, on_read_chunks, on_list;
  // Run after it.
  std::function<void()> after_delete;
  std::function<void(Lease&)> after_acquire;  // if it was

  std::string_view name() const override { return store_->name(); }
  Durability durability() const override { return durability_; }

  absl::StatusOr<Lease> Create(const SessionKey& key, const SessionHead& head,
                               const LeaseRequest& request) override {
    if (on_create) LH_RETURN_IF_ERROR(on_create());
    return store_->Create(key, head, request);
  }
  absl::StatusOr<Lease> Acquire(const SessionKey& key,
                                const LeaseRequest& request) override {
    absl::StatusOr<Lease> lease = store_->Acquire(key, request);
    if (lease.ok() && after_acquire) after_acquire(*lease);
    return lease;
  }
  absl::Status Renew(const SessionKey& key, uint64_t generation,
                     const LeaseRequest& request) override {
    return store_->Renew(key, generation, request);
  }
  absl::Status Release(const SessionKey& key, uint64_t generation) override {
    return store_->Release(key, generation);
  }
  absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>> ReadChunks(
      const SessionKey& key, uint64_t begin, uint64_t end,
      const StateDecoder& decoder) override {
    if (on_read_chunks) LH_RETURN_IF_ERROR(on_read_chunks());
    return store_->ReadChunks(key, begin, end, decoder);
  }
  absl::Status Commit(const SessionKey& key,
                      const SessionCommit& commit) override {
    return store_->Commit(key, commit);
  }
  absl::Status Delete(const SessionKey& key, uint64_t generation) override {
    absl::Status status = store_->Delete(key, generation);
    if (after_delete) after_delete();
    return status;
  }
  absl::StatusOr<std::vector<StoredSession>> List(const std::string& tenant,
                                                  const SessionId* after,
                                                  size_t limit) override {
    if (on_list) LH_RETURN_IF_ERROR(on_list());
    return store_->List(tenant, after, limit);
  }
  absl::StatusOr<StoredSession> ReadHead(const SessionKey& key) override {
    return store_->ReadHead(key);
  }
  absl::StatusOr<std::vector<SessionKey>> ListExpired(absl::Time time,
                                                      size_t limit) override {
    return store_->ListExpired(time, limit);
  }
  absl::Status CheckHealth() override { return store_->CheckHealth(); }
  SessionStoreStats stats() const override { return store_->stats(); }

 private:
  SessionStore* const store_;
  const Durability durability_;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_HOOKED_STORE_H_
