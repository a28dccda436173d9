// CpuBudget: how many threads this process may keep busy, which in a container
// is fewer than the machine has cores. Detected once at start; a plain value.
#ifndef LONGHAND_CORE_BASE_CPU_BUDGET_H_
#define LONGHAND_CORE_BASE_CPU_BUDGET_H_

#include <optional>
#include <string>

namespace longhand {

struct CpuBudget {
  // min(affinity_cpus, quota_cpus rounded up), at least 1.
  int cpus = 1;
  // CPUs that the scheduler may place this thread on.
  int affinity_cpus = 1;
  // The smallest CPU time quota of the control groups around this process, in
  // CPUs (0.5 is half of one); unset if there is none.
  std::optional<double> quota_cpus;
  // One sentence for the log: the result and what limited it.
  std::string explanation;
};

// What sched_getaffinity allows this thread; at least 1.
int CountAffinityCpus();

// Reads the control groups (version 2 and 1) of this process and all that
// contain them. Whatever cannot be read sets no limit. `root` is put before
// every path, for tests.
CpuBudget DetectCpuBudget(const std::string& root = "/",
                          int affinity_cpus = CountAffinityCpus());

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_CPU_BUDGET_H_
