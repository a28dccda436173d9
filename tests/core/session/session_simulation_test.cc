// Runs the simulation of sessions over many seeds. A seed that fails is run
// again by itself with
//   LONGHAND_SIMULATION_SEED=N bin/session_simulation_test
// and LONGHAND_SIMULATION_SEEDS=N runs the first N.

#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "tests/core/session/simulation/sim_world.h"

namespace longhand::testing {
namespace {

constexpr uint64_t kSeeds = 2000;

uint64_t NumberFrom(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::stoull(text);
}

TEST(SessionSimulationTest, NoSeedFindsAViolation) {
  const uint64_t only = NumberFrom("LONGHAND_SIMULATION_SEED", 0);
  const uint64_t first = only != 0 ? only : 1;
  const uint64_t last =
      only != 0 ? only : NumberFrom("LONGHAND_SIMULATION_SEEDS", kSeeds);
  std::map<std::string, int> answers;
  int failed = 0;
  for (uint64_t seed = first; seed <= last && failed < 10; ++seed) {
    SimWorld world(seed);
    const std::vector<std::string> failures = world.Run();
    for (const auto& [reason, count] : world.answers()) {
      answers[reason] += count;
    }
    if (failures.empty()) continue;
    ++failed;
    ADD_FAILURE() << "seed " << seed << ":\n  "
                  << absl::StrJoin(failures, "\n  ")
                  << "\nrun it again: LONGHAND_SIMULATION_SEED=" << seed
                  << " bin/session_simulation_test";
  }
  for (const auto& [reason, count] : answers) {
    RecordProperty(reason, count);
    if (only == 0) std::cout << count << " " << reason << "\n";
  }
  if (only != 0) return;
  // Everything that can be answered was.
  for (const char* reason :
       {"OK", "OK, repeated", "OFFSET_GAP", "OFFSET_ALREADY_WRITTEN",
        "CONCURRENT_APPEND", "STATE_DIVERGED", "APPEND_ID_REUSED",
        "SESSION_CLOSED", "WRONG_REPLICA", "STALE_GENERATION", "STORE_DEGRADED",
        "OVERLOADED", "DRAINING", "QUEUE_TIMEOUT", "CANCELLED",
        "SESSION_EXPIRED", "SESSION_NOT_FOUND", "TENANT_QUOTA",
        "SESSION_TOKEN_LIMIT"}) {
    EXPECT_GT(answers[reason], 0) << reason;
  }
}

TEST(SessionSimulationTest, ASeedRunsTheSameWayAgain) {
  SimWorld one(17), two(17);
  one.Run();
  two.Run();
  EXPECT_EQ(one.answers(), two.answers());
}

}  // namespace
}  // namespace longhand::testing
