#include "core/session/session_entry.h"

#include <algorithm>

namespace longhand {

void Resident::Publish(SessionDocument next, uint64_t first_chunk,
                       absl::Time now) {
  // First: nothing after it can fail.
  document = std::make_shared<const SessionDocument>(std::move(next));
  if (!dirty()) dirty_since = now;
  changed_chunk = std::min(changed_chunk, first_chunk);
  stored_chunks = std::min(stored_chunks, first_chunk);
  last_use = now;
  ++version;
  // Its end does not move the offset, by which the store tells writes apart.
  if (document->closed()) back_version = version;
}

void Resident::PublishEdit(SessionDocument next, uint64_t offset,
                           uint64_t first_chunk, absl::Time now) {
  Publish(std::move(next), first_chunk, now);
  changed_offset = std::min(changed_offset, offset);
  durable_offset = std::min(durable_offset, offset);
  back_version = version;
}

SessionHead Resident::MakeHead() const {
  SessionHead head;
  head.state = document->closed() ? SessionState::kClosed : SessionState::kOpen;
  head.options = encoder->options();
  head.fingerprint = encoder->fingerprint();
  head.kind = document->kind();
  head.committed_offset = document->committed_offset();
  head.num_chunks = document->chunks().size();
  head.num_tokens = document->num_tokens();
  head.tail = document->tail();
  head.digest = digest;
  head.appends = appends;
  head.create_time = create_time;
  head.expire_time = expire_time();
  head.ttl = ttl;
  head.parent = parent;
  return head;
}

std::shared_ptr<const SessionWrite> Resident::MakeWrite() {
  auto write = std::make_shared<SessionWrite>();
  write->version = version;
  SessionCommit& commit = write->commit;
  commit.generation = generation;
  commit.new_generation = generation + (went_back() ? 1 : 0);
  commit.expected_offset = stored_offset;
  commit.head = MakeHead();
  const ChunkRecords& chunks = document->chunks();
  commit.first_chunk = std::min<uint64_t>(stored_chunks, chunks.size());
  commit.chunks.assign(chunks.begin() + ptrdiff_t(commit.first_chunk),
                       chunks.end());
  changed_offset = UINT64_MAX;
  changed_chunk = UINT64_MAX;
  return write;
}

void Resident::Settle(const SessionWrite& write, bool survives_crash) {
  const SessionHead& head = write.commit.head;
  unsettled = nullptr;
  generation = write.commit.new_generation;
  stored_version = write.version;
  stored_offset = head.committed_offset;
  stored_digest = head.digest;
  stored_expire_time = head.expire_time;
  stored_chunks = std::min(head.num_chunks, changed_chunk);
  durable_offset =
      survives_crash ? std::min(head.committed_offset, changed_offset) : 0;
  if (!dirty()) dirty_since = absl::InfiniteFuture();
}

bool IsGravestone(const SessionHead& head) {
  return head.state == SessionState::kExpired ||
         head.state == SessionState::kEvicted;
}

SessionInfo MakeInfo(const SessionKey& key, const SessionHead& head,
                     uint64_t generation, Durability durability) {
  const uint64_t tail_length =
      head.tail.size() / (head.kind == ContentKind::kIds ? sizeof(int32_t) : 1);
  SessionInfo info;
  info.key = key;
  info.state = head.state;
  info.options = head.options;
  info.kind = head.kind;
  info.committed_offset = head.committed_offset;
  info.durable_offset =
      durability == Durability::kMemory ? 0 : head.committed_offset;
  info.encoded_offset =
      head.committed_offset - std::min(head.committed_offset, tail_length);
  info.num_chunks = head.num_chunks;
  info.num_tokens = head.num_tokens;
  info.digest = head.digest;
  info.generation = generation;
  info.create_time = head.create_time;
  info.expire_time = head.expire_time;
  info.parent = head.parent;
  return info;
}

SessionInfo MakeInfo(const SessionKey& key, const Resident& resident) {
  const SessionDocument& document = *resident.document;
  const SessionPlace place = resident.place();
  SessionInfo info;
  info.key = key;
  info.state = document.closed() ? SessionState::kClosed : SessionState::kOpen;
  info.options = resident.encoder->options();
  info.kind = document.kind();
  info.committed_offset = place.committed_offset;
  info.durable_offset = place.durable_offset;
  info.encoded_offset = document.encoded_offset();
  info.num_chunks = document.chunks().size();
  info.num_tokens = document.num_tokens();
  info.state_bytes = document.encoded_bytes();
  info.resident = true;
  info.digest = place.digest;
  info.generation = place.generation;
  info.create_time = resident.create_time;
  info.expire_time = resident.expire_time();
  info.parent = resident.parent;
  return info;
}

}  // namespace longhand
