#include "core/session/session_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace longhand {
namespace {

using Stage = SessionEntry::Stage;
using absl::StatusCode;

constexpr uint64_t kChunksPerRead = 16;
constexpr int kMaxLoads = 3;
constexpr int kMaxTakeOvers = 3;

bool HasReason(const absl::Status& status, std::string_view reason) {
  const auto detail = GetErrorDetail(status);
  return detail && detail->reason == reason;
}

std::string DifferingField(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  if (!detail) return "options";
  const auto field = detail->metadata.find("field");
  return field == detail->metadata.end() ? "options" : field->second;
}

SessionPlace PlaceOf(const SessionHead& head, uint64_t generation,
                     bool survives_crash) {
  return {head.committed_offset, survives_crash ? head.committed_offset : 0,
          head.digest, generation};
}

}  // namespace

bool IsLostWrites(const absl::Status& status) {
  return HasReason(status, "STORE_LOST_WRITES");
}

SessionKeeper::SessionKeeper(SessionModel* model, SessionStore* store,
                             SessionEnvironment* environment,
                             const SessionManagerOptions& options)
    : model_(model),
      store_(store),
      environment_(environment),
      options_(options),
      survives_crash_(store->durability() > Durability::kMemory),
      is_shared_(store->durability() >= Durability::kShared),
      memory_(options.max_memory_bytes),
      cache_(options.max_cache_bytes) {}

absl::StatusOr<SessionKeeper::Pin> SessionKeeper::Open(
    const SessionKey& key, const StopCondition& stop) {
  Pin pin = table_.Use(key);
  SessionEntry& entry = pin.entry();
  while (true) {
    LH_RETURN_IF_ERROR(environment_->CheckStop(stop));
    {
      absl::MutexLock lock(&entry.mutex);
      LH_RETURN_IF_ERROR(environment_->WaitUntil(
          entry.mutex,
          absl::Condition(
              +[](SessionEntry* e) { return e->stage != Stage::kMoving; },
              &entry),
          stop));
      if (entry.stage == Stage::kResident) {
        pin.resident = entry.resident;
      } else {
        pin.resident = nullptr;
        entry.stage = Stage::kMoving;
      }
    }
    if (pin.resident != nullptr) {
      bool again = false;
      LH_RETURN_IF_ERROR(CheckResident(pin, stop, &again));
      if (again) continue;
      return pin;
    }
    absl::Cleanup back = [&] { entry.EndMove(Stage::kEmpty); };
    LH_ASSIGN_OR_RETURN(std::shared_ptr<Resident> loaded, Load(key));
    table_.ForgetRested(key);
    std::move(back).Cancel();
    absl::MutexLock lock(&entry.mutex);
    entry.stage = Stage::kResident;
    entry.resident = std::move(loaded);
  }
}

absl::Status SessionKeeper::CheckResident(Pin& pin, const StopCondition& stop,
                                          bool* again) {
  SessionEntry& entry = pin.entry();
  Resident& resident = *pin.resident;
  {
    absl::MutexLock lock(&entry.mutex);
    const absl::Time now = environment_->Now();
    // Somebody else's call keeps it alive.
    if (now >= resident.expire_time() && entry.users == 1 &&
        !resident.store_busy && entry.resident == pin.resident) {
      // The store decides: another replica may have it by now.
      resident.lost = SessionExpiredError();
      entry.resident = nullptr;
      entry.stage = Stage::kEmpty;
      *again = true;
      return absl::OkStatus();
    }
    resident.last_use = std::max(resident.last_use, now);
  }
  absl::Status status = EnsureLease(entry, resident, stop);
  bool went_back;
  {
    absl::MutexLock lock(&entry.mutex);
    went_back = resident.went_back();
  }
  // The generation that tells of it must be there before anybody sees it.
  if (status.ok() && went_back) status = Flush(entry, resident, stop);
  if (HasReason(status, "STALE_GENERATION") || IsLostWrites(status)) {
    // Nothing of this call depended on what was in memory.
    *again = true;
    return absl::OkStatus();
  }
  return status;
}

absl::StatusOr<SessionInfo> SessionKeeper::Describe(const SessionKey& key,
                                                    const StopCondition& stop) {
  Pin pin = table_.Use(key);
  SessionEntry& entry = pin.entry();
  bool in_memory;
  {
    absl::MutexLock lock(&entry.mutex);
    in_memory = entry.stage != Stage::kEmpty;
    if (!in_memory) entry.stage = Stage::kMoving;
  }
  if (in_memory) {
    // Only one use of this call's counts, or the session could not expire.
    pin = Pin();
    LH_ASSIGN_OR_RETURN(pin, Open(key, stop));
    absl::MutexLock lock(&pin.entry().mutex);
    return MakeInfo(key, *pin.resident);
  }
  const absl::Cleanup back = [&] { entry.EndMove(Stage::kEmpty); };
  environment_->Yield();
  absl::StatusOr<StoredSession> stored = store_->ReadHead(key);
  if (!stored.ok()) return StoreTrouble(stored.status());
  LH_RETURN_IF_ERROR(CheckAlive(key, stored->head));
  if (!is_shared_) {
    return MakeInfo(key, stored->head, stored->generation,
                    store_->durability());
  }
  // Only who has the lease knows that nobody knows better.
  LH_ASSIGN_OR_RETURN(Lease lease, TakeOver(key, *stored));
  store_->Release(key, lease.generation).IgnoreError();
  return MakeInfo(key, lease.head, lease.generation, store_->durability());
}

std::optional<SessionInfo> SessionKeeper::Peek(const SessionKey& key) {
  Pin pin = table_.Visit(key);
  absl::MutexLock lock(&pin.entry().mutex);
  const auto& resident = pin.entry().resident;
  if (resident == nullptr) return std::nullopt;
  return MakeInfo(key, *resident);
}

absl::StatusOr<SessionKeeper::Pin> SessionKeeper::Add(
    const std::string& tenant, std::shared_ptr<Resident> resident) {
  SessionHead head;
  head.options = resident->encoder->options();
  head.fingerprint = resident->encoder->fingerprint();
  head.create_time = resident->create_time;
  head.expire_time = resident->expire_time();
  head.ttl = resident->ttl;
  head.parent = resident->parent;
  while (true) {
    SessionKey key{tenant, {}};
    environment_->RandomBytes(key.id.data(), key.id.size());
    // Command lines would take it for an option.
    if (FormatSessionId(key.id).front() == '-') continue;
    Pin pin = table_.Use(key);
    const absl::Time lease_start = environment_->Now();
    environment_->Yield();
    absl::StatusOr<Lease> lease = store_->Create(key, head, MakeLeaseRequest());
    if (absl::IsAlreadyExists(lease.status())) continue;
    if (!lease.ok()) return StoreTrouble(lease.status());

    resident->generation = lease->generation;
    resident->lease_start = lease_start;
    resident->lease_end = lease_start + options_.lease_duration;
    resident->stored_expire_time = head.expire_time;
    SessionEntry& entry = pin.entry();
    absl::MutexLock lock(&entry.mutex);
    entry.stage = Stage::kResident;
    entry.resident = resident;
    pin.resident = std::move(resident);
    return pin;
  }
}

absl::StatusOr<std::shared_ptr<Resident>> SessionKeeper::Load(
    const SessionKey& key) {
  for (int tries = 1;; ++tries) {
    environment_->Yield();
    // Without a lease first: who guesses ids shall not cause writes.
    absl::StatusOr<StoredSession> seen = store_->ReadHead(key);
    if (!seen.ok()) return StoreTrouble(seen.status());
    LH_RETURN_IF_ERROR(CheckAlive(key, seen->head));
    const absl::Time lease_start = environment_->Now();
    LH_ASSIGN_OR_RETURN(Lease lease, TakeOver(key, *seen));
    absl::StatusOr<std::shared_ptr<Resident>> resident =
        Restore(key, lease, lease_start);
    if (resident.ok()) {
      ++counters_.restores;
      return resident;
    }
    if (absl::IsDataLoss(resident.status()) && tries < kMaxLoads) {
      // The chunks may be those of another time: after a failover.
      seen = store_->ReadHead(key);
      if (!seen.ok()) return StoreTrouble(seen.status());
      if (seen->generation != lease.generation ||
          seen->head.digest != lease.head.digest) {
        continue;
      }
    }
    store_->Release(key, lease.generation).IgnoreError();
    return WithPlace(resident.status(),
                     PlaceOf(lease.head, lease.generation, survives_crash_));
  }
}

absl::Status SessionKeeper::CheckAlive(const SessionKey& key,
                                       const SessionHead& head) {
  // The store may have evicted it by itself.
  if (IsGravestone(head)) table_.ForgetRested(key);
  if (head.state == SessionState::kEvicted) return SessionEvictedError();
  if (head.state == SessionState::kExpired) return SessionExpiredError();
  if (environment_->Now() < head.expire_time) return absl::OkStatus();
  absl::Status buried = Bury(key, SessionState::kExpired);
  // Another replica may use it, and has not written the new time yet.
  if (is_shared_ && !buried.ok()) return buried;
  return SessionExpiredError();
}

// The lease, with a generation that was not there before. A store renews the
// lease of an owner it knows; but what this name had acknowledged in memory
// before a restart is gone, so offsets may go back. A failover may bring an
// older lease of this name back at any time.
absl::StatusOr<Lease> SessionKeeper::TakeOver(const SessionKey& key,
                                              const StoredSession& seen) {
  for (int tries = 1; tries <= kMaxTakeOvers; ++tries) {
    absl::StatusOr<Lease> lease = store_->Acquire(key, MakeLeaseRequest());
    if (!lease.ok()) return StoreTrouble(lease.status());
    if (!survives_crash_ || lease->generation > seen.generation) return lease;
    absl::Status released = store_->Release(key, lease->generation);
    if (!released.ok()) return StoreTrouble(released);
  }
  return StoreDegradedError();
}

absl::StatusOr<std::shared_ptr<Resident>> SessionKeeper::Restore(
    const SessionKey& key, const Lease& lease, absl::Time lease_start) {
  const SessionHead& head = lease.head;
  // It may have been buried since it was looked at.
  if (head.state == SessionState::kEvicted) return SessionEvictedError();
  if (head.state == SessionState::kExpired) return SessionExpiredError();
  LH_ASSIGN_OR_RETURN(auto encoder,
                      OpenEncoder(head.options, head.fingerprint));
  LH_ASSIGN_OR_RETURN(ChunkRecords chunks, ReadChunks(key, head, *encoder));
  auto document = SessionDocument::Restore(encoder, DocumentOptions(key.tenant),
                                           head, std::move(chunks));
  if (!document.ok()) {
    if (absl::IsDataLoss(document.status())) ++counters_.checksum_failures;
    return document.status();
  }

  auto resident = std::make_shared<Resident>();
  // The store's charge is the session's again.
  resident->own_bytes = table_.RestedBytes(key);
  if (resident->own_bytes == nullptr) {
    resident->own_bytes = memory_.MakePart(key.tenant);
  }
  LH_RETURN_IF_ERROR(Grow(*resident->own_bytes, document->own_bytes(),
                          document->encoded_bytes() + document->own_bytes()));
  resident->encoder = std::move(encoder);
  resident->create_time = head.create_time;
  resident->ttl = head.ttl;
  resident->parent = head.parent;
  resident->trusted = trusts_stored_chunks();
  resident->document =
      std::make_shared<const SessionDocument>(*std::move(document));
  resident->digest = head.digest;
  resident->appends = head.appends;
  resident->last_use = environment_->Now();
  resident->generation = lease.generation;
  resident->lease_start = lease_start;
  resident->lease_end = lease_start + options_.lease_duration;
  resident->stored_offset = head.committed_offset;
  resident->stored_digest = head.digest;
  resident->stored_expire_time = head.expire_time;
  resident->stored_chunks = head.num_chunks;
  resident->durable_offset = survives_crash_ ? head.committed_offset : 0;
  return resident;
}

absl::StatusOr<ChunkRecords> SessionKeeper::ReadChunks(
    const SessionKey& key, const SessionHead& head,
    const DocumentEncoder& encoder) {
  ChunkRecords chunks;
  if (head.num_chunks == 0) return chunks;
  // The sizes are known only once they are read.
  const uint64_t mean_tokens =
      std::min<uint64_t>(head.num_tokens / head.num_chunks + 1, INT32_MAX);
  const uint64_t chunk_bytes = encoder.EncodedBytes(int(mean_tokens));
  uint64_t session_bytes = 0;
  while (chunks.size() < head.num_chunks) {
    const uint64_t begin = chunks.size();
    const uint64_t end = std::min(head.num_chunks, begin + kChunksPerRead);
    const auto guard = memory_.MakePart(key.tenant);
    LH_RETURN_IF_ERROR(Grow(*guard, (end - begin) * chunk_bytes,
                            session_bytes + (end - begin) * chunk_bytes));
    environment_->Yield();
    auto read = store_->ReadChunks(key, begin, end, encoder);
    if (!read.ok()) return StoreTrouble(read.status());
    for (std::shared_ptr<const ChunkRecord>& chunk : *read) {
      session_bytes += chunk->encoded->bytes();
      guard->Resize(guard->bytes() - std::min(guard->bytes(), chunk_bytes));
      LH_ASSIGN_OR_RETURN(chunk, Charge(key.tenant, std::move(chunk),
                                        session_bytes, trusts_stored_chunks()));
      chunks.push_back(std::move(chunk));
    }
  }
  return chunks;
}

absl::StatusOr<std::shared_ptr<const ChunkRecord>> SessionKeeper::Charge(
    const std::string& tenant, std::shared_ptr<const ChunkRecord> chunk,
    uint64_t session_bytes, bool trusted) {
  if (chunk->encoded->charge != nullptr) return chunk;
  auto charged = std::make_shared<ChunkRecord>(*chunk);
  charged->encoded = cache_.Find(tenant, chunk->encoded->key);
  if (charged->encoded == nullptr) {
    auto encoded = std::make_shared<EncodedChunk>(*chunk->encoded);
    LH_ASSIGN_OR_RETURN(encoded->charge,
                        Reserve(tenant, encoded->bytes(), session_bytes));
    charged->encoded = std::move(encoded);
    if (trusted) cache_.Keep(tenant, charged->encoded);
  }
  return charged;
}

absl::StatusOr<std::shared_ptr<const DocumentEncoder>>
SessionKeeper::OpenEncoder(
    const EncodeOptions& options,
    const std::vector<FingerprintField>& fingerprint) const {
  auto encoder = model_->Open(options);
  if (!encoder.ok()) {
    if (!absl::IsFailedPrecondition(encoder.status())) return encoder.status();
    return FingerprintError(DifferingField(encoder.status()));
  }
  if (absl::Status same =
          CheckFingerprint((*encoder)->fingerprint(), fingerprint);
      !same.ok()) {
    return FingerprintError(DifferingField(same));
  }
  return encoder;
}

SessionDocument::Options SessionKeeper::DocumentOptions(
    const std::string& tenant) const {
  // Known to anybody; what keeps tenants apart is that each one has a table of
  // its own, and equal on all replicas, which check the keys of what they load.
  return {.salt = absl::StrCat("tenant:", tenant),
          .max_document_bytes = options_.max_document_bytes};
}

uint64_t SessionKeeper::CountResident(bool dirty_only) {
  uint64_t count = 0;
  for (const SessionKey& key : table_.Keys()) {
    Pin pin = table_.Visit(key);
    absl::MutexLock lock(&pin.entry().mutex);
    const auto& resident = pin.entry().resident;
    if (resident != nullptr && (!dirty_only || resident->dirty())) ++count;
  }
  return count;
}

}  // namespace longhand
