#include "core/session/session_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager_impl.h"

namespace longhand {
namespace {

using absl::StatusCode;

constexpr int kMaxPageSize = 1000;
constexpr int kDefaultPageSize = 100;
// Of the flush when the manager goes.
constexpr absl::Duration kLastDrain = absl::Seconds(10);

absl::Status CheckOptions(const SessionManagerOptions& options) {
  std::string wrong;
  const auto require = [&](bool holds, const char* what) {
    if (!holds && wrong.empty()) wrong = what;
  };
  const absl::Duration zero = absl::ZeroDuration();
  require(options.max_memory_bytes > 0, "max_memory_bytes must be above 0");
  require(options.max_cache_bytes <= options.max_memory_bytes,
          "max_cache_bytes must not be above max_memory_bytes");
  require(options.max_document_bytes > 0, "max_document_bytes must be above 0");
  require(options.max_append_bytes > 0, "max_append_bytes must be above 0");
  require(options.max_sessions_per_tenant > 0,
          "max_sessions_per_tenant must be above 0");
  require(options.default_ttl > zero && options.default_ttl <= options.max_ttl,
          "default_ttl must be above 0 and not above max_ttl");
  require(options.max_ttl <= absl::Hours(24 * 3650),
          "max_ttl must not be above ten years");
  require(options.gravestone_ttl > zero, "gravestone_ttl must be above 0");
  require(options.lease_duration >= absl::Seconds(1),
          "lease_duration must be 1 second or more");
  require(options.idle_release > zero, "idle_release must be above 0");
  require(options.write_behind >= zero, "write_behind must not be negative");
  require(!options.owner.empty() && options.owner.size() <= 255 &&
              std::all_of(options.owner.begin(), options.owner.end(),
                          [](char c) { return c > ' ' && c <= '~'; }),
          "owner must be 1 to 255 printable characters");
  if (wrong.empty()) return absl::OkStatus();
  return MakeError(StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   absl::StrCat("sessions: ", wrong));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionManager>> SessionManager::Create(
    SessionModel* model, SessionStore* store, SessionEnvironment* environment,
    const SessionManagerOptions& options) {
  LH_RETURN_IF_ERROR(CheckOptions(options));
  return std::make_unique<SessionManagerImpl>(model, store, environment,
                                              options);
}

SessionManagerImpl::SessionManagerImpl(SessionModel* model, SessionStore* store,
                                       SessionEnvironment* environment,
                                       const SessionManagerOptions& options)
    : model_(model),
      store_(store),
      environment_(environment),
      options_(options),
      keeper_(model, store, environment, options),
      quota_(environment) {}

SessionManagerImpl::~SessionManagerImpl() {
  Drain(environment_->Now() + kLastDrain).IgnoreError();
}

absl::Status SessionManagerImpl::Begin() {
  absl::MutexLock lock(&mutex_);
  if (draining_) return DrainingError();
  ++running_;
  return absl::OkStatus();
}

void SessionManagerImpl::End() {
  absl::MutexLock lock(&mutex_);
  --running_;
}

absl::StatusOr<SessionInfo> SessionManagerImpl::CreateSession(
    const SessionCall& call, const EncodeOptions& options,
    std::optional<absl::Duration> ttl) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  LH_ASSIGN_OR_RETURN(const absl::Duration life,
                      CheckTtl(ttl, options_.default_ttl));
  LH_ASSIGN_OR_RETURN(const EncodeOptions resolved,
                      model_->ResolveOptions(options));
  LH_ASSIGN_OR_RETURN(auto encoder, model_->Open(resolved));
  LH_ASSIGN_OR_RETURN(
      SessionDocument document,
      SessionDocument::Create(encoder, keeper_.DocumentOptions(call.tenant)));
  LH_ASSIGN_OR_RETURN(
      auto resident,
      MakeResident(call.tenant, std::move(encoder), std::move(document), life));
  return AddSession(call, std::move(resident));
}

absl::StatusOr<std::shared_ptr<Resident>> SessionManagerImpl::MakeResident(
    const std::string& tenant, std::shared_ptr<const DocumentEncoder> encoder,
    SessionDocument document, absl::Duration ttl) {
  auto resident = std::make_shared<Resident>();
  resident->own_bytes = keeper_.memory().MakePart(tenant);
  const uint64_t own = document.own_bytes();
  LH_RETURN_IF_ERROR(
      keeper_.Grow(*resident->own_bytes, own, document.encoded_bytes() + own));
  resident->encoder = std::move(encoder);
  resident->document =
      std::make_shared<const SessionDocument>(std::move(document));
  resident->create_time = resident->last_use = environment_->Now();
  resident->ttl = ttl;
  return resident;
}

absl::StatusOr<SessionInfo> SessionManagerImpl::AddSession(
    const SessionCall& call, std::shared_ptr<Resident> resident) {
  LH_RETURN_IF_ERROR(environment_->CheckStop(call.stop));
  int limit = options_.max_sessions_per_tenant;
  if (call.max_sessions > 0) limit = std::min(limit, call.max_sessions);
  LH_ASSIGN_OR_RETURN(SessionQuota::Place place, quota_.Take(call, limit, [&] {
    return CountStored(call.tenant);
  }));
  if (resident->document->committed_offset() > 0 ||
      resident->document->closed()) {
    resident->version = 1;
    resident->dirty_since = environment_->Now();
  }
  LH_ASSIGN_OR_RETURN(const Pin pin,
                      keeper_.Add(call.tenant, std::move(resident)));
  place.NoteStored();
  absl::MutexLock lock(&pin.entry().mutex);
  return MakeInfo(pin.entry().key, *pin.resident);
}

absl::StatusOr<SessionInfo> SessionManagerImpl::GetSession(
    const SessionCall& call, const SessionId& id) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  return keeper_.Describe({call.tenant, id}, call.stop);
}

absl::StatusOr<SessionPage> SessionManagerImpl::ListSessions(
    const SessionCall& call, int page_size, const std::string& page_token) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  const size_t limit =
      page_size <= 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
  std::optional<SessionId> after;
  if (!page_token.empty()) {
    after = ParseSessionId(page_token);
    if (!after) {
      return MakeError(StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                       "page_token is none that was given out; begin with an "
                       "empty one");
    }
  }
  SessionPage page;
  while (true) {
    LH_RETURN_IF_ERROR(environment_->CheckStop(call.stop));
    // One more than asked for says whether there is a next page.
    const size_t wanted = limit - page.sessions.size() + 1;
    LH_ASSIGN_OR_RETURN(
        const auto stored,
        store_->List(call.tenant, after ? &*after : nullptr, wanted));
    for (const StoredSession& session : stored) {
      if (page.sessions.size() == limit) {
        page.next_page_token = FormatSessionId(*after);
        return page;
      }
      after = session.id;
      const SessionKey key{call.tenant, session.id};
      std::optional<SessionInfo> info = keeper_.Peek(key);
      if (!info && !IsGravestone(session.head) &&
          environment_->Now() < session.head.expire_time) {
        info = MakeInfo(key, session.head, session.generation, durability());
      }
      if (info) page.sessions.push_back(*std::move(info));
    }
    if (stored.size() < wanted) return page;
  }
}

absl::Status SessionManagerImpl::DeleteSession(const SessionCall& call,
                                               const SessionId& id) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  const uint64_t count_number = quota_.CountNumber(call.tenant);
  LH_ASSIGN_OR_RETURN(const bool was_alive,
                      keeper_.Delete({call.tenant, id}, call.stop));
  if (was_alive) quota_.NoteRemoved(call.tenant, count_number);
  return absl::OkStatus();
}

absl::Status SessionManagerImpl::Drain(absl::Time deadline) {
  const auto is_idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return running_ == 0;
  };
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    while (!environment_->Await(mutex_, absl::Condition(&is_idle),
                                absl::Milliseconds(50))) {
      if (environment_->Now() >= deadline) {
        return MakeError(StatusCode::kDeadlineExceeded, "DRAIN_INCOMPLETE",
                         "calls are still running; drain again");
      }
    }
  }
  return keeper_.ReleaseAll(deadline);
}

bool SessionManagerImpl::draining() const {
  absl::MutexLock lock(&mutex_);
  return draining_;
}

void SessionManagerImpl::Tick() {
  const Running running(this);
  if (running.status().ok()) keeper_.Tick();
}

SessionManagerStats SessionManagerImpl::stats() const {
  const SessionKeeper::Counters& counters = keeper_.counters();
  SessionManagerStats stats;
  stats.resident_sessions = keeper_.CountResident(/*dirty_only=*/false);
  if (keeper_.survives_crash()) {
    stats.dirty_sessions = keeper_.CountResident(/*dirty_only=*/true);
  }
  stats.memory_bytes = keeper_.memory().used_bytes();
  stats.memory_limit_bytes = keeper_.memory().limit_bytes();
  stats.cache_bytes = keeper_.cache().own_bytes();
  stats.cache_hits = keeper_.cache().hits();
  stats.cache_misses = keeper_.cache().misses();
  stats.evictions = counters.evictions;
  stats.restores = counters.restores;
  stats.fencing_rejected = counters.fencing_rejected;
  stats.checksum_failures = counters.checksum_failures;
  stats.store_errors = counters.store_errors;
  stats.expired = counters.expired;
  stats.store_healthy = keeper_.store_healthy();
  return stats;
}

absl::StatusOr<absl::Duration> SessionManagerImpl::CheckTtl(
    std::optional<absl::Duration> ttl, absl::Duration default_ttl) const {
  const absl::Duration life = ttl.value_or(default_ttl);
  if (life > absl::ZeroDuration() && life <= options_.max_ttl) return life;
  return MakeError(
      StatusCode::kInvalidArgument, "TTL_OUT_OF_RANGE",
      absl::StrCat("ttl must be above 0 and at most ",
                   absl::FormatDuration(options_.max_ttl)),
      {{"max_seconds", absl::StrCat(absl::ToInt64Seconds(options_.max_ttl))}});
}

absl::Status SessionManagerImpl::CheckDurability(Durability asked) const {
  if (asked <= durability()) return absl::OkStatus();
  const std::string offered(DurabilityName(durability()));
  return MakeError(
      StatusCode::kFailedPrecondition, "DURABILITY_UNAVAILABLE",
      absl::StrCat("this server's store offers min_durability ", offered,
                   " at most; ask for that, or for a server with another "
                   "store"),
      {{"offered", offered}});
}

absl::StatusOr<int> SessionManagerImpl::CountStored(const std::string& tenant) {
  int sessions = 0;
  std::optional<SessionId> after;
  while (sessions < options_.max_sessions_per_tenant) {
    environment_->Yield();
    auto stored = store_->List(tenant, after ? &*after : nullptr, kMaxPageSize);
    if (!stored.ok()) return keeper_.StoreTrouble(stored.status());
    for (const StoredSession& session : *stored) {
      if (!IsGravestone(session.head)) ++sessions;
    }
    if (stored->size() < size_t{kMaxPageSize}) break;
    after = stored->back().id;
  }
  return sessions;
}

}  // namespace longhand
