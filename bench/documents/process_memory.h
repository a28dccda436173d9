// ProcessMemory: the memory of this process that is in RAM, as Linux counts it.
// Functions; safe from any thread.
#ifndef LONGHAND_BENCH_DOCUMENTS_PROCESS_MEMORY_H_
#define LONGHAND_BENCH_DOCUMENTS_PROCESS_MEMORY_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace longhand::documents {

struct ProcessMemory {
  uint64_t resident_bytes = 0;       // VmRSS
  uint64_t peak_resident_bytes = 0;  // VmHWM
};

// From /proc/self/status. INTERNAL (PROC_UNREADABLE) if it is not there.
absl::StatusOr<ProcessMemory> ReadProcessMemory();

// Gives what the allocator holds unused back to the kernel, so that later use
// of it counts as growth, and lets the peak start anew where the kernel allows
// it; elsewhere the peak stays the largest since the start.
void ResetMemoryPeak();

}  // namespace longhand::documents

#endif  // LONGHAND_BENCH_DOCUMENTS_PROCESS_MEMORY_H_
