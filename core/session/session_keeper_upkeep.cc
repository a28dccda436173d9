// Memory, and what has to be done from time to time.

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/session_keeper.h"

namespace longhand {
namespace {

using Stage = SessionEntry::Stage;

// Expired sessions that one Tick removes at most.
constexpr size_t kMaxExpiredPerTick = 1000;

}  // namespace

absl::Status SessionKeeper::Grow(SessionMemory::Part& part, uint64_t bytes,
                                 uint64_t session_bytes) {
  const uint64_t limit = memory_.limit_bytes();
  if (session_bytes > limit) {
    return MakeError(absl::StatusCode::kResourceExhausted, "SESSION_TOO_LARGE",
                     "the session alone would take more memory than the server "
                     "has for all; use a smaller state_codec or fewer "
                     "retrieval_layers, or ask the operator for more",
                     {{"limit_bytes", absl::StrCat(limit)}});
  }
  while (!part.Resize(bytes)) {
    if (MakeRoom(part.tenant(), bytes - part.bytes())) continue;
    return MakeError(absl::StatusCode::kUnavailable, "OVERLOADED",
                     "sessions in use, and what other tenants have a right to, "
                     "hold all the memory; try again later with the same "
                     "append_id",
                     {{"limit_bytes", absl::StrCat(limit)}});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const MemoryReservation>> SessionKeeper::Reserve(
    const std::string& tenant, uint64_t bytes, uint64_t session_bytes) {
  std::shared_ptr<SessionMemory::Part> part = memory_.MakePart(tenant);
  LH_RETURN_IF_ERROR(Grow(*part, bytes, session_bytes));
  return SessionMemory::Part::Seal(std::move(part));
}

bool SessionKeeper::MakeRoom(const std::string& tenant, uint64_t bytes) {
  if (cache_.Shrink(bytes) > 0) return true;
  const uint64_t share = memory_.ShareFor(tenant);
  const auto may_go = [&](const SessionKey& key) {
    return key.tenant == tenant || memory_.UsedBy(key.tenant) > share;
  };
  if (EvictRested(may_go)) return true;
  for (const SessionKey& key : table_.Keys()) {
    if (!may_go(key)) continue;
    Pin pin = table_.Visit(key);
    if (pin.entry().users > 0 || !Release(pin.entry())) continue;
    pin = Pin();
    // A store in this process's memory keeps the chunks, and with them the
    // memory.
    if (survives_crash_ || EvictRested(may_go)) return true;
  }
  return false;
}

bool SessionKeeper::EvictRested(
    absl::FunctionRef<bool(const SessionKey&)> may_go) {
  std::set<SessionKey> failed;
  const auto may_try = [&](const SessionKey& key) {
    return !failed.contains(key) && may_go(key);
  };
  while (const std::optional<SessionKey> key = table_.FindRested(may_try)) {
    bool evicted = false;
    WhileAway(*key, [&] { evicted = Bury(*key, SessionState::kEvicted).ok(); });
    if (evicted) return true;
    // On its way in or out by another call.
    failed.insert(*key);
  }
  return false;
}

bool SessionKeeper::Release(SessionEntry& entry) {
  // Made now: where it is needed nothing may fail any more.
  absl::Status why = StaleSessionError();
  std::shared_ptr<Resident> resident;
  bool write;
  {
    absl::MutexLock lock(&entry.mutex);
    if (entry.stage != Stage::kResident || entry.users > 0) return false;
    resident = entry.resident;
    // Idle: nobody writes, renews or flushes it, and nobody can begin to.
    if (resident->store_busy || resident->writer) return false;
    entry.stage = Stage::kMoving;
    if (resident->expire_time() > resident->stored_expire_time &&
        !resident->dirty()) {
      ++resident->version;
    }
    write = resident->dirty();
  }
  absl::Cleanup back = [&] {
    table_.ForgetRested(entry.key);
    entry.EndMove(Stage::kResident);
  };
  absl::Status status;
  if (write) status = Flush(entry, *resident, StopCondition());
  if (status.ok()) {
    if (!survives_crash_) table_.NoteRested(entry.key, resident->own_bytes);
    environment_->Yield();
    // If this fails, the lease ends by itself.
    store_->Release(entry.key, resident->generation).IgnoreError();
  }
  std::move(back).Cancel();
  absl::MutexLock lock(&entry.mutex);
  const bool gone = status.ok() || !resident->lost.ok();
  if (gone) {
    if (resident->lost.ok()) resident->lost = std::move(why);
    entry.resident = nullptr;
    ++counters_.evictions;
  }
  entry.stage = gone ? Stage::kEmpty : Stage::kResident;
  return gone;
}

absl::Status SessionKeeper::Bury(const SessionKey& key, SessionState state) {
  absl::Status status = PutGravestone(key, state);
  if (status.ok()) table_.ForgetRested(key);
  return status;
}

absl::Status SessionKeeper::PutGravestone(const SessionKey& key,
                                          SessionState state) {
  environment_->Yield();
  absl::StatusOr<Lease> lease = store_->Acquire(key, MakeLeaseRequest());
  if (!lease.ok()) {
    return absl::IsNotFound(lease.status()) ? absl::OkStatus()
                                            : StoreTrouble(lease.status());
  }
  const absl::Time now = environment_->Now();
  const SessionHead& head = lease->head;
  const bool is_buried = IsGravestone(head);
  if (is_buried && head.expire_time <= now) {
    return store_->Delete(key, lease->generation);
  }
  absl::Status status;
  bool written = false;
  if (!is_buried && state == SessionState::kExpired && now < head.expire_time) {
    // It was used elsewhere since it was found to be due.
    status = StaleSessionError();
  } else if (!is_buried) {
    SessionCommit commit;
    commit.generation = lease->generation;
    // So that no write from before can come late and undo it.
    commit.new_generation = lease->generation + 1;
    commit.expected_offset = head.committed_offset;
    commit.head.state = state;
    commit.head.options = head.options;
    commit.head.create_time = head.create_time;
    commit.head.ttl = options_.gravestone_ttl;
    commit.head.expire_time = now + options_.gravestone_ttl;
    status = store_->Commit(key, commit);
    written = status.ok();
    if (written) {
      ++(state == SessionState::kExpired ? counters_.expired
                                         : counters_.evictions);
    } else {
      status = StoreTrouble(status);
    }
  }
  const uint64_t generation = lease->generation + (written ? 1 : 0);
  store_->Release(key, generation).IgnoreError();
  return status;
}

bool SessionKeeper::WhileAway(const SessionKey& key,
                              absl::FunctionRef<void()> work) {
  Pin pin = table_.Visit(key);
  SessionEntry& entry = pin.entry();
  {
    absl::MutexLock lock(&entry.mutex);
    if (entry.stage != Stage::kEmpty) return false;
    entry.stage = Stage::kMoving;
  }
  const absl::Cleanup back = [&] { entry.EndMove(Stage::kEmpty); };
  work();
  return true;
}

void SessionKeeper::Tick() {
  if (!store_healthy_) store_healthy_ = store_->CheckHealth().ok();
  for (const SessionKey& key : table_.Keys()) Visit(table_.Visit(key));
  environment_->Yield();
  const auto expired =
      store_->ListExpired(environment_->Now(), kMaxExpiredPerTick);
  if (!expired.ok()) {
    StoreTrouble(expired.status()).IgnoreError();
    return;
  }
  for (const SessionKey& key : *expired) {
    WhileAway(key, [&] { Bury(key, SessionState::kExpired).IgnoreError(); });
  }
}

void SessionKeeper::Visit(Pin pin) {
  SessionEntry& entry = pin.entry();
  std::shared_ptr<Resident> resident;
  const absl::Time now = environment_->Now();
  bool expired, idle, flush;
  {
    absl::MutexLock lock(&entry.mutex);
    if (entry.stage != Stage::kResident) return;
    resident = entry.resident;
    const bool unused = entry.users == 0 && !resident->store_busy;
    expired = unused && now >= resident->expire_time();
    idle = unused && now >= resident->last_use + options_.idle_release;
    // Uses move the end of a session without a write each; half of its time is
    // always on record.
    const bool moved = resident->expire_time() - resident->stored_expire_time >
                       resident->ttl / 2;
    if (moved && !resident->dirty()) {
      ++resident->version;
      resident->dirty_since = now - options_.write_behind;
    }
    flush =
        survives_crash_ && now >= resident->dirty_since + options_.write_behind;
    if (expired) {
      resident->lost = SessionExpiredError();
      entry.resident = nullptr;
      entry.stage = Stage::kEmpty;
    }
  }
  if (expired) {
    WhileAway(entry.key,
              [&] { Bury(entry.key, SessionState::kExpired).IgnoreError(); });
  } else if (idle) {
    Release(entry);
  } else {
    if (is_shared_) Renew(entry, *resident);
    if (flush) Flush(entry, *resident, StopCondition()).IgnoreError();
  }
}

absl::Status SessionKeeper::ReleaseAll(absl::Time deadline) {
  bool left = false;
  for (const SessionKey& key : table_.Keys()) {
    Pin pin = table_.Visit(key);
    {
      absl::MutexLock lock(&pin.entry().mutex);
      if (pin.entry().stage == Stage::kEmpty) continue;
    }
    if (environment_->Now() >= deadline || !Release(pin.entry())) left = true;
  }
  if (!left) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDeadlineExceeded, "DRAIN_INCOMPLETE",
                   "some sessions could not be brought to the store; what was "
                   "acknowledged as kept in memory only is lost with the "
                   "process");
}

}  // namespace longhand
