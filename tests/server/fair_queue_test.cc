#include "server/fair_queue.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

namespace longhand {
namespace {

using Queue = FairQueue<int>;

// Costs that each tenant got of the next `count` entries.
std::map<std::string, double> Take(Queue& queue, int count,
                                   const std::map<int, std::string>& owners) {
  std::map<std::string, double> costs;
  for (int i = 0; i < count; ++i) {
    auto entry = queue.Pop();
    if (!entry) break;
    costs[owners.at(entry->item)] += entry->cost;
  }
  return costs;
}

TEST(FairQueue, OneTenantIsServedInOrder) {
  Queue queue;
  for (int i = 0; i < 5; ++i) queue.Push("a", 1, {i, 5.0 - i});
  EXPECT_EQ(queue.size(), 5u);
  EXPECT_EQ(queue.cost(), 15);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.Pop()->item, i);
  EXPECT_FALSE(queue.Pop().has_value());
  EXPECT_EQ(queue.cost(), 0);
}

TEST(FairQueue, CostIsSharedByWeightWhateverEntriesCost) {
  Queue queue;
  std::map<int, std::string> owners;
  int next = 0;
  for (int i = 0; i < 400; ++i) {
    owners[next] = "small";
    queue.Push("small", 1, {next++, 10});
  }
  for (int i = 0; i < 40; ++i) {
    owners[next] = "large";
    queue.Push("large", 3, {next++, 100});
  }
  EXPECT_EQ(queue.weights(), 4);
  auto costs = Take(queue, 110, owners);
  EXPECT_NEAR(costs["large"] / costs["small"], 3, 0.2);
}

TEST(FairQueue, WhoWasAwayHasNoClaimOnIt) {
  Queue queue;
  std::map<int, std::string> owners;
  for (int i = 0; i < 100; ++i) {
    owners[i] = "a";
    queue.Push("a", 1, {i, 1});
  }
  Take(queue, 50, owners);
  for (int i = 100; i < 200; ++i) {
    owners[i] = "b";
    queue.Push("b", 1, {i, 1});
  }
  auto costs = Take(queue, 40, owners);
  EXPECT_NEAR(costs["a"], 20, 1);
  EXPECT_NEAR(costs["b"], 20, 1);
}

// Emptying one's queue must not wipe out what one was ahead.
TEST(FairQueue, ComingBackDoesNotHelp) {
  Queue queue;
  for (int i = 0; i < 100; ++i) queue.Push("patient", 1, {0, 10});
  double patient = 0, eager = 0;
  queue.Push("eager", 1, {1, 10});
  for (int i = 0; i < 100; ++i) {
    const auto entry = queue.Pop();
    if (entry->item == 0) {
      patient += entry->cost;
    } else {
      eager += entry->cost;
      queue.Push("eager", 1, {1, 10});
    }
  }
  EXPECT_NEAR(patient, eager, 20);
}

TEST(FairQueue, EntriesCanLeave) {
  Queue queue;
  for (int i = 0; i < 3; ++i) queue.Push("a", 1, {i, 1});
  queue.Push("b", 1, {7, 4});
  const auto is = [](int wanted) {
    return [wanted](int item) { return item == wanted; };
  };
  EXPECT_FALSE(queue.Erase("a", is(7)));
  EXPECT_FALSE(queue.Erase("c", is(7)));
  EXPECT_TRUE(queue.Erase("a", is(1)));
  EXPECT_TRUE(queue.Erase("b", is(7)));
  EXPECT_EQ(queue.CostOf("b"), 0);
  EXPECT_EQ(queue.weights(), 1);
  EXPECT_EQ(queue.cost(), 2);
  EXPECT_EQ(queue.Pop()->item, 0);
  EXPECT_EQ(queue.Pop()->item, 2);
  EXPECT_EQ(queue.size(), 0u);
}

TEST(FairQueue, TheLargestGivesWay) {
  Queue queue;
  for (int i = 0; i < 4; ++i) queue.Push("large", 1, {i, 10});
  queue.Push("small", 1, {9, 10});
  // Who would have as much itself gets nothing.
  EXPECT_FALSE(queue.PopFromLargest("large", 1, 10).has_value());
  EXPECT_FALSE(queue.PopFromLargest("new", 1, 40).has_value());
  // A weight of 4 has a claim to four times as much.
  EXPECT_EQ(queue.PopFromLargest("new", 4, 40)->item, 3);
  EXPECT_EQ(queue.PopFromLargest("small", 1, 10)->item, 2);
  EXPECT_EQ(queue.size(), 3u);
}

}  // namespace
}  // namespace longhand
