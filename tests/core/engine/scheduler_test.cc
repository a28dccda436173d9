// In which order the scheduler takes work. One worker, held at a gate until
// everything waits, so that the order is certain.

#include "core/engine/scheduler.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

// More than the first level gives, whatever a busy machine lets pass between
// two submissions, which counts as rest.
const absl::Duration kLongService = 8 * Scheduler::kFirstLevel;

class Task final : public Phase {
 public:
  explicit Task(std::function<void()> item,
                std::function<void()> complete = nullptr)
      : item_(std::move(item)), complete_(std::move(complete)) {}
  void RunItem(int, ComputeContext&) override { item_(); }
  void OnComplete() override {
    if (complete_) complete_();
  }

 private:
  const std::function<void()> item_, complete_;
};

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() : scheduler_(std::make_unique<Scheduler>(1)) { Hold(); }

  // Nothing submitted from now on runs before Release.
  void Hold() {
    absl::Notification held;
    gate_ = std::make_shared<absl::Notification>();
    scheduler_->Submit(std::make_shared<Task>([gate = gate_, &held] {
                         held.Notify();
                         gate->WaitForNotification();
                       }),
                       1);
    held.WaitForNotification();
  }
  void Release() { gate_->Notify(); }

  void Write(char name) {
    absl::MutexLock lock(&mu_);
    order_ += name;
  }

  // A phase whose items each write `name`.
  std::shared_ptr<Task> MakeTask(char name) {
    return std::make_shared<Task>([this, name] { Write(name); });
  }

  // One that has had `service`. REQUIRES: released.
  std::shared_ptr<Task> MakeServedTask(char name, absl::Duration service) {
    struct WarmUp {
      std::atomic<bool> is_over = false;
      absl::Notification done;
    };
    const auto warm_up = std::make_shared<WarmUp>();
    const auto task = std::make_shared<Task>(
        [this, name, service, warm_up] {
          if (warm_up->is_over) {
            Write(name);
          } else {
            absl::SleepFor(service);
          }
        },
        [warm_up] {
          if (!warm_up->is_over.exchange(true)) warm_up->done.Notify();
        });
    scheduler_->Submit(task, 1);
    warm_up->done.WaitForNotification();
    return task;
  }

  // What ran, in order.
  std::string Finish() {
    Release();
    scheduler_.reset();
    absl::MutexLock lock(&mu_);
    return order_;
  }

  std::shared_ptr<absl::Notification> gate_;
  absl::Mutex mu_;
  std::string order_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, WhoComesFirstIsFinishedFirst) {
  scheduler_->Submit(MakeTask('a'), 3);
  scheduler_->Submit(MakeTask('b'), 2);
  scheduler_->Submit(MakeTask('c'), 1);
  EXPECT_EQ(Finish(), "aaabbc");
}

// The next phase of a document goes on where the last one was.
TEST_F(SchedulerTest, TheNextPhaseKeepsItsPlace) {
  Scheduler* const scheduler = scheduler_.get();
  std::shared_ptr<Task> task;
  int phases = 1;
  task = std::make_shared<Task>([this] { Write('a'); },
                                [&] {
                                  if (phases++ < 3) scheduler->Submit(task, 2);
                                });
  scheduler->Submit(task, 1);
  scheduler->Submit(MakeTask('b'), 2);
  EXPECT_EQ(Finish(), "aaaaabb");
}

TEST_F(SchedulerTest, NewWorkGoesBeforeWorkThatWasServed) {
  Release();
  const auto served = MakeServedTask('l', kLongService);
  Hold();
  scheduler_->Submit(served, 2);
  scheduler_->Submit(MakeTask('n'), 2);
  EXPECT_EQ(Finish(), "nnll");
}

// A stream that brings something now and then is not long work.
TEST_F(SchedulerTest, WhoHasRestedIsNew) {
  Release();
  const auto served = MakeServedTask('l', 2 * Scheduler::kFirstLevel);
  absl::SleepFor(3 * Scheduler::kFirstLevel);
  Hold();
  scheduler_->Submit(served, 2);
  scheduler_->Submit(MakeTask('n'), 2);
  EXPECT_EQ(Finish(), "llnn");
}

// Not even the items of one phase hold up new work for long.
TEST_F(SchedulerTest, APhaseOfManyItemsIsMovedDownOnTheWay) {
  std::atomic<int> ran = 0;
  std::atomic<int> ran_before = 0;
  scheduler_->Submit(std::make_shared<Task>([&] {
                       absl::SleepFor(Scheduler::kFirstLevel / 4);
                       ++ran;
                     }),
                     12);
  scheduler_->Submit(std::make_shared<Task>([&] { ran_before = ran.load(); }),
                     1);
  Finish();
  EXPECT_EQ(ran, 12);
  EXPECT_GE(ran_before, 1);
  // An item counts once it is over, and the next is placed before.
  EXPECT_LE(ran_before, 5);
}

// New work without end does not keep long work from its share.
TEST_F(SchedulerTest, WhatIsPassedOverIsNotStarved) {
  Release();
  const auto served = MakeServedTask('l', kLongService);
  Hold();
  Scheduler* const scheduler = scheduler_.get();
  scheduler->Submit(served, 1);
  bool was_starved = false;
  int rounds = 0;
  const std::function<void()> again = [&] {
    {
      absl::MutexLock lock(&mu_);
      if (!order_.empty()) return;
    }
    // A second of new work is more than anyone should wait for.
    was_starved = ++rounds > 1000;
    if (was_starved) return;
    scheduler->Submit(std::make_shared<Task>(
                          [] { absl::SleepFor(absl::Milliseconds(1)); }, again),
                      1);
  };
  again();
  EXPECT_EQ(Finish(), "l");
  EXPECT_FALSE(was_starved);
  EXPECT_GT(rounds, 1);
}

TEST_F(SchedulerTest, AnItemMaySubmitWhileTheSchedulerStops) {
  Scheduler* const scheduler = scheduler_.get();
  const auto more = MakeTask('z');
  scheduler->Submit(
      std::make_shared<Task>([] {}, [=] { scheduler->Submit(more, 2); }), 1);
  EXPECT_EQ(Finish(), "zz");
}

}  // namespace
}  // namespace longhand
