// MemoryBudget: how much memory this process may use before the kernel ends it,
// which in a container is less than the machine has. Detected once at start; a
// plain value.
#ifndef LONGHAND_CORE_BASE_MEMORY_BUDGET_H_
#define LONGHAND_CORE_BASE_MEMORY_BUDGET_H_

#include <cstdint>
#include <optional>
#include <string>

namespace longhand {

struct MemoryBudget {
  // The smaller of the two below; 0 if neither is known.
  uint64_t bytes = 0;
  // MemTotal of the machine.
  std::optional<uint64_t> machine_bytes;
  // The smallest memory limit of the control groups around this process; unset
  // if there is none.
  std::optional<uint64_t> limit_bytes;
  // One sentence for the log: the result and what limited it.
  std::string explanation;
};

// Reads the control groups (version 2 and 1) of this process and all that
// contain them. Whatever cannot be read sets no limit. `root` is put before
// every path, for tests.
MemoryBudget DetectMemoryBudget(const std::string& root = "/");

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_MEMORY_BUDGET_H_
