#include "server/session_host.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "server/logging.h"

namespace longhand {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
// Work that waits, for each thread.
constexpr int kQueuedPerThread = 4;
// Of the time for draining, what asking for the streams' offsets may take.
constexpr int kQueryShare = 4;

absl::Status Overloaded(absl::string_view what, int limit) {
  return MakeError(absl::StatusCode::kUnavailable, "OVERLOADED",
                   absl::StrCat("too many ", what,
                                " are in work or waiting; try again later"),
                   {{"limit_calls", absl::StrCat(limit)}});
}

}  // namespace

SessionHost::SessionHost(SessionParts parts, int threads)
    : parts_(std::move(parts)),
      max_calls_(threads * (1 + kQueuedPerThread)),
      max_transfers_(std::max(1, threads / 2)) {
  LH_CHECK(parts_.manager != nullptr);
  pool_ = std::make_unique<BlockingPool>(
      static_cast<size_t>(threads),
      static_cast<size_t>(threads * kQueuedPerThread));
  ticker_ = std::thread([this] { Tick(); });
}

SessionHost::~SessionHost() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  ticker_.join();
  pool_.reset();
}

absl::Status SessionHost::Run(absl::AnyInvocable<void()> work) {
  if (pool_->Submit(std::move(work))) return absl::OkStatus();
  return Overloaded("session calls", max_calls_);
}

absl::StatusOr<std::unique_ptr<SessionHost::Transfer>>
SessionHost::StartTransfer() {
  auto transfer = std::make_unique<Transfer>(&transfers_);
  if (++transfers_ > max_transfers_) {
    return Overloaded("exports and imports", max_transfers_);
  }
  return transfer;
}

bool SessionHost::AddListener(const std::shared_ptr<DrainListener>& listener) {
  absl::MutexLock lock(&mu_);
  if (draining_) return false;
  listeners_[listener.get()] = listener;
  return true;
}

void SessionHost::RemoveListener(const DrainListener* listener) {
  absl::MutexLock lock(&mu_);
  listeners_.erase(listener);
}

absl::Status SessionHost::Drain(absl::Time deadline) {
  std::vector<std::shared_ptr<DrainListener>> told;
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [key, listener] : listeners_) {
      if (auto strong = listener.lock()) told.push_back(std::move(strong));
    }
    listeners_.clear();
  }
  const absl::Time now = absl::Now();
  const absl::Time query_until =
      now + std::max(deadline - now, absl::ZeroDuration()) / kQueryShare;
  for (const auto& listener : told) listener->OnDrain(query_until);
  return manager().Drain(deadline);
}

void SessionHost::Tick() {
  absl::MutexLock lock(&mu_);
  for (;;) {
    mu_.AwaitWithTimeout(absl::Condition(&stopping_), kTick);
    if (stopping_) return;
    mu_.Unlock();
    manager().Tick();
    NoteStoreHealth();
    mu_.Lock();
  }
}

void SessionHost::NoteStoreHealth() {
  const bool healthy = manager().stats().store_healthy;
  if (healthy == store_was_healthy_) return;
  store_was_healthy_ = healthy;
  if (healthy) {
    Log(LogLevel::kInfo, "the session store works again",
        {{"store", store_name()}});
  } else {
    Log(LogLevel::kWarning,
        "the session store does not work; sessions go on in memory",
        {{"store", store_name()}});
  }
}

}  // namespace longhand
