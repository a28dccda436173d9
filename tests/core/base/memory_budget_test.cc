#include "core/base/memory_budget.h"

#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/base/temp_dir.h"

namespace longhand {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;

void WriteMeminfo(const TempDir& root, uint64_t mebibytes) {
  root.Write("proc/meminfo",
             "MemTotal:       " + std::to_string(mebibytes * 1024) +
                 " kB\nMemFree:          1024 kB\nHugePages_Total:       0\n");
}

void WriteV2(const TempDir& root, std::string_view group) {
  root.Write("proc/self/mountinfo",
             "31 23 0:28 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n");
  root.Write("proc/self/cgroup", "0::" + std::string(group) + "\n");
}

TEST(MemoryBudget, MachineOnly) {
  TempDir root;
  WriteMeminfo(root, 16'000);
  const MemoryBudget budget = DetectMemoryBudget(root.path());
  EXPECT_EQ(budget.bytes, 16'000 * kMiB);
  EXPECT_FALSE(budget.limit_bytes.has_value());
  EXPECT_EQ(budget.explanation,
            "16000 MiB of memory, limited by the machine (machine 16000 MiB, "
            "control group limit none)");
}

TEST(MemoryBudget, SmallestLimitOfAllAncestorsCounts) {
  TempDir root;
  WriteMeminfo(root, 16'000);
  WriteV2(root, "/pods/app");
  root.Write("sys/fs/cgroup/pods/app/memory.max", "max\n");
  root.Write("sys/fs/cgroup/pods/memory.max", std::to_string(512 * kMiB));
  root.Write("sys/fs/cgroup/memory.max", std::to_string(900 * kMiB));
  root.Write("sys/fs/cgroup/other/memory.max", std::to_string(kMiB));
  const MemoryBudget budget = DetectMemoryBudget(root.path());
  EXPECT_EQ(budget.bytes, 512 * kMiB);
  EXPECT_EQ(budget.machine_bytes, 16'000 * kMiB);
  EXPECT_EQ(budget.limit_bytes, 512 * kMiB);
  EXPECT_THAT(budget.explanation, HasSubstr("512 MiB of memory, limited by "
                                            "control group "));
  EXPECT_THAT(budget.explanation, HasSubstr("/pods ("));
}

TEST(MemoryBudget, LimitAboveTheMachine) {
  TempDir root;
  WriteMeminfo(root, 100);
  WriteV2(root, "/");
  root.Write("sys/fs/cgroup/memory.max", std::to_string(200 * kMiB));
  EXPECT_EQ(DetectMemoryBudget(root.path()).bytes, 100 * kMiB);
}

TEST(MemoryBudget, VersionOne) {
  TempDir root;
  WriteMeminfo(root, 1'000);
  root.Write("proc/self/mountinfo",
             "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup "
             "rw,memory\n");
  root.Write("proc/self/cgroup", "4:memory:/a/b\n1:cpu:/c\n0::/\n");
  // What version 1 reports where no limit was set.
  root.Write("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
             "9223372036854771712\n");
  EXPECT_FALSE(DetectMemoryBudget(root.path()).limit_bytes.has_value());
  root.Write("sys/fs/cgroup/memory/a/memory.limit_in_bytes",
             std::to_string(300 * kMiB) + "\n");
  EXPECT_EQ(DetectMemoryBudget(root.path()).bytes, 300 * kMiB);
}

TEST(MemoryBudget, NothingKnown) {
  TempDir root;
  root.Write("proc/meminfo", "MemTotal: lots\n");
  const MemoryBudget budget = DetectMemoryBudget(root.path());
  EXPECT_EQ(budget.bytes, 0u);
  EXPECT_THAT(budget.explanation, HasSubstr("unknown memory"));
}

TEST(MemoryBudget, MachineSizeThatOverflowsIsIgnored) {
  TempDir root;
  root.Write("proc/meminfo", "MemTotal: 18446744073709551615 kB\n");
  EXPECT_FALSE(DetectMemoryBudget(root.path()).machine_bytes.has_value());
}

TEST(MemoryBudget, LimitWithoutMeminfo) {
  TempDir root;
  WriteV2(root, "/");
  root.Write("sys/fs/cgroup/memory.max", std::to_string(64 * kMiB));
  EXPECT_EQ(DetectMemoryBudget(root.path()).bytes, 64 * kMiB);
}

TEST(MemoryBudget, ThisMachine) {
  const MemoryBudget budget = DetectMemoryBudget();
  EXPECT_GT(budget.bytes, 16 * kMiB);
  ASSERT_TRUE(budget.machine_bytes.has_value());
  EXPECT_LE(budget.bytes, *budget.machine_bytes);
}

}  // namespace
}  // namespace longhand
