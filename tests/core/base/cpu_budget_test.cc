#include "core/base/cpu_budget.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/base/temp_dir.h"

namespace longhand {
namespace {

using ::testing::HasSubstr;

constexpr char kV2Mount[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

// A machine with one cgroup v2 hierarchy and this process in `group`.
void WriteV2(const TempDir& root, std::string_view group) {
  root.Write("proc/self/mountinfo",
             std::string("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n") + kV2Mount);
  root.Write("proc/self/cgroup", "0::" + std::string(group) + "\n");
}

TEST(CpuBudget, WithoutControlGroups) {
  TempDir root;
  const CpuBudget budget = DetectCpuBudget(root.path(), 6);
  EXPECT_EQ(budget.cpus, 6);
  EXPECT_EQ(budget.affinity_cpus, 6);
  EXPECT_FALSE(budget.quota_cpus.has_value());
  EXPECT_EQ(budget.explanation,
            "6 CPUs, limited by the CPU affinity of the process (affinity 6, "
            "control group quota none)");
}

TEST(CpuBudget, QuotaRoundsUp) {
  struct Case {
    const char* cpu_max;
    int cpus;
  };
  for (const Case& c :
       {Case{"150000 100000\n", 2}, Case{"100000 100000\n", 1},
        Case{"100001 100000\n", 2}, Case{"1000 100000\n", 1},
        Case{"400000 100000\n", 4}, Case{"900000 100000\n", 8},
        Case{"300000\n", 3}, Case{"max 100000\n", 8}, Case{"0 100000\n", 8},
        Case{"50000 0\n", 8}, Case{"-5 100000\n", 8}, Case{"rubbish\n", 8},
        Case{"", 8}, Case{"99999999999999999999 1\n", 8}}) {
    TempDir root;
    WriteV2(root, "/app");
    root.Write("sys/fs/cgroup/app/cpu.max", c.cpu_max);
    EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, c.cpus) << c.cpu_max;
  }
}

TEST(CpuBudget, SmallestQuotaOfAllAncestorsCounts) {
  TempDir root;
  WriteV2(root, "/pods/pod7/app");
  root.Write("sys/fs/cgroup/pods/pod7/app/cpu.max", "max 100000\n");
  root.Write("sys/fs/cgroup/pods/pod7/cpu.max", "250000 100000\n");
  root.Write("sys/fs/cgroup/pods/cpu.max", "600000 100000\n");
  // Not an ancestor.
  root.Write("sys/fs/cgroup/pods/pod8/cpu.max", "100000 100000\n");
  const CpuBudget budget = DetectCpuBudget(root.path(), 16);
  EXPECT_EQ(budget.cpus, 3);
  ASSERT_TRUE(budget.quota_cpus.has_value());
  EXPECT_DOUBLE_EQ(*budget.quota_cpus, 2.5);
  EXPECT_THAT(budget.explanation, HasSubstr("3 CPUs, limited by the quota"));
  EXPECT_THAT(budget.explanation, HasSubstr("/pods/pod7 ("));
  EXPECT_THAT(budget.explanation, HasSubstr("quota 2.50 CPUs"));
}

TEST(CpuBudget, AffinityBelowTheQuota) {
  TempDir root;
  WriteV2(root, "/");
  root.Write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  const CpuBudget budget = DetectCpuBudget(root.path(), 2);
  EXPECT_EQ(budget.cpus, 2);
  EXPECT_THAT(budget.explanation, HasSubstr("by the CPU affinity"));
}

TEST(CpuBudget, MountThatShowsOnlyAPart) {
  // A container without its own cgroup namespace.
  TempDir root;
  root.Write("proc/self/mountinfo",
             "31 23 0:28 /docker/c1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  root.Write("proc/self/cgroup", "0::/docker/c1/worker\n");
  root.Write("sys/fs/cgroup/cpu.max", "500000 100000\n");
  root.Write("sys/fs/cgroup/worker/cpu.max", "200000 100000\n");
  EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, 2);
  // A group that only begins like the mount's.
  root.Write("proc/self/cgroup", "0::/docker/c1x\n");
  EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, 5);
}

TEST(CpuBudget, GroupOutsideTheNamespace) {
  TempDir root;
  WriteV2(root, "/../../elsewhere");
  root.Write("sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, 3);
}

TEST(CpuBudget, VersionOne) {
  TempDir root;
  root.Write("proc/self/mountinfo",
             "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
             "rw,cpu,cpuacct\n"
             "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup "
             "rw,memory\n");
  root.Write("proc/self/cgroup", "4:memory:/other\n3:cpu,cpuacct:/box\n0::/\n");
  const std::string group = "sys/fs/cgroup/cpu,cpuacct/box/";
  root.Write(group + "cpu.cfs_quota_us", "150000\n");
  root.Write(group + "cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, 3);
  root.Write(group + "cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, 8);
}

TEST(CpuBudget, BothVersionsMounted) {
  TempDir root;
  root.Write("proc/self/mountinfo",
             std::string("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup "
                         "rw,cpu\n") +
                 "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 x rw\n");
  root.Write("proc/self/cgroup", "1:cpu:/a\n0::/b\n");
  root.Write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "400000\n");
  root.Write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  root.Write("sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n");
  EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, 2);
}

TEST(CpuBudget, MalformedProcFilesSetNoLimit) {
  TempDir root;
  root.Write("proc/self/mountinfo",
             "\n- cgroup2\n1 2 3 - cgroup2 x rw\n - \nx y z\n");
  root.Write("proc/self/cgroup", "::\n0\n:::::\n");
  EXPECT_EQ(DetectCpuBudget(root.path(), 8).cpus, 8);
}

TEST(CpuBudget, NeverBelowOne) {
  TempDir root;
  EXPECT_EQ(DetectCpuBudget(root.path(), 0).cpus, 1);
}

TEST(CpuBudget, ThisMachine) {
  const CpuBudget budget = DetectCpuBudget();
  EXPECT_GE(budget.cpus, 1);
  EXPECT_LE(budget.cpus, CountAffinityCpus());
}

}  // namespace
}  // namespace longhand
