// FaultyStore: a SessionStore that fails one of its operations, by its number,
// over another that does not. Claims to be
// shared. For tests of one thread.
#ifndef LONGHAND_TESTS_TESTING_FAULTY_STORE_H_
#define LONGHAND_TESTS_TESTING_FAULTY_STORE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/store/session_store.h"
#include "core/store/store_errors.h"

namespace longhand::testing {

enum class StoreFault {
  kRefused,     // UNAVAILABLE, and nothing was done
  kAnswerLost,  // done, but UNAVAILABLE
  kDown,        // UNAVAILABLE from then on, until Repair()
  kDamaged,     // the session that it is about reads as DATA_LOSS from then on
};

class FaultyStore final : public SessionStore {
 public:
  // `store` must outlive it.
  explicit FaultyStore(SessionStore* store) : store_(store) {}

  // The `n`-th operation from now on, from 1, fails.
  void FailOperation(int64_t n, StoreFault fault) {
    left_ = n;
    fault_ = fault;
    failed_ = down_ = false;
  }
  bool failed() const { return failed_; }
  // Ends kDown. An operation that is still to fail will.
  void Repair() { down_ = false; }
  // Nothing fails from now on but what is damaged.
  void StopFailing() {
    down_ = false;
    left_ = 0;
  }

  std::string_view name() const override { return "faulty"; }
  Durability durability() const override { return Durability::kShared; }

  absl::StatusOr<Lease> Create(const SessionKey& key, const SessionHead& head,
                               const LeaseRequest& request) override {
    return Do(&key, [&] { return store_->Create(key, head, request); });
  }
  absl::StatusOr<Lease> Acquire(const SessionKey& key,
                                const LeaseRequest& request) override {
    return Read(key, [&] { return store_->Acquire(key, request); });
  }
  absl::Status Renew(const SessionKey& key, uint64_t generation,
                     const LeaseRequest& request) override {
    return Do(&key, [&] { return store_->Renew(key, generation, request); });
  }
  absl::Status Release(const SessionKey& key, uint64_t generation) override {
    return Do(&key, [&] { return store_->Release(key, generation); });
  }
  absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>> ReadChunks(
      const SessionKey& key, uint64_t begin, uint64_t end,
      const StateDecoder& decoder) override {
    return Read(key,
                [&] { return store_->ReadChunks(key, begin, end, decoder); });
  }
  absl::Status Commit(const SessionKey& key,
                      const SessionCommit& commit) override {
    return Do(&key, [&] { return store_->Commit(key, commit); });
  }
  absl::Status Delete(const SessionKey& key, uint64_t generation) override {
    return Do(&key, [&] { return store_->Delete(key, generation); });
  }
  absl::StatusOr<std::vector<StoredSession>> List(const std::string& tenant,
                                                  const SessionId* after,
                                                  size_t limit) override {
    return Do(nullptr, [&] { return store_->List(tenant, after, limit); });
  }
  absl::StatusOr<StoredSession> ReadHead(const SessionKey& key) override {
    return Read(key, [&] { return store_->ReadHead(key); });
  }
  absl::StatusOr<std::vector<SessionKey>> ListExpired(absl::Time time,
                                                      size_t limit) override {
    return Do(nullptr, [&] { return store_->ListExpired(time, limit); });
  }
  absl::Status CheckHealth() override {
    return Do(nullptr, [&] { return store_->CheckHealth(); });
  }
  SessionStoreStats stats() const override { return store_->stats(); }

 private:
  static absl::Status Failed() {
    return StoreUnavailableError("the test's store failed");
  }

  // Runs `operation`, or fails it.
  template <typename Operation>
  auto Do(const SessionKey* key, Operation operation) -> decltype(operation()) {
    if (down_) return Failed();
    if (left_ == 0 || --left_ > 0) return operation();
    failed_ = true;
    switch (fault_) {
      case StoreFault::kRefused:
        return Failed();
      case StoreFault::kAnswerLost:
        static_cast<void>(operation());
        return Failed();
      case StoreFault::kDown:
        down_ = true;
        return Failed();
      case StoreFault::kDamaged:
        if (key != nullptr) damaged_.push_back(*key);
        return operation();
    }
    return Failed();
  }
  // The same for what looks at the session's bytes.
  template <typename Operation>
  auto Read(const SessionKey& key, Operation operation)
      -> decltype(operation()) {
    auto result = Do(&key, std::move(operation));
    for (const SessionKey& damaged : damaged_) {
      if (damaged == key && result.ok()) {
        return StoreCorruptError("a stored record is damaged");
      }
    }
    return result;
  }

  SessionStore* const store_;
  int64_t left_ = 0;  // until the one that fails; 0: none will
  StoreFault fault_ = StoreFault::kRefused;
  bool failed_ = false;
  bool down_ = false;
  std::vector<SessionKey> damaged_;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_TESTING_FAULTY_STORE_H_
