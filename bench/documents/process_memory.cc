#include "bench/documents/process_memory.h"

#include <malloc.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace longhand::documents {
namespace {

constexpr char kStatusFile[] = "/proc/self/status";
constexpr uint64_t kMaxStatusBytes = uint64_t{1} << 20;

// The value of a line such as "VmRSS:     1234 kB", in bytes.
absl::StatusOr<uint64_t> FindBytes(const std::string& status,
                                   std::string_view name) {
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    uint64_t kib = 0;
    if (words.size() == 3 && words[0] == ToAbsl(name) &&
        absl::SimpleAtoi(words[1], &kib) && words[2] == "kB") {
      return kib * 1024;
    }
  }
  return MakeError(absl::StatusCode::kInternal, "PROC_UNREADABLE",
                   absl::StrCat(kStatusFile, " has no line ", ToAbsl(name),
                                " in kB; this program needs Linux"));
}

}  // namespace

absl::StatusOr<ProcessMemory> ReadProcessMemory() {
  LH_ASSIGN_OR_RETURN(const std::string status,
                      ReadFile(kStatusFile, kMaxStatusBytes));
  ProcessMemory memory;
  LH_ASSIGN_OR_RETURN(memory.resident_bytes, FindBytes(status, "VmRSS"));
  LH_ASSIGN_OR_RETURN(memory.peak_resident_bytes, FindBytes(status, "VmHWM"));
  return memory;
}

void ResetMemoryPeak() {
  malloc_trim(0);
  // 5 resets VmHWM, see proc(5).
  std::ofstream("/proc/self/clear_refs") << "5";
}

}  // namespace longhand::documents
