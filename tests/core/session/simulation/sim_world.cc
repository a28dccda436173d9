// The world: time, processes, faults, and the end of a run.

#include "tests/core/session/simulation/sim_world.h"

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace longhand::testing {
namespace {

constexpr int kSteps = 160;
// Documents compare deadlines with the real clock: those of the simulation
// never pass there.
const absl::Time kStart = absl::FromUnixSeconds(5'000'000'000);

}  // namespace

class SimWorld::Environment final : public SessionEnvironment {
 public:
  Environment(SimWorld* world, absl::Duration skew)
      : world_(world), skew_(skew) {}

  absl::Time Now() override { return world_->now_ + skew_; }
  void RandomBytes(uint8_t* bytes, size_t size) override {
    for (size_t i = 0; i < size; ++i) {
      bytes[i] = uint8_t(world_->baton_.Below(256));
    }
  }
  void Yield() override { world_->baton_.Yield(); }
  bool Await(absl::Mutex& mutex, const absl::Condition& condition,
             absl::Duration) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (condition.Eval()) return true;
    mutex.Unlock();
    world_->baton_.Yield();
    mutex.Lock();
    return condition.Eval();
  }
  absl::Status CheckStop(const StopCondition& stop) override {
    if (stop.cancelled != nullptr && *stop.cancelled) {
      return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "cancelled");
    }
    if (Now() >= stop.deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                       "too late");
    }
    return absl::OkStatus();
  }

 private:
  SimWorld* const world_;
  const absl::Duration skew_;
};

SimWorld::SimWorld(uint64_t seed)
    : seed_(seed), baton_(seed), now_(kStart), store_(&baton_, &now_) {
  ChooseProfile();
  store_.on_commit = [this](const SessionKey& key,
                            const SimStore::Session& stored) {
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) found->second->oracle->SawStored(stored);
  };
  const int replicas = calm_ ? 1 : int(1 + baton_.Below(2));
  for (int i = 0; i < replicas; ++i) {
    replicas_.push_back(MakeReplica(absl::StrCat("replica-", i)));
  }
}

SimWorld::~SimWorld() {
  baton_.RunAll();
  replicas_.clear();
  former_.clear();
}

void SimWorld::ChooseProfile() {
  calm_ = Chance(25);
  const HashSessionModel model;
  // From room for a few chunks to room for all.
  options_.max_memory_bytes =
      Chance(50) ? 20'000 + baton_.Below(60'000) : uint64_t{1} << 30;
  options_.max_cache_bytes = Chance(50) ? model.chunk_bytes() * 10 : 0;
  options_.max_cache_bytes =
      std::min(options_.max_cache_bytes, options_.max_memory_bytes);
  options_.max_document_bytes = 4 * (Chance(30) ? 40 : 200);
  options_.max_append_bytes = 4 * 20;
  options_.max_sessions_per_tenant = 6;
  options_.default_ttl = absl::Hours(1);
  options_.gravestone_ttl = absl::Minutes(10);
  options_.lease_duration = absl::Seconds(30);
  options_.idle_release = absl::Seconds(Chance(50) ? 5 : 60);
  options_.write_behind = absl::Seconds(Chance(50) ? 1 : 10);
  if (Chance(60)) {
    store_.faults.fail_before = 5 + baton_.Below(40);
    store_.faults.fail_after = 5 + baton_.Below(40);
  }
  if (Chance(30)) store_.faults.slow = 4 + baton_.Below(20);
  if (!calm_ && Chance(40)) store_.faults.late = 2 + baton_.Below(20);
  if (Chance(30)) compute_failures_ = 4 + baton_.Below(20);
}

std::unique_ptr<SimWorld::Replica> SimWorld::MakeReplica(
    const std::string& owner) {
  auto replica = std::make_unique<Replica>();
  replica->owner = owner;
  // Clocks of machines differ; leases must not care.
  const absl::Duration skew =
      calm_ ? absl::ZeroDuration()
            : absl::Seconds(int64_t(baton_.Below(20)) - 10);
  replica->environment = std::make_unique<Environment>(this, skew);
  replica->store = store_.Connect(&replica->crashed);
  Replica* const self = replica.get();
  replica->model =
      std::make_unique<HashSessionModel>("1", [this, self]() -> absl::Status {
        baton_.Yield();
        const bool fails =
            compute_failures_ > 0 && baton_.OneIn(compute_failures_);
        if (!self->crashed && !fails) return absl::OkStatus();
        return MakeError(absl::StatusCode::kUnavailable, "OVERLOADED",
                         "so the simulation decided");
      });
  SessionManagerOptions options = options_;
  options.owner = owner;
  auto manager =
      SessionManager::Create(replica->model.get(), replica->store.get(),
                             replica->environment.get(), options);
  LH_CHECK(manager.ok());
  replica->manager = *std::move(manager);
  return replica;
}

std::vector<std::string> SimWorld::Run() {
  for (int step = 0; step < kSteps && failures_.empty(); ++step) Step();
  Heal();
  if (failures_.empty()) CheckAfterwards();
  baton_.RunAll();
  return failures_;
}

void SimWorld::Step() {
  if (baton_.tasks() < 4 && Chance(70)) StartCall();
  if (Chance(20)) now_ += absl::Milliseconds(int64_t(baton_.Below(2000)));
  if (Chance(15)) {
    Replica* const replica =
        replicas_[size_t(baton_.Below(replicas_.size()))].get();
    // One Tick at a time, as the server does it.
    if (replica->calls < 100) {
      replica->calls += 100;
      baton_.Start([replica] {
        replica->manager->Tick();
        replica->calls -= 100;
      });
    }
  }
  if (store_.faults.down && Chance(10)) store_.faults.down = false;
  if (Chance(6)) Disturb();
  for (uint64_t i = baton_.Below(4); i > 0; --i) baton_.Yield();
  for (const auto& replica : replicas_) {
    if (baton_.OneIn(8) && !replica->crashed) {
      const SessionManagerStats stats = replica->manager->stats();
      if (stats.memory_bytes > stats.memory_limit_bytes) {
        failures_.push_back("the memory budget was exceeded");
      }
    }
  }
}

void SimWorld::Disturb() {
  const uint64_t kind = baton_.Below(10);
  if (kind == 0 && !running_.empty()) {
    running_[size_t(baton_.Below(running_.size()))]->cancelled = true;
  } else if (kind == 1) {
    store_.faults.down = !store_.faults.down;
  } else if (kind == 2) {
    store_.DeliverLate();
  } else if (kind == 3 && Chance(30)) {
    now_ += absl::Minutes(int64_t(5 + baton_.Below(120)));
  } else if (kind == 4) {
    now_ += absl::Seconds(int64_t(5 + baton_.Below(60)));
  } else if (calm_) {
    return;
  } else if (kind == 5 && Chance(40)) {
    for (const SessionKey& key : store_.FailOver()) {
      const auto found = by_key_.find(key);
      if (found != by_key_.end())
        found->second->oracle->NoteLoss(now_ + options_.lease_duration);
    }
  } else if (kind <= 7) {
    Crash(size_t(baton_.Below(replicas_.size())));
  } else if (kind == 8) {
    DrainReplica(size_t(baton_.Below(replicas_.size())));
  }
}

void SimWorld::Crash(size_t index) {
  replicas_[index]->crashed = true;
  const std::string owner =
      Chance(50) ? replicas_[index]->owner
                 : absl::StrCat("replica-", index, "-", ++lives_);
  former_.push_back(std::exchange(replicas_[index], MakeReplica(owner)));
}

void SimWorld::DrainReplica(size_t index) {
  Replica* const replica = replicas_[index].get();
  if (std::exchange(replica->draining, true)) return;
  baton_.Start([this, index, replica] {
    replica->manager->Drain(now_ + absl::Seconds(10)).IgnoreError();
    // The process ends; one of the same name follows.
    if (replicas_[index].get() == replica) {
      replica->crashed = true;
      former_.push_back(
          std::exchange(replicas_[index], MakeReplica(replica->owner)));
    }
  });
}

void SimWorld::Heal() {
  store_.faults = {};
  compute_failures_ = 0;
  baton_.RunAll();
  healed_ = true;
  while (store_.DeliverLate()) {
  }
  // Leases of processes that are gone end.
  now_ += options_.lease_duration * 2 + absl::Seconds(30);
  for (const auto& replica : replicas_) replica->manager->Tick();
  former_.clear();
}

void SimWorld::CheckAfterwards() {
  for (Session& session : sessions_) {
    Run(&session, [this](Call& call) { CheckEnd(*call.session); });
    baton_.RunAll();
  }
  for (const auto& replica : replicas_) {
    const absl::Status drained =
        replica->manager->Drain(now_ + absl::Seconds(10));
    if (!drained.ok()) failures_.push_back("a healthy replica did not drain");
    const SessionManagerStats stats = replica->manager->stats();
    if (stats.resident_sessions != 0 || stats.dirty_sessions != 0) {
      failures_.push_back("a drained replica holds sessions");
    }
    if (stats.memory_bytes != stats.cache_bytes) {
      failures_.push_back(absl::StrCat("a drained replica holds ",
                                       stats.memory_bytes, " bytes, ",
                                       stats.cache_bytes, " in its cache"));
    }
    if (replica->manager->CreateSession({.tenant = "a"}, {}, std::nullopt)
            .status()
            .code() != absl::StatusCode::kUnavailable) {
      failures_.push_back("a drained replica took a call");
    }
  }
}

}  // namespace longhand::testing
