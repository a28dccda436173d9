#include "core/store/lease_rules.h"

#include "core/base/check.h"
#include "core/store/store_errors.h"

namespace longhand {

absl::StatusOr<bool> TakeLease(const LeaseRequest& request,
                               LeaseHolder* holder) {
  const bool own = holder->owner == request.owner;
  if (!own && !holder->owner.empty() && request.now < holder->end) {
    return WrongReplicaError(holder->owner);
  }
  *holder = {request.owner, request.now + request.duration};
  return !own;
}

absl::Status RenewLease(uint64_t stored_generation, uint64_t generation,
                        const LeaseRequest& request, LeaseHolder* holder) {
  if (stored_generation != generation || holder->owner != request.owner) {
    return StaleGenerationError();
  }
  holder->end = request.now + request.duration;
  return absl::OkStatus();
}

absl::StatusOr<CommitDecision> DecideCommit(uint64_t generation,
                                            const SessionHead& stored,
                                            const SessionCommit& commit) {
  LH_CHECK(commit.first_chunk + commit.chunks.size() == commit.head.num_chunks);
  // A commit that fits is applied, even if it changes nothing: applying one
  // twice does no harm.
  if (generation == commit.generation &&
      stored.committed_offset == commit.expected_offset &&
      stored.num_chunks >= commit.first_chunk) {
    return CommitDecision::kApply;
  }
  if (generation == commit.new_generation &&
      stored.digest == commit.head.digest) {
    return CommitDecision::kApplied;
  }
  if (generation != commit.generation) return StaleGenerationError();
  return StoreLostWritesError();
}

}  // namespace longhand
