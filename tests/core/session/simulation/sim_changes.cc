// The changes that the simulation's clients make: appends, edits, repeats.

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/session/append_protocol.h"
#include "core/session/crc32c.h"
#include "tests/core/session/simulation/sim_world.h"

namespace longhand::testing {

std::vector<int32_t> SimWorld::SomeIds(uint64_t most, int number) {
  std::vector<int32_t> ids(size_t(1 + baton_.Below(most)));
  for (int32_t& id : ids) id = int32_t(baton_.Below(100));
  // So that no two changes lead to the same digest.
  ids.back() = 1000 + number;
  return ids;
}

std::string SimWorld::AppendId(int number) const {
  std::string id(16, '\0');
  for (int i = 0; i < 4; ++i) id[size_t(i)] = char(number >> (8 * i));
  return id;
}

void SimWorld::Append(Call& call) {
  Session& session = *call.session;
  const int number = next_change_++;
  OracleChange change;
  AppendArgs& args = change.append;
  args.append_id = AppendId(number);
  args.expected_offset = session.offset;
  if (Chance(5)) args.expected_offset = session.offset + baton_.Below(4);
  if (Chance(5) && session.offset > 0) {
    args.expected_offset = baton_.Below(session.offset);
  }
  args.content = SomeIds(Chance(80) ? 9 : 20, number);
  if (Chance(3)) {
    args.close = true;
    if (Chance(50)) args.content = std::vector<int32_t>();
  }
  if (Chance(20)) args.payload_crc32c = Crc32c(ContentPayload(args.content));
  if (Chance(15)) args.if_state_digest = session.digest;
  args.provisional = Chance(20);
  RunAppend(call, session.oracle->AddChange(std::move(change), number),
            Chance(50) ? Durability::kShared : Durability::kMemory);
}

void SimWorld::RunAppend(Call& call, OracleChange& change,
                         Durability durability) {
  Session& session = *call.session;
  SessionOracle& oracle = *session.oracle;
  AppendArgs args = change.append;
  args.min_durability = durability;
  ++change.running;
  const auto result =
      call.replica->manager->Append(call.call, oracle.key().id, args);
  --change.running;
  if (!Arrived(call)) {
    change.maybe_applied = true;
    return;
  }
  if (!result.ok()) {
    // It may have been applied to what the store then turned out to have lost.
    if (CheckError(call, result.status(), "Append") || oracle.losses() > 0) {
      change.maybe_applied = true;
    }
    return;
  }
  change.maybe_applied = change.acknowledged = true;
  ++answers_[result->duplicate ? "OK, repeated" : "OK"];
  session.owner = call.replica->owner;
  session.last_use = std::max(session.last_use, call.start);
  const SessionPlace place{result->committed_offset, result->durable_offset,
                           result->digest, result->generation};
  CheckDurable(call, place);
  const OracleState* const state =
      result->duplicate ? oracle.SawOld(result->digest, "Append, repeated")
                        : oracle.Saw(call.before, place, "Append");
  if (state == nullptr) return;
  if (!result->duplicate || result->committed_offset >= session.offset) {
    session.offset = result->committed_offset;
    session.digest = result->digest;
  }
  // Two ends of one content cannot be told apart.
  const bool is_end = ContentLength(args.content) == 0;
  if (!is_end &&
      (state->changes.empty() || state->changes.back() != change.number)) {
    oracle.Fail("an append was answered with a state before or after it");
  }
  oracle.CheckChunks(*state, result->chunks, false);
  oracle.CheckChunks(*state, result->provisional_chunks, true);
  if (durability >= Durability::kShared) {
    MustKeepStored(call, *state);
  } else if (calm_) {
    oracle.MustKeep(call.before, *state);
  }
}

void SimWorld::Edit(Call& call) {
  Session& session = *call.session;
  const int number = next_change_++;
  OracleChange change;
  change.is_edit = true;
  EditArgs& args = change.edit;
  args.begin = baton_.Below(session.offset + 1);
  if (Chance(50)) {
    args.end = std::min(session.offset, args.begin + baton_.Below(8));
    args.content = SomeIds(6, number);
  }
  if (Chance(60)) args.if_state_digest = session.digest;
  RunEdit(call, session.oracle->AddChange(std::move(change), number));
}

void SimWorld::RunEdit(Call& call, OracleChange& change) {
  SessionOracle& oracle = *call.session->oracle;
  ++change.running;
  const auto result =
      call.replica->manager->Edit(call.call, oracle.key().id, change.edit);
  --change.running;
  if (!Arrived(call)) {
    change.maybe_applied = true;
    return;
  }
  if (!result.ok()) {
    if (CheckError(call, result.status(), "Edit") || oracle.losses() > 0) {
      change.maybe_applied = true;
    }
    return;
  }
  change.maybe_applied = true;
  const OracleState* state = nullptr;
  if (!SawPlace(call, result->info, "Edit", &state)) return;
  // Two rewinds to one place cannot be told apart.
  const bool is_rewind = ContentLength(change.edit.content) == 0;
  if (!is_rewind && std::count(state->changes.begin(), state->changes.end(),
                               change.number) != 1) {
    oracle.Fail("an edit was answered with a state without it");
  }
  // Appends may have come between the edit and its answer.
  if (state->changes.back() == change.number) {
    oracle.CheckChunks(*state, result->changed, false);
  }
  // What came after it may be in memory only.
  OracleState until = *state;
  while (until.changes.size() > 1 && until.changes.back() != change.number) {
    until.changes.pop_back();
  }
  MustKeepStored(call, until);
}

void SimWorld::CheckDurable(Call& call, const SessionPlace& place) {
  SessionOracle& oracle = *call.session->oracle;
  const auto stored = store_.sessions().find(oracle.key());
  // Of another generation it may be an earlier or a later content.
  if (oracle.losses() > 0 || stored == store_.sessions().end() ||
      stored->second.generation != place.generation) {
    return;
  }
  if (place.durable_offset > stored->second.head.committed_offset) {
    oracle.Fail("durable_offset is ahead of the store");
  }
}

void SimWorld::MustKeepStored(Call& call, const OracleState& state) {
  SessionOracle& oracle = *call.session->oracle;
  const auto stored = store_.sessions().find(oracle.key());
  if (stored == store_.sessions().end() ||
      !oracle.Holds(stored->second, state)) {
    // Lost since; nobody could know.
    if (oracle.losses() > 0 || oracle.gone()) return;
    return oracle.Fail("acknowledged as stored, but it is not");
  }
  oracle.MustKeep(call.before, state);
}

void SimWorld::Repeat(Call& call) {
  OracleChange* const change =
      call.session->oracle->AnyChange(baton_.Below(1000));
  if (change == nullptr) return Get(call);
  if (!change->is_edit) {
    if (Chance(15)) {
      // The same id for something else.
      AppendArgs args = change->append;
      args.content = std::vector<int32_t>{7, 7, 7};
      args.payload_crc32c.reset();
      // Else it may be the first one that is applied.
      if (!change->acknowledged || !calm_) return;
      const auto result = call.replica->manager->Append(
          call.call, call.session->oracle->key().id, args);
      if (!Arrived(call)) return;
      const std::string reason = ReasonOf(result.status());
      ++answers_[reason];
      if (result.ok()) call.session->oracle->Fail("an append_id did for two");
      return;
    }
    RunAppend(call, *change,
              Chance(50) ? Durability::kShared : Durability::kMemory);
  } else if (change->edit.if_state_digest) {
    RunEdit(call, *change);
  } else {
    Get(call);
  }
}

}  // namespace longhand::testing
