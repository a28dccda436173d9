// Appends. One that is applied is visible in memory first, and then written if
// it is to be safer than that. If the write fails, it stays, with its record:
// sent again with the same append_id, only the write is tried again.

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/crc32c.h"
#include "core/session/session_manager_impl.h"

namespace longhand {
namespace {

// How often a session is read again because the store lost writes.
constexpr int kMaxTries = 3;

AppendRecord MakeRecord(const AppendSituation& situation) {
  AppendRecord record;
  std::copy_n(situation.append_id.begin(), record.append_id.size(),
              record.append_id.begin());
  record.expected_offset = *situation.expected_offset;
  record.length = situation.length;
  record.payload_hash = situation.payload_hash;
  return record;
}

}  // namespace

absl::StatusOr<AppendResult> SessionManagerImpl::Append(
    const SessionCall& call, const SessionId& id, const AppendArgs& args) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  const AppendSituation situation = DescribeAppend(args);
  for (int tries = 1;; ++tries) {
    absl::StatusOr<AppendResult> result = AppendOnce(call, id, args, situation);
    // What is there now decides: most often a gap.
    if (!IsLostWrites(result.status())) return result;
    if (tries == kMaxTries) return StaleSessionError();
  }
}

AppendSituation SessionManagerImpl::DescribeAppend(
    const AppendArgs& args) const {
  AppendSituation situation;
  situation.expected_offset = args.expected_offset;
  situation.append_id = args.append_id;
  situation.content_kind = KindOf(args.content);
  situation.length = ContentLength(args.content);
  situation.bytes = ContentBytes(args.content);
  situation.close = args.close;
  situation.if_state_digest = args.if_state_digest;
  situation.max_append_bytes = options_.max_append_bytes;
  situation.max_document_bytes = options_.max_document_bytes;
  // Nothing is counted over what will be refused.
  if (situation.bytes > situation.max_append_bytes) return situation;
  situation.payload_hash = HashAppend(args.content, args.close);
  if (args.payload_crc32c) {
    situation.given_crc32c = args.payload_crc32c;
    situation.crc32c = Crc32c(ContentPayload(args.content));
  }
  return situation;
}

absl::StatusOr<AppendResult> SessionManagerImpl::AppendOnce(
    const SessionCall& call, const SessionId& id, const AppendArgs& args,
    AppendSituation situation) {
  absl::StatusOr<Pin> pin = keeper_.Open({call.tenant, id}, call.stop);
  if (!pin.ok()) {
    if (absl::IsDeadlineExceeded(pin.status())) return QueueTimeoutError();
    return pin.status();
  }
  Resident& resident = *pin->resident;
  LH_RETURN_IF_ERROR(WithPlaceOf(*pin, CheckDurability(args.min_durability)));

  std::shared_ptr<const SessionDocument> old;
  AppendResult result;
  {
    absl::MutexLock lock(&pin->entry().mutex);
    LH_ASSIGN_OR_RETURN(const AppendDecision decision,
                        AwaitDecision(*pin, call, situation, args));
    if (decision.verdict == AppendVerdict::kRefuse) return decision.status;
    if (decision.verdict == AppendVerdict::kDuplicate) {
      result.duplicate = true;
      result.committed_offset = decision.record->committed_offset;
      result.encoded_offset = decision.record->encoded_offset;
      result.digest = decision.record->digest;
    } else {
      resident.writer = args.append_id;
      old = resident.document;
    }
  }
  if (old != nullptr) {
    WriterTurn turn(*pin);
    NewContent made;
    absl::Status status = ComputeAppend(*pin, call, args, *old, &made);
    if (status.ok()) {
      environment_->Yield();
      status = PublishAppend(*pin, situation, args, std::move(made), &result);
    }
    if (!status.ok()) return WithPlaceOf(*pin, status);
  }
  absl::Status safe = Secure(*pin, args.min_durability, call.stop);
  if (IsLostWrites(safe)) return safe;
  if (!safe.ok()) return WithPlaceOf(*pin, safe);
  absl::MutexLock lock(&pin->entry().mutex);
  const SessionPlace place = resident.place();
  if (result.duplicate || place.generation == result.generation) {
    result.generation = place.generation;
    result.durable_offset =
        std::min(place.durable_offset, result.committed_offset);
  } else if (args.min_durability > Durability::kMemory) {
    // Something else came after it; it was safe before that.
    result.durable_offset = result.committed_offset;
  }
  return result;
}

absl::StatusOr<AppendDecision> SessionManagerImpl::AwaitDecision(
    Pin& pin, const SessionCall& call, AppendSituation& situation,
    const AppendArgs& args) {
  Resident& resident = *pin.resident;
  while (true) {
    situation.lookup = resident.lost;
    situation.place = resident.place();
    situation.closed = resident.document->closed();
    situation.kind = resident.document->kind();
    situation.committed_bytes =
        situation.place.committed_offset *
        (situation.kind == ContentKind::kIds ? sizeof(int32_t) : 1);
    situation.appends = &resident.appends;
    situation.in_flight = resident.writer;
    situation.obstacle = environment_->CheckStop(call.stop);
    if (absl::IsDeadlineExceeded(situation.obstacle)) {
      situation.obstacle = QueueTimeoutError();
    } else if (args.min_durability > Durability::kMemory &&
               !keeper_.store_healthy()) {
      situation.obstacle = StoreDegradedError();
    }
    AppendDecision decision = DecideAppend(situation);
    if (decision.verdict != AppendVerdict::kWait) return decision;
    LH_RETURN_IF_ERROR(environment_->WaitUntil(
        pin.entry().mutex,
        absl::Condition(
            +[](Resident* r) { return !r->writer || !r->lost.ok(); },
            &resident),
        call.stop));
  }
}

absl::Status SessionManagerImpl::ComputeAppend(Pin& pin,
                                               const SessionCall& call,
                                               const AppendArgs& args,
                                               const SessionDocument& old,
                                               NewContent* made) {
  Resident& resident = *pin.resident;
  const uint64_t old_bytes = old.encoded_bytes() + old.own_bytes();
  const uint64_t more_bytes = ContentBytes(args.content);
  // What the content takes by itself comes first, before it is copied.
  LH_RETURN_IF_ERROR(keeper_.Grow(*resident.own_bytes,
                                  old.own_bytes() + more_bytes,
                                  old_bytes + more_bytes));
  Resources resources(&keeper_, pin, old_bytes + more_bytes);
  SessionDocument next(old);
  if (ContentLength(args.content) > 0) {
    LH_ASSIGN_OR_RETURN(const DocumentChange change,
                        next.Append(args.content, resources, call.stop));
    made->Add(change);
  }
  if (args.close) {
    LH_ASSIGN_OR_RETURN(const DocumentChange change,
                        next.Close(resources, call.stop));
    made->Add(change);
  }
  const DocumentEncoder& encoder = *resident.encoder;
  if (args.provisional) {
    LH_ASSIGN_OR_RETURN(const ChunkRecords all,
                        next.WithTail(resources, call.stop));
    std::vector<float> pooled;
    if (encoder.needs_retrieval() && !all.empty()) {
      LH_ASSIGN_OR_RETURN(pooled, encoder.Retrieve(all, call.stop));
    }
    const size_t first = encoder.needs_retrieval() ? 0 : next.chunks().size();
    made->provisional_chunks = MakeChunkResults(encoder, all, first, pooled);
  }
  made->chunks = MakeChunkResults(
      encoder, next.chunks(),
      size_t(std::min<uint64_t>(made->first_chunk, next.chunks().size())), {});
  LH_RETURN_IF_ERROR(keeper_.Grow(*resident.own_bytes,
                                  std::max(old.own_bytes(), next.own_bytes()),
                                  next.encoded_bytes() + next.own_bytes()));
  made->document.emplace(std::move(next));
  return absl::OkStatus();
}

absl::Status SessionManagerImpl::PublishAppend(Pin& pin,
                                               const AppendSituation& situation,
                                               const AppendArgs& args,
                                               NewContent made,
                                               AppendResult* result) {
  Resident& resident = *pin.resident;
  absl::MutexLock lock(&pin.entry().mutex);
  LH_RETURN_IF_ERROR(resident.lost);
  SessionDigest digest = resident.digest;
  if (situation.length > 0) digest = DigestAppend(digest, args.content);
  if (args.close) digest = DigestClose(digest);
  // What can fail for want of memory comes before anything is changed.
  AppendRecord record = MakeRecord(situation);
  resident.appends.reserve(resident.appends.size() + 1);
  resident.Publish(*std::move(made.document), made.first_chunk,
                   environment_->Now());
  resident.digest = digest;

  record.committed_offset = resident.document->committed_offset();
  record.encoded_offset = resident.document->encoded_offset();
  record.digest = digest;
  if (resident.appends.size() >= SessionHead::kMaxAppendRecords) {
    resident.appends.erase(resident.appends.begin());
  }
  resident.appends.push_back(record);

  const SessionPlace place = resident.place();
  result->committed_offset = record.committed_offset;
  result->durable_offset = place.durable_offset;
  result->encoded_offset = record.encoded_offset;
  result->digest = digest;
  result->generation = place.generation;
  result->computed_tokens = made.computed_tokens;
  result->reused_tokens = made.reused_tokens;
  result->chunks = std::move(made.chunks);
  result->provisional_chunks = std::move(made.provisional_chunks);
  return absl::OkStatus();
}

absl::Status SessionManagerImpl::Secure(Pin& pin, Durability asked,
                                        const StopCondition& stop) {
  bool write = asked > Durability::kMemory;
  if (!write) {
    absl::MutexLock lock(&pin.entry().mutex);
    write = pin.resident->went_back();
  }
  if (write) {
    LH_RETURN_IF_ERROR(keeper_.Flush(pin.entry(), *pin.resident, stop));
  }
  return keeper_.EnsureLease(pin.entry(), *pin.resident, stop);
}

absl::Status SessionManagerImpl::WithPlaceOf(Pin& pin,
                                             const absl::Status& status) {
  if (status.ok()) return status;
  absl::MutexLock lock(&pin.entry().mutex);
  // Nothing is known of a session that is elsewhere now.
  if (!pin.resident->lost.ok()) return status;
  return WithPlace(status, pin.resident->place());
}

}  // namespace longhand
