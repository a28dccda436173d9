#include "core/session/blocking_pool.h"

#include <atomic>
#include <memory>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

TEST(BlockingPoolTest, RunsWhatItAccepts) {
  std::atomic<int> runs{0};
  int accepted = 0;
  {
    BlockingPool pool(3, 100);
    for (int i = 0; i < 100; ++i) accepted += pool.Submit([&] { ++runs; });
  }
  EXPECT_EQ(accepted, 100);
  EXPECT_EQ(runs, 100);
}

TEST(BlockingPoolTest, RefusesWhatItCannotHold) {
  absl::Notification go, started;
  BlockingPool pool(1, 1);
  ASSERT_TRUE(pool.Submit([&] {
    started.Notify();
    go.WaitForNotification();
  }));
  started.WaitForNotification();
  EXPECT_EQ(pool.running(), 1u);
  ASSERT_TRUE(pool.Submit([] {}));
  EXPECT_EQ(pool.queued(), 1u);
  auto held = std::make_shared<int>();
  EXPECT_FALSE(pool.Submit([held] {}));
  EXPECT_EQ(held.use_count(), 1);
  go.Notify();
}

TEST(BlockingPoolTest, WithoutAQueueFreeThreadsTakeWork) {
  absl::Notification go;
  BlockingPool pool(2, 0);
  ASSERT_TRUE(pool.Submit([&] { go.WaitForNotification(); }));
  ASSERT_TRUE(pool.Submit([&] { go.WaitForNotification(); }));
  EXPECT_FALSE(pool.Submit([] {}));
  go.Notify();
}

TEST(BlockingPoolTest, TasksRunSideBySide) {
  // Each waits for the other.
  absl::Notification one, two;
  BlockingPool pool(2, 0);
  ASSERT_TRUE(pool.Submit([&] {
    one.Notify();
    two.WaitForNotification();
  }));
  ASSERT_TRUE(pool.Submit([&] {
    two.Notify();
    one.WaitForNotification();
  }));
}

}  // namespace
}  // namespace longhand
