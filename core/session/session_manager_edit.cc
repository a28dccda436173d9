// Edits and rewinds. They have no append_id; one that is sent again with
// if_state_digest is known by the digest that it would have led to. Offsets may
// go back, so each one takes a new generation, and is acknowledged once the
// store has it.

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager_impl.h"

namespace longhand {
namespace {

constexpr int kMaxTries = 3;

}  // namespace

absl::StatusOr<EditResult> SessionManagerImpl::Edit(const SessionCall& call,
                                                    const SessionId& id,
                                                    const EditArgs& args) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  if (ContentBytes(args.content) > options_.max_append_bytes) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_APPEND",
                     "the content of the edit is too long; append the rest");
  }
  for (int tries = 1;; ++tries) {
    absl::StatusOr<EditResult> result = EditOnce(call, id, args);
    if (!IsLostWrites(result.status())) return result;
    // Whether it can be tried again depends on what the client knew.
    if (!args.if_state_digest || tries == kMaxTries) return StaleSessionError();
  }
}

absl::StatusOr<EditResult> SessionManagerImpl::EditOnce(const SessionCall& call,
                                                        const SessionId& id,
                                                        const EditArgs& args) {
  LH_ASSIGN_OR_RETURN(Pin pin, keeper_.Open({call.tenant, id}, call.stop));
  SessionEntry& entry = pin.entry();
  Resident& resident = *pin.resident;
  LH_RETURN_IF_ERROR(WithPlaceOf(pin, CheckDurability(args.min_durability)));
  EditResult result;
  std::shared_ptr<const SessionDocument> old;
  bool repeated = false;
  {
    absl::MutexLock lock(&entry.mutex);
    LH_RETURN_IF_ERROR(resident.lost);
    old = resident.document;
    const auto refuse = [&](const absl::Status& status) {
      return WithPlace(status, resident.place());
    };
    if (old->closed()) return refuse(ClosedError());
    if (resident.writer) return refuse(ConcurrentChangeError());
    if (args.if_state_digest && *args.if_state_digest != resident.digest) {
      repeated =
          resident.digest ==
          DigestEdit(*args.if_state_digest, args.begin, args.end, args.content);
      if (!repeated) return refuse(StateDivergedError());
    }
    if (!repeated) resident.writer = "";
  }
  if (!repeated) {
    WriterTurn turn(pin);
    NewContent made;
    absl::Status status = ComputeEdit(pin, call, args, *old, &made);
    if (status.ok()) {
      result.changed = std::move(made.chunks);
      result.computed_tokens = made.computed_tokens;
      result.reused_tokens = made.reused_tokens;
      environment_->Yield();
      status = PublishEdit(pin, args, std::move(made));
    }
    if (!status.ok()) return WithPlaceOf(pin, status);
  }
  absl::Status safe = keeper_.Flush(entry, resident, call.stop);
  if (IsLostWrites(safe)) return safe;
  if (!safe.ok()) return WithPlaceOf(pin, safe);
  result.old_chunks = old->chunks().size();
  absl::MutexLock lock(&entry.mutex);
  result.info = MakeInfo(entry.key, resident);
  return result;
}

absl::Status SessionManagerImpl::ComputeEdit(Pin& pin, const SessionCall& call,
                                             const EditArgs& args,
                                             const SessionDocument& old,
                                             NewContent* made) {
  Resident& resident = *pin.resident;
  const DocumentEncoder& encoder = *resident.encoder;
  const uint64_t old_bytes = old.encoded_bytes() + old.own_bytes();
  const uint64_t more_bytes = ContentBytes(args.content);
  LH_RETURN_IF_ERROR(keeper_.Grow(*resident.own_bytes,
                                  old.own_bytes() + more_bytes,
                                  old_bytes + more_bytes));
  Resources resources(&keeper_, pin, old_bytes + more_bytes);
  // Nothing is of either kind.
  Content content = args.content;
  const bool is_empty = ContentLength(content) == 0;
  if (is_empty && old.kind() == ContentKind::kIds) {
    content = std::vector<int32_t>();
  }
  SessionDocument next(old);
  DocumentChange change;
  // A document that has no kind yet does not get one by this.
  if (!is_empty || old.kind() != ContentKind::kUnknown || args.begin > 0) {
    LH_ASSIGN_OR_RETURN(change, next.Replace(args.begin, args.end, content,
                                             resources, call.stop));
  }
  made->Add(change);
  const ChunkRecords& chunks = next.chunks();
  if (encoder.needs_retrieval()) {
    LH_ASSIGN_OR_RETURN(const ChunkRecords all,
                        next.WithTail(resources, call.stop));
    std::vector<float> pooled;
    if (!all.empty()) {
      LH_ASSIGN_OR_RETURN(pooled, encoder.Retrieve(all, call.stop));
    }
    made->chunks = MakeChunkResults(encoder, all, 0, pooled);
  } else if (!change.changed.empty()) {
    std::vector<ChunkResult> results =
        MakeChunkResults(encoder, chunks, size_t(change.changed.front()), {});
    for (const uint64_t index : change.changed) {
      made->chunks.push_back(
          std::move(results[size_t(index - change.changed.front())]));
    }
  }
  LH_RETURN_IF_ERROR(keeper_.Grow(*resident.own_bytes,
                                  std::max(old.own_bytes(), next.own_bytes()),
                                  next.encoded_bytes() + next.own_bytes()));
  made->document.emplace(std::move(next));
  return absl::OkStatus();
}

absl::Status SessionManagerImpl::PublishEdit(Pin& pin, const EditArgs& args,
                                             NewContent made) {
  Resident& resident = *pin.resident;
  absl::MutexLock lock(&pin.entry().mutex);
  LH_RETURN_IF_ERROR(resident.lost);
  const SessionDigest digest =
      DigestEdit(resident.digest, args.begin, args.end, args.content);
  resident.PublishEdit(*std::move(made.document), args.begin, made.first_chunk,
                       environment_->Now());
  resident.digest = digest;
  return absl::OkStatus();
}

}  // namespace longhand
