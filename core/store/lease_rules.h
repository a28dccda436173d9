// The rules of leases and commits for stores that decide in this process. (The
// redis store has the same rules in its scripts.) Pure functions; safe from any
// thread.
#ifndef LONGHAND_CORE_STORE_LEASE_RULES_H_
#define LONGHAND_CORE_STORE_LEASE_RULES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/store/session_store.h"

namespace longhand {

// Who has a session; nobody if `owner` is empty.
struct LeaseHolder {
  std::string owner;
  absl::Time end = absl::InfinitePast();
};

// Gives the lease to the asker. True if that takes a new generation: always,
// unless it is the asker's already. ABORTED (WRONG_REPLICA).
absl::StatusOr<bool> TakeLease(const LeaseRequest& request,
                               LeaseHolder* holder);

// ABORTED (STALE_GENERATION).
absl::Status RenewLease(uint64_t stored_generation, uint64_t generation,
                        const LeaseRequest& request, LeaseHolder* holder);

enum class CommitDecision {
  kApply,
  kApplied,  // by an earlier try whose answer was lost
};

// Of a session of `generation` with `stored` as its head. ABORTED
// (STALE_GENERATION); DATA_LOSS (STORE_LOST_WRITES).
// REQUIRES: commit.first_chunk + commit.chunks.size() ==
// commit.head.num_chunks.
absl::StatusOr<CommitDecision> DecideCommit(uint64_t generation,
                                            const SessionHead& stored,
                                            const SessionCommit& commit);

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_LEASE_RULES_H_
