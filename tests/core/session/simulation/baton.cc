#include "tests/core/session/simulation/baton.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace longhand::testing {

Baton::~Baton() {
  LH_CHECK(tasks() == 0);
  for (const auto& runner : runners_) {
    runner->stops = true;
    runner->turn.release();
    runner->thread.join();
  }
}

void Baton::Start(std::function<void()> task) {
  if (resting_.empty()) {
    Runner* const runner =
        runners_.emplace_back(std::make_unique<Runner>()).get();
    runner->thread = std::thread([this, runner] { Work(runner); });
    resting_.push_back(runner);
  }
  Runner* const runner = resting_.back();
  resting_.pop_back();
  runner->task = std::move(task);
  runnable_.push_back(runner);
}

void Baton::Yield() {
  ++steps_;
  // A program that runs so long waits for itself.
  LH_CHECK(steps_ < 5'000'000);
  Runner* const self = current_;
  Runner* const next = runnable_[Below(runnable_.size())];
  if (next == self) return;
  current_ = next;
  next->turn.release();
  self->turn.acquire();
}

void Baton::RunAll() {
  while (tasks() > 0) Yield();
}

void Baton::Work(Runner* runner) {
  while (true) {
    runner->turn.acquire();
    if (runner->stops) return;
    std::exchange(runner->task, nullptr)();
    std::erase(runnable_, runner);
    resting_.push_back(runner);
    Runner* const next = runnable_[Below(runnable_.size())];
    current_ = next;
    next->turn.release();
  }
}

}  // namespace longhand::testing
