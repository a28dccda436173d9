#include "core/base/cpu_budget.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/cgroup.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

// CPU time per wall time; nullopt for no quota ("max", -1) or nonsense.
std::optional<double> Quota(std::string_view quota_us,
                            std::string_view period_us) {
  int64_t quota = 0;
  int64_t period = 0;
  if (!absl::SimpleAtoi(ToAbsl(quota_us), &quota) ||
      !absl::SimpleAtoi(ToAbsl(period_us), &period) || quota <= 0 ||
      period <= 0) {
    return std::nullopt;
  }
  return static_cast<double>(quota) / static_cast<double>(period);
}

std::optional<double> ReadQuota(const CgroupDirectory& directory) {
  if (directory.version == 2) {
    const std::optional<std::string> text =
        ReadCgroupFile(directory, "cpu.max");
    if (!text) return std::nullopt;
    const std::vector<std::string> fields = absl::StrSplit(*text, ' ');
    // The kernel's default period if only the quota is written.
    return Quota(fields[0], fields.size() > 1 ? fields[1] : "100000");
  }
  const std::optional<std::string> quota =
      ReadCgroupFile(directory, "cpu.cfs_quota_us");
  const std::optional<std::string> period =
      ReadCgroupFile(directory, "cpu.cfs_period_us");
  if (!quota || !period) return std::nullopt;
  return Quota(*quota, *period);
}

}  // namespace

int CountAffinityCpus() {
  // A set of fixed size fails with EINVAL on machines with more CPUs than it
  // has bits, so grow it.
  for (size_t bits = CPU_SETSIZE; bits <= (size_t{1} << 20); bits *= 2) {
    std::vector<cpu_set_t> set(bits / CPU_SETSIZE);
    const size_t bytes = set.size() * sizeof(cpu_set_t);
    CPU_ZERO_S(bytes, set.data());
    if (sched_getaffinity(0, bytes, set.data()) == 0) {
      return std::max(1, CPU_COUNT_S(bytes, set.data()));
    }
    if (errno != EINVAL) break;
  }
  const long online = sysconf(_SC_NPROCESSORS_ONLN);  // NOLINT(runtime/int)
  return std::max(1, static_cast<int>(online));
}

CpuBudget DetectCpuBudget(const std::string& root, int affinity_cpus) {
  CpuBudget budget;
  budget.affinity_cpus = std::max(1, affinity_cpus);
  std::string quota_directory;
  for (const CgroupDirectory& directory : FindCgroupDirectories(root, "cpu")) {
    const std::optional<double> quota = ReadQuota(directory);
    if (quota && (!budget.quota_cpus || *quota < *budget.quota_cpus)) {
      budget.quota_cpus = quota;
      quota_directory = directory.path;
    }
  }
  budget.cpus = budget.affinity_cpus;
  std::string limited_by = "by the CPU affinity of the process";
  if (budget.quota_cpus && std::ceil(*budget.quota_cpus) < budget.cpus) {
    budget.cpus = std::max(1, static_cast<int>(std::ceil(*budget.quota_cpus)));
    limited_by =
        absl::StrCat("by the quota of control group ", quota_directory);
  }
  const std::string quota =
      budget.quota_cpus ? absl::StrFormat("%.2f CPUs", *budget.quota_cpus)
                        : "none";
  budget.explanation =
      absl::StrCat(budget.cpus, budget.cpus == 1 ? " CPU" : " CPUs",
                   ", limited ", limited_by, " (affinity ",
                   budget.affinity_cpus, ", control group quota ", quota, ")");
  return budget;
}

}  // namespace longhand
