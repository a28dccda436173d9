// The calls of the simulation's clients, and what their answers must be.

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/session/append_protocol.h"
#include "core/store/snapshot.h"
#include "tests/core/session/simulation/sim_world.h"

namespace longhand::testing {
namespace {

const char* const kTenants[] = {"a", "b"};

// Reasons after which it is open whether a change happened.
bool IsOpen(const std::string& reason) {
  static const std::set<std::string>* const open = new std::set<std::string>{
      "STORE_DEGRADED",   "CANCELLED",        "DEADLINE_EXCEEDED",
      "STALE_GENERATION", "WRONG_REPLICA",    "SESSION_NOT_FOUND",
      "SESSION_EXPIRED",  "STORE_UNAVAILABLE"};
  return open->count(reason) > 0;
}

// Reasons that say that a change did not happen.
bool IsRefusal(const std::string& reason) {
  static const std::set<std::string>* const refusals =
      new std::set<std::string>{"OVERLOADED",
                                "CONCURRENT_APPEND",
                                "OFFSET_GAP",
                                "STATE_DIVERGED",
                                "OFFSET_ALREADY_WRITTEN",
                                "SESSION_CLOSED",
                                "SESSION_TOKEN_LIMIT",
                                "DOCUMENT_TOO_LONG",
                                "QUEUE_TIMEOUT",
                                "DRAINING",
                                "SESSION_TOO_LARGE",
                                "OFFSET_BEYOND_END",
                                "TENANT_QUOTA",
                                "SESSION_EMPTY",
                                "RANGE_INVALID",
                                "BAD_APPEND",
                                "EMPTY_DOCUMENT"};
  return refusals->count(reason) > 0;
}

SessionPlace PlaceOf(const SessionInfo& info) {
  return {info.committed_offset, info.durable_offset, info.digest,
          info.generation};
}

}  // namespace

std::string SimWorld::ReasonOf(const absl::Status& status) {
  if (status.ok()) return "OK";
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason
                : absl::StrCat("no reason: ", status.message());
}

void SimWorld::StartCall() {
  if (sessions_.empty() || (sessions_.size() < 5 && Chance(5))) {
    return Run(nullptr, [this](Call& call) { Create(call); });
  }
  Session* const session = &sessions_[size_t(baton_.Below(sessions_.size()))];
  static constexpr std::pair<int, void (SimWorld::*)(Call&)> kActions[] = {
      {45, &SimWorld::Append},      {12, &SimWorld::Repeat},
      {10, &SimWorld::Edit},        {9, &SimWorld::Get},
      {8, &SimWorld::Query},        {4, &SimWorld::Fork},
      {4, &SimWorld::ExportImport}, {3, &SimWorld::List},
      {3, &SimWorld::Intrude},      {2, &SimWorld::Delete}};
  int choice = int(baton_.Below(100));
  for (const auto& [share, action] : kActions) {
    choice -= share;
    if (choice >= 0) continue;
    const auto run = action;
    return Run(session, [this, run](Call& call) { (this->*run)(call); });
  }
}

void SimWorld::Run(Session* session, const Action& action) {
  // Most calls go where the session is said to be.
  Replica* replica = replicas_[size_t(baton_.Below(replicas_.size()))].get();
  if (session != nullptr && Chance(healed_ ? 100 : 80)) {
    for (const auto& candidate : replicas_) {
      if (candidate->owner == session->owner) replica = candidate.get();
    }
  }
  ++replica->calls;
  baton_.Start([this, replica, session, action] {
    Call call;
    call.replica = replica;
    call.session = session;
    call.start = now_;
    call.call.tenant = session != nullptr ? session->oracle->key().tenant
                                          : kTenants[baton_.Below(2)];
    call.call.stop.cancelled = &call.cancelled;
    if (!healed_ && Chance(10)) {
      call.call.stop.deadline =
          replica->environment->Now() + absl::Seconds(int64_t(baton_.Below(4)));
    }
    if (session != nullptr) call.before = session->oracle->Begin();
    running_.push_back(&call);
    action(call);
    std::erase(running_, &call);
    --replica->calls;
  });
}

bool SimWorld::CheckError(Call& call, const absl::Status& status,
                          const char* what) {
  const std::string reason = ReasonOf(status);
  ++answers_[reason];
  Session& session = *call.session;
  SessionOracle& oracle = *session.oracle;
  if (!IsOpen(reason) && !IsRefusal(reason)) {
    oracle.Fail(absl::StrCat(what, " answered ", reason));
  }
  if (healed_ && reason != "WRONG_REPLICA" && reason != "SESSION_NOT_FOUND" &&
      reason != "SESSION_EXPIRED" && reason != "OFFSET_GAP" &&
      reason != "SESSION_CLOSED" && reason != "SESSION_TOKEN_LIMIT" &&
      reason != "SESSION_TOO_LARGE" && reason != "OFFSET_ALREADY_WRITTEN") {
    oracle.Fail(absl::StrCat(what, " answered ", reason, " in peace"));
  }
  const auto detail = GetErrorDetail(status);
  if (reason == "WRONG_REPLICA") session.owner = detail->metadata.at("owner");
  if (reason == "OFFSET_GAP" || reason == "OFFSET_ALREADY_WRITTEN" ||
      reason == "CONCURRENT_APPEND" || reason == "STATE_DIVERGED") {
    session.offset = std::stoull(detail->metadata.at("current_offset"));
    if (detail->metadata.count("durable_offset") == 0 ||
        detail->metadata.at("state_digest").size() != 64 ||
        detail->metadata.count("generation") == 0) {
      oracle.Fail(absl::StrCat(what, ": an error without the session's place"));
    }
  }
  if (reason == "SESSION_EXPIRED" || reason == "SESSION_NOT_FOUND") {
    // The last use may not have been written before a crash.
    const bool may_expire =
        !calm_ || now_ - session.last_use >= options_.default_ttl / 4;
    if (!may_expire && !oracle.gone()) {
      oracle.Fail(absl::StrCat(what, " answered ", reason, " too early"));
    }
    oracle.NoteGone();
  }
  return IsOpen(reason);
}

bool SimWorld::SawPlace(Call& call, const SessionInfo& info, const char* what,
                        const OracleState** state) {
  ++answers_["OK"];
  Session& session = *call.session;
  CheckDurable(call, PlaceOf(info));
  *state = session.oracle->Saw(call.before, PlaceOf(info), what);
  session.owner = call.replica->owner;
  session.last_use = std::max(session.last_use, call.start);
  session.offset = info.committed_offset;
  session.digest = info.digest;
  if (info.key != session.oracle->key()) {
    session.oracle->Fail(absl::StrCat(what, ": another session"));
  }
  return *state != nullptr;
}

void SimWorld::AddSession(Call& call, const SessionInfo& info,
                          OracleState first) {
  Session& session = sessions_.emplace_back();
  session.offset = first.ids.size();
  session.digest = first.digest;
  session.owner = call.replica->owner;
  session.last_use = call.start;
  session.oracle = std::make_unique<SessionOracle>(info.key, std::move(first),
                                                   &now_, &failures_);
  by_key_[info.key] = &session;
}

void SimWorld::Create(Call& call) {
  const auto info =
      call.replica->manager->CreateSession(call.call, {}, std::nullopt);
  ++answers_[ReasonOf(info.status())];
  if (!Arrived(call) || !info.ok()) return;
  AddSession(call, *info, OracleState());
  if (info->committed_offset != 0 || info->generation != 1) {
    failures_.push_back("a new session is not empty");
  }
}

void SimWorld::Get(Call& call) {
  const auto info = call.replica->manager->GetSession(
      call.call, call.session->oracle->key().id);
  if (!Arrived(call)) return;
  const OracleState* state = nullptr;
  if (info.ok()) {
    SawPlace(call, *info, "GetSession", &state);
  } else {
    CheckError(call, info.status(), "GetSession");
  }
}

void SimWorld::List(Call& call) {
  std::string token;
  std::set<SessionId> seen;
  do {
    const auto page = call.replica->manager->ListSessions(call.call, 2, token);
    if (!Arrived(call) || !page.ok()) return;
    for (const SessionInfo& info : page->sessions) {
      if (info.key.tenant != call.call.tenant) {
        failures_.push_back("a list shows another tenant's session");
      }
      if (!seen.insert(info.key.id).second) {
        failures_.push_back("a list shows a session twice");
      }
    }
    token = page->next_page_token;
  } while (!token.empty());
  ++answers_["OK"];
}

void SimWorld::Query(Call& call) {
  SessionOracle& oracle = *call.session->oracle;
  QueryArgs args;
  args.questions = {std::vector<int32_t>{1, 2}};
  const auto result =
      call.replica->manager->Query(call.call, oracle.key().id, args);
  if (!Arrived(call)) return;
  if (!result.ok()) {
    CheckError(call, result.status(), "Query");
    return;
  }
  ++answers_["OK"];
  call.session->last_use = std::max(call.session->last_use, call.start);
  const OracleState* const state = oracle.SawOld(result->digest, "Query");
  if (state == nullptr) return;
  const auto keys = HashChunkKeys(oracle.key().tenant, state->ids, true);
  if (result->answers.size() != 1 ||
      result->answers[0].vector != HashAnswer(keys, {1, 2})) {
    oracle.Fail("a question was answered from other chunks");
  }
  for (const auto& kept : call.before.kept) {
    if (oracle.IsSettled(call.before) && state->changes.size() < kept.size()) {
      oracle.Fail("a question was answered from an old state");
    }
  }
}

void SimWorld::Fork(Call& call) {
  if (sessions_.size() >= 8) return Get(call);
  const auto info = call.replica->manager->Fork(
      call.call, call.session->oracle->key().id, std::nullopt);
  if (!Arrived(call)) return;
  if (!info.ok()) {
    CheckError(call, info.status(), "Fork");
    return;
  }
  ++answers_["OK"];
  const OracleState* const state =
      call.session->oracle->SawOld(info->digest, "Fork");
  if (state == nullptr) return;
  OracleState first = *state;
  if (first.ids.size() != info->committed_offset || info->generation != 1) {
    call.session->oracle->Fail("a fork is not at its parent's place");
  }
  AddSession(call, *info, std::move(first));
}

absl::StatusOr<std::string> SimWorld::ExportBytes(Call& call) {
  std::string bytes;
  const absl::Status status = call.replica->manager->Export(
      call.call, call.session->oracle->key().id,
      [&](std::string_view piece) -> absl::Status {
        baton_.Yield();
        bytes += piece;
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return bytes;
}

void SimWorld::ReadWhole(Call& call) {
  SessionOracle& oracle = *call.session->oracle;
  const auto bytes = ExportBytes(call);
  if (!Arrived(call)) return;
  if (!bytes.ok()) {
    CheckError(call, bytes.status(), "Export");
    return;
  }
  ++answers_["OK"];
  SnapshotReader reader({.tenant = oracle.key().tenant});
  const auto encoder = call.replica->model->Open({});
  absl::Status status = reader.Append(*bytes);
  reader.set_decoder(encoder->get());
  if (status.ok()) status = reader.Append("");
  const auto chunks = reader.TakeChunks();
  if (status.ok()) status = reader.Finish();
  if (!status.ok()) return oracle.Fail("an export cannot be read");
  const OracleState* const state =
      oracle.SawOld(reader.head()->digest, "Export");
  if (state != nullptr) {
    oracle.CheckContent(*state, chunks, reader.head()->tail);
  }
}

void SimWorld::ExportImport(Call& call) {
  if (sessions_.size() >= 8) return ReadWhole(call);
  SessionOracle& oracle = *call.session->oracle;
  const auto bytes = ExportBytes(call);
  if (!Arrived(call)) return;
  if (!bytes.ok()) {
    CheckError(call, bytes.status(), "Export");
    return;
  }
  size_t at = 0;
  const auto info = call.replica->manager->Import(
      call.call,
      [&]() -> absl::StatusOr<std::string> {
        const size_t begin = std::exchange(
            at, std::min(bytes->size(), at + 1 + size_t(baton_.Below(900))));
        return bytes->substr(begin, at - begin);
      },
      std::nullopt);
  if (!Arrived(call)) return;
  if (!info.ok()) {
    CheckError(call, info.status(), "Import");
    return;
  }
  ++answers_["OK"];
  const OracleState* const state = oracle.SawOld(info->digest, "Import");
  if (state == nullptr) return;
  OracleState first = *state;
  AddSession(call, *info, std::move(first));
}

void SimWorld::Delete(Call& call) {
  if (!Chance(40)) return Query(call);
  SessionOracle& oracle = *call.session->oracle;
  // Whatever the answer, it may be gone from now on.
  oracle.NoteMayBeGone();
  const absl::Status status =
      call.replica->manager->DeleteSession(call.call, oracle.key().id);
  ++answers_[ReasonOf(status)];
  if (Arrived(call) && status.ok()) oracle.NoteGone();
}

void SimWorld::Intrude(Call& call) {
  call.call.tenant = call.call.tenant == "a" ? "b" : "a";
  const SessionId id = call.session->oracle->key().id;
  absl::Status status;
  switch (baton_.Below(4)) {
    case 0:
      status = call.replica->manager->GetSession(call.call, id).status();
      break;
    case 1:
      status = call.replica->manager
                   ->Append(call.call, id,
                            {.expected_offset = 0,
                             .append_id = AppendId(0),
                             .content = std::vector<int32_t>{1}})
                   .status();
      break;
    case 2:
      status = call.replica->manager->Fork(call.call, id, {}).status();
      break;
    default:
      status = call.replica->manager->DeleteSession(call.call, id);
  }
  if (Arrived(call) &&
      (status.ok() ||
       (absl::IsNotFound(status) && ReasonOf(status) != "SESSION_NOT_FOUND"))) {
    failures_.push_back("a tenant saw another one's session");
  }
}

void SimWorld::CheckEnd(Session& session) {
  SessionOracle& oracle = *session.oracle;
  const auto attempt = [&](const auto& act) {
    Call call;
    call.session = &session;
    call.replica = replicas_.front().get();
    for (const auto& candidate : replicas_) {
      if (candidate->owner == session.owner) call.replica = candidate.get();
    }
    call.call.tenant = oracle.key().tenant;
    call.start = now_;
    call.before = oracle.Begin();
    act(call);
  };
  const int before = answers_["WRONG_REPLICA"];
  attempt([this](Call& call) { Get(call); });
  if (answers_["WRONG_REPLICA"] > before) {
    attempt([this](Call& call) { Get(call); });
  }
  if (oracle.gone() || !failures_.empty()) return;
  attempt([&](Call& call) {
    const int number = next_change_++;
    OracleChange change;
    change.append.append_id = AppendId(number);
    change.append.expected_offset = session.offset;
    change.append.content = std::vector<int32_t>{1, 2, 3, 4, 5};
    RunAppend(call, oracle.AddChange(std::move(change), number),
              Durability::kShared);
  });
  attempt([this](Call& call) { ReadWhole(call); });
}

}  // namespace longhand::testing
