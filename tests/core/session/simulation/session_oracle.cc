#include "tests/core/session/simulation/session_oracle.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/session/append_protocol.h"
#include "tests/core/session/simulation/hash_model.h"

namespace longhand::testing {
namespace {

// So many changes can be in effect before any answer showed the first.
constexpr int kMaxHidden = 4;

bool IsPrefix(const std::vector<int>& a, const std::vector<int>& b) {
  return a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// The state after the change, if it fits.
std::optional<OracleState> Applied(const OracleChange& change,
                                   const OracleState& state) {
  if (state.closed || std::count(state.changes.begin(), state.changes.end(),
                                 change.number) > 0) {
    return std::nullopt;
  }
  const auto& digest = change.is_edit ? change.edit.if_state_digest
                                      : change.append.if_state_digest;
  if (digest && *digest != state.digest) return std::nullopt;
  OracleState next = state;
  next.changes.push_back(change.number);
  if (!change.is_edit) {
    const AppendArgs& args = change.append;
    if (args.expected_offset != state.ids.size()) return std::nullopt;
    const auto& ids = std::get<std::vector<int32_t>>(args.content);
    next.ids.insert(next.ids.end(), ids.begin(), ids.end());
    if (!ids.empty()) next.digest = DigestAppend(next.digest, args.content);
    if (args.close) next.digest = DigestClose(next.digest);
    next.closed = args.close;
    return next;
  }
  const EditArgs& args = change.edit;
  const uint64_t end = std::min<uint64_t>(args.end, state.ids.size());
  if (args.begin > end || (args.end != UINT64_MAX && args.end > end)) {
    return std::nullopt;
  }
  next.ids.erase(next.ids.begin() + ptrdiff_t(args.begin),
                 next.ids.begin() + ptrdiff_t(end));
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&args.content)) {
    next.ids.insert(next.ids.begin() + ptrdiff_t(args.begin), ids->begin(),
                    ids->end());
  }
  next.digest = DigestEdit(state.digest, args.begin, args.end, args.content);
  return next;
}

}  // namespace

SessionOracle::SessionOracle(SessionKey key, OracleState first,
                             const absl::Time* now,
                             std::vector<std::string>* failures)
    : key_(std::move(key)), now_(now), failures_(failures) {
  // A fork that was not written yet may be found empty after a crash.
  known_[SessionDigest{}] = OracleState();
  known_[first.digest] = std::move(first);
}

OracleChange& SessionOracle::AddChange(OracleChange change, int number) {
  change.number = number;
  return *changes_.emplace_back(
      std::make_unique<OracleChange>(std::move(change)));
}

OracleChange* SessionOracle::AnyChange(uint64_t random) {
  return changes_.empty() ? nullptr : changes_[random % changes_.size()].get();
}

const OracleState* SessionOracle::Saw(const Before& before,
                                      const SessionPlace& place,
                                      const char* what) {
  const OracleState* const state = Find(place.digest);
  if (state == nullptr) {
    Fail(absl::StrCat(what, ": a digest that no order of changes gives"));
    return nullptr;
  }
  if (place.committed_offset != state->ids.size()) {
    Fail(absl::StrCat(what, ": offset ", place.committed_offset, ", not ",
                      state->ids.size()));
  }
  if (place.durable_offset > place.committed_offset) {
    Fail(absl::StrCat(what, ": durable_offset is beyond the end"));
  }
  const bool settled = IsSettled(before);
  if (settled) {
    for (const auto& kept : before.kept) {
      if (IsPrefix(kept, state->changes)) continue;
      Fail(absl::StrCat(what, ": acknowledged changes ",
                        absl::StrJoin(kept, " "), " are not in ",
                        absl::StrJoin(state->changes, " ")));
    }
    if (!before.places.empty() &&
        place.generation < before.places.rbegin()->first) {
      Fail(absl::StrCat(what, ": the generation went back to ",
                        place.generation));
    }
    const auto known = before.places.find(place.generation);
    if (known != before.places.end() &&
        (place.committed_offset < known->second.committed_offset ||
         place.durable_offset < known->second.durable_offset)) {
      Fail(absl::StrCat(what, ": offsets went back in generation ",
                        place.generation));
    }
  }
  if (before.gone && settled) {
    Fail(absl::StrCat(what, ": the session was gone before"));
  }
  SessionPlace& furthest = places_[place.generation];
  furthest.committed_offset =
      std::max(furthest.committed_offset, place.committed_offset);
  furthest.durable_offset =
      std::max(furthest.durable_offset, place.durable_offset);
  return state;
}

const OracleState* SessionOracle::SawOld(const SessionDigest& digest,
                                         const char* what) {
  const OracleState* const state = Find(digest);
  if (state == nullptr) {
    Fail(absl::StrCat(what, ": a digest that no order of changes gives"));
  }
  return state;
}

void SessionOracle::MustKeep(const Before& before, const OracleState& state) {
  if (before.losses != losses_) return;
  kept_.push_back(state.changes);
}

bool SessionOracle::Holds(const SimStore::Session& stored,
                          const OracleState& state) {
  const OracleState* const there = Find(stored.head.digest);
  return there != nullptr && IsPrefix(state.changes, there->changes);
}

void SessionOracle::SawStored(const SimStore::Session& stored) {
  const SessionHead& head = stored.head;
  if (head.state == SessionState::kExpired ||
      head.state == SessionState::kEvicted) {
    return;
  }
  const OracleState* const state = Find(head.digest);
  if (state == nullptr) {
    Fail("the store was given a digest that no order of changes gives");
    return;
  }
  if (state->closed != (head.state == SessionState::kClosed)) {
    Fail("the stored state is not that of the content");
  }
  if (head.committed_offset != state->ids.size() ||
      head.num_chunks != stored.chunks.size()) {
    Fail("the stored counts are not those of the content");
  }
  CheckContent(*state, stored.chunks, head.tail);
}

void SessionOracle::CheckChunks(const OracleState& state,
                                const std::vector<ChunkResult>& chunks,
                                bool with_tail) {
  const std::vector<ChunkKey> keys =
      HashChunkKeys(key_.tenant, state.ids, with_tail || state.closed);
  for (const ChunkResult& chunk : chunks) {
    if (chunk.index < 0 || size_t(chunk.index) >= keys.size() ||
        chunk.vector != HashVector(keys[size_t(chunk.index)])) {
      Fail(absl::StrCat("chunk ", chunk.index, " is not that of the content"));
    }
  }
}

void SessionOracle::CheckContent(const OracleState& state,
                                 const ChunkRecords& chunks,
                                 const std::string& tail) {
  const std::vector<ChunkKey> keys =
      HashChunkKeys(key_.tenant, state.ids, state.closed);
  std::vector<int32_t> ids;
  bool same_keys = chunks.size() == keys.size();
  for (size_t i = 0; i < chunks.size(); ++i) {
    ids.insert(ids.end(), chunks[i]->ids.begin(), chunks[i]->ids.end());
    same_keys = same_keys && chunks[i]->encoded->key == keys[i];
  }
  for (size_t at = 0; at + sizeof(int32_t) <= tail.size();
       at += sizeof(int32_t)) {
    int32_t id;
    std::memcpy(&id, tail.data() + at, sizeof(id));
    ids.push_back(id);
  }
  if (ids != state.ids) Fail("the content is not that of its digest");
  if (!same_keys) Fail("the chunks are not those of the content");
}

void SessionOracle::NoteLoss(absl::Time end) {
  ++losses_;
  unsettled_until_ = end;
  kept_.clear();
  gone_ = false;
}

void SessionOracle::Fail(const std::string& what) {
  failures_->push_back(
      absl::StrCat(FormatSessionId(key_.id).substr(0, 6), ": ", what));
}

const OracleState* SessionOracle::Find(const SessionDigest& digest) {
  const auto found = known_.find(digest);
  if (found != known_.end()) return &found->second;
  std::vector<OracleState> reached;
  for (const auto& [known_digest, state] : known_) reached.push_back(state);
  for (int hidden = 1; hidden <= kMaxHidden; ++hidden) {
    std::vector<OracleState> next;
    for (const OracleState& state : reached) {
      for (OracleState& after : After(state)) {
        if (after.digest == digest) {
          return &(known_[digest] = std::move(after));
        }
        next.push_back(std::move(after));
      }
    }
    reached = std::move(next);
  }
  return nullptr;
}

std::vector<OracleState> SessionOracle::After(const OracleState& state) const {
  std::vector<OracleState> states;
  for (const auto& change : changes_) {
    if (change->running == 0 && !change->maybe_applied) continue;
    if (auto next = Applied(*change, state)) states.push_back(*std::move(next));
  }
  return states;
}

}  // namespace longhand::testing
