// In which order the scheduler takes work. One worker, held at a gate until
// everything waits, so that the order is certain.

#include "core/engine/scheduler.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

constexpr absl::Duration kNew = absl::ZeroDuration();
constexpr absl::Duration kLong = absl::Seconds(5);
constexpr absl::Duration kLonger = absl::Hours(1);

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
  SchedulerTest() : scheduler_(std::make_unique<Scheduler>(1)) {
    absl::Notification held;
    // The first of every four items is the gate's.
    scheduler_->Submit(std::make_shared<Task>([this, &held] {
                         held.Notify();
                         gate_.WaitForNotification();
                       }),
                       1);
    held.WaitForNotification();
  }

  // A phase whose items each write `name`.
  void Submit(char name, int items, absl::Duration served) {
    scheduler_->Submit(std::make_shared<Task>([this, name] {
                         absl::MutexLock lock(&mu_);
                         order_ += name;
                       }),
                       items, served);
  }

  // What ran, in order.
  std::string Run() {
    gate_.Notify();
    scheduler_.reset();
    absl::MutexLock lock(&mu_);
    return order_;
  }

  absl::Notification gate_;
  absl::Mutex mu_;
  std::string order_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, EqualWorkTakesTurns) {
  Submit('a', 3, kNew);
  Submit('b', 3, kNew);
  Submit('c', 1, kNew);
  EXPECT_EQ(Run(), "abcabab");
}

TEST_F(SchedulerTest, NewWorkGoesBeforeWorkThatWasServed) {
  Submit('l', 2, kLong);
  Submit('m', 2, kLonger);
  Submit('n', 2, kNew);
  EXPECT_EQ(Run(), "nnllmm");
}

TEST_F(SchedulerTest, WhatHasWaitedLongestIsNotStarved) {
  Submit('m', 2, kLonger);
  Submit('l', 3, kLong);
  Submit('n', 8, kNew);
  // Every fourth, the gate's item counted: 'm', then 'l', then 'm' again,
  // which went behind 'l' when its first item was taken.
  EXPECT_EQ(Run(), "nnmnnnlnnnmll");
}

TEST_F(SchedulerTest, AnItemMaySubmitWhileTheSchedulerStops) {
  Scheduler* const scheduler = scheduler_.get();
  const auto more = std::make_shared<Task>([this] {
    absl::MutexLock lock(&mu_);
    order_ += 'z';
  });
  scheduler->Submit(
      std::make_shared<Task>([] {}, [=] { scheduler->Submit(more, 2, kLong); }),
      1);
  EXPECT_EQ(Run(), "zz");
}

}  // namespace
}  // namespace longhand
