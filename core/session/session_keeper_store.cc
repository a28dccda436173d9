// Leases and writes.

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/session_keeper.h"

namespace longhand {
namespace {

using Stage = SessionEntry::Stage;

}  // namespace

absl::Status SessionKeeper::EnsureLease(SessionEntry& entry, Resident& resident,
                                        const StopCondition& stop) {
  {
    absl::MutexLock lock(&entry.mutex);
    LH_RETURN_IF_ERROR(resident.lost);
    if (!LeaseRanOut(resident)) return absl::OkStatus();
  }
  LH_RETURN_IF_ERROR(TakeTurn(entry, resident, stop));
  const absl::Cleanup end_turn = [&] { EndTurn(entry, resident); };
  return Reacquire(entry, resident);
}

absl::Status SessionKeeper::Flush(SessionEntry& entry, Resident& resident,
                                  const StopCondition& stop) {
  uint64_t version;
  {
    absl::MutexLock lock(&entry.mutex);
    version = resident.version;
  }
  while (true) {
    LH_RETURN_IF_ERROR(TakeTurn(entry, resident, stop));
    const absl::Cleanup end_turn = [&] { EndTurn(entry, resident); };
    bool done;
    {
      absl::MutexLock lock(&entry.mutex);
      done = resident.stored_version >= version;
    }
    absl::Status status = done ? absl::OkStatus() : WriteOnce(entry, resident);
    if (done || !status.ok()) return status;
  }
}

absl::Status SessionKeeper::TakeTurn(SessionEntry& entry, Resident& resident,
                                     const StopCondition& stop) {
  absl::MutexLock lock(&entry.mutex);
  LH_RETURN_IF_ERROR(environment_->WaitUntil(
      entry.mutex,
      absl::Condition(
          +[](Resident* r) { return !r->store_busy || !r->lost.ok(); },
          &resident),
      stop));
  LH_RETURN_IF_ERROR(resident.lost);
  resident.store_busy = true;
  return absl::OkStatus();
}

void SessionKeeper::EndTurn(SessionEntry& entry, Resident& resident) {
  absl::MutexLock lock(&entry.mutex);
  resident.store_busy = false;
}

bool SessionKeeper::LeaseRanOut(const Resident& resident) const {
  return resident.doubtful ||
         (is_shared_ && environment_->Now() >= resident.lease_end);
}

absl::Status SessionKeeper::Reacquire(SessionEntry& entry, Resident& resident) {
  const absl::Time lease_start = environment_->Now();
  environment_->Yield();
  absl::StatusOr<Lease> lease = store_->Acquire(entry.key, MakeLeaseRequest());
  if (!lease.ok()) {
    absl::Status trouble = StoreTrouble(lease.status());
    if (absl::IsAborted(trouble) || absl::IsNotFound(trouble)) {
      Drop(entry, resident, trouble);
    }
    return trouble;
  }
  return AdoptLease(entry, resident, *lease, lease_start);
}

absl::Status SessionKeeper::AdoptLease(SessionEntry& entry, Resident& resident,
                                       const Lease& lease,
                                       absl::Time lease_start) {
  {
    absl::MutexLock lock(&entry.mutex);
    LH_RETURN_IF_ERROR(resident.lost);
    const SessionHead& head = lease.head;
    const auto is = [&](uint64_t offset, const SessionDigest& digest) {
      return (head.state == SessionState::kOpen ||
              head.state == SessionState::kClosed) &&
             head.committed_offset == offset && head.digest == digest;
    };
    const auto unsettled = resident.unsettled;
    bool unchanged = true;
    if (unsettled != nullptr && is(unsettled->commit.head.committed_offset,
                                   unsettled->commit.head.digest)) {
      resident.Settle(*unsettled, survives_crash_);
    } else if (is(resident.stored_offset, resident.stored_digest)) {
      // A write of an older generation cannot arrive any more; one of this
      // generation can, and has to be tried again.
      if (lease.generation != resident.generation) resident.unsettled = nullptr;
    } else {
      unchanged = false;
    }
    if (unchanged) {
      resident.generation = std::max(resident.generation, lease.generation);
      resident.lease_start = lease_start;
      resident.lease_end = lease_start + options_.lease_duration;
      resident.doubtful = false;
      return absl::OkStatus();
    }
  }
  // Another replica changed it, or the store lost writes.
  ++counters_.fencing_rejected;
  Drop(entry, resident, StaleSessionError());
  store_->Release(entry.key, lease.generation).IgnoreError();
  return StaleSessionError();
}

absl::Status SessionKeeper::WriteOnce(SessionEntry& entry, Resident& resident) {
  bool ran_out;
  {
    absl::MutexLock lock(&entry.mutex);
    ran_out = LeaseRanOut(resident);
  }
  if (ran_out) LH_RETURN_IF_ERROR(Reacquire(entry, resident));
  std::shared_ptr<const SessionWrite> write;
  {
    absl::MutexLock lock(&entry.mutex);
    LH_RETURN_IF_ERROR(resident.lost);
    if (resident.unsettled == nullptr)
      resident.unsettled = resident.MakeWrite();
    write = resident.unsettled;
  }
  environment_->Yield();
  absl::Status written = store_->Commit(entry.key, write->commit);
  return FinishWrite(entry, resident, std::move(write), std::move(written));
}

absl::Status SessionKeeper::FinishWrite(
    SessionEntry& entry, Resident& resident,
    std::shared_ptr<const SessionWrite> write, absl::Status written) {
  if (written.ok()) {
    store_healthy_ = true;
    absl::MutexLock lock(&entry.mutex);
    LH_RETURN_IF_ERROR(resident.lost);
    resident.Settle(*write, survives_crash_);
    return absl::OkStatus();
  }
  if (absl::IsAborted(written)) {
    ++counters_.fencing_rejected;
    Drop(entry, resident, StaleSessionError());
    return StaleSessionError();
  }
  if (IsLostWrites(written)) {
    ++counters_.store_errors;
    Drop(entry, resident, StaleSessionError());
    // So that what is there now gets a generation of its own.
    store_->Release(entry.key, write->commit.generation).IgnoreError();
    return written;
  }
  ++counters_.store_errors;
  // A write that was refused for good is settled as little as one whose outcome
  // is unknown: it stays the next one to be tried.
  if (absl::IsDataLoss(written)) return written;
  store_healthy_ = false;
  return StoreDegradedError();
}

void SessionKeeper::Renew(SessionEntry& entry, Resident& resident) {
  uint64_t generation;
  const absl::Time lease_start = environment_->Now();
  {
    absl::MutexLock lock(&entry.mutex);
    if (!resident.lost.ok() || resident.store_busy) return;
    if (lease_start < resident.lease_start + options_.lease_duration / 3) {
      return;
    }
    resident.store_busy = true;
    generation = resident.generation;
  }
  const absl::Cleanup end_turn = [&] { EndTurn(entry, resident); };
  environment_->Yield();
  const absl::Status renewed =
      store_->Renew(entry.key, generation, MakeLeaseRequest());
  if (absl::IsAborted(renewed)) {
    bool unsettled;
    {
      absl::MutexLock lock(&entry.mutex);
      unsettled = resident.unsettled != nullptr;
    }
    // A write that arrived after all may have raised the generation.
    if (unsettled) {
      Reacquire(entry, resident).IgnoreError();
    } else {
      ++counters_.fencing_rejected;
      Drop(entry, resident, StaleSessionError());
    }
  } else if (renewed.ok()) {
    absl::MutexLock lock(&entry.mutex);
    resident.lease_start = lease_start;
    resident.lease_end = lease_start + options_.lease_duration;
  } else {
    StoreTrouble(renewed).IgnoreError();
  }
}

void SessionKeeper::Drop(SessionEntry& entry, Resident& resident,
                         absl::Status why) {
  absl::MutexLock lock(&entry.mutex);
  if (resident.lost.ok()) resident.lost = std::move(why);
  if (entry.resident.get() == &resident) {
    entry.resident = nullptr;
    if (entry.stage == Stage::kResident) entry.stage = Stage::kEmpty;
  }
}

absl::StatusOr<bool> SessionKeeper::Delete(const SessionKey& key,
                                           const StopCondition& stop) {
  Pin pin = table_.Use(key);
  SessionEntry& entry = pin.entry();
  while (true) {
    {
      absl::MutexLock lock(&entry.mutex);
      LH_RETURN_IF_ERROR(environment_->WaitUntil(
          entry.mutex,
          absl::Condition(
              +[](SessionEntry* e) { return e->stage != Stage::kMoving; },
              &entry),
          stop));
      pin.resident = entry.resident;
      if (pin.resident == nullptr) entry.stage = Stage::kMoving;
    }
    if (pin.resident == nullptr) break;
    const absl::Status status = DeleteResident(entry, *pin.resident, stop);
    absl::MutexLock lock(&entry.mutex);
    // Dropped for another reason: it may still be in the store.
    if (!status.ok() && absl::IsAborted(pin.resident->lost)) continue;
    LH_RETURN_IF_ERROR(status);
    return true;
  }
  const absl::Cleanup back = [&] { entry.EndMove(Stage::kEmpty); };
  environment_->Yield();
  absl::StatusOr<Lease> lease = store_->Acquire(key, MakeLeaseRequest());
  absl::Status deleted = lease.status();
  bool was_alive = false;
  if (lease.ok()) {
    was_alive = !IsGravestone(lease->head);
    deleted = store_->Delete(key, lease->generation);
  } else if (absl::IsDataLoss(deleted) && store_->Delete(key, 0).ok()) {
    // Nobody could use it any more, so nobody's generation counted.
    deleted = absl::OkStatus();
  }
  if (!deleted.ok()) return StoreTrouble(deleted);
  table_.ForgetRested(key);
  return was_alive;
}

// If it fails, the session stays as it is in memory, in doubt.
absl::Status SessionKeeper::DeleteResident(SessionEntry& entry,
                                           Resident& resident,
                                           const StopCondition& stop) {
  LH_RETURN_IF_ERROR(TakeTurn(entry, resident, stop));
  const absl::Cleanup end_turn = [&] { EndTurn(entry, resident); };
  absl::Status status = Reacquire(entry, resident);
  if (status.ok()) {
    uint64_t generation;
    {
      absl::MutexLock lock(&entry.mutex);
      generation = resident.generation;
    }
    environment_->Yield();
    status = store_->Delete(entry.key, generation);
    if (status.ok()) {
      Drop(entry, resident, SessionUnknownError());
    } else if (absl::IsAborted(status)) {
      Drop(entry, resident, StaleSessionError());
    } else {
      status = StoreTrouble(status);
      absl::MutexLock lock(&entry.mutex);
      resident.doubtful = true;
    }
  }
  return status;
}

absl::Status SessionKeeper::StoreTrouble(const absl::Status& status) {
  if (absl::IsNotFound(status)) return SessionUnknownError();
  if (absl::IsUnavailable(status)) {
    ++counters_.store_errors;
    store_healthy_ = false;
    return MakeError(absl::StatusCode::kUnavailable, "STORE_DEGRADED",
                     "the session store does not answer now; send the same "
                     "request again later");
  }
  if (absl::IsDataLoss(status)) ++counters_.checksum_failures;
  return status;
}

LeaseRequest SessionKeeper::MakeLeaseRequest() const {
  return {options_.owner, options_.lease_duration, environment_->Now()};
}

}  // namespace longhand
