#include "core/base/memory_budget.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/cgroup.h"
#include "core/base/checked_math.h"
#include "core/base/file.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxMeminfoBytes = 1 << 20;

// Version 1 writes "no limit" as the largest multiple of the page size; no
// machine comes near this.
constexpr uint64_t kUnlimitedBytes = uint64_t{1} << 60;

std::optional<uint64_t> ReadMachineBytes(const std::string& root) {
  absl::StatusOr<std::string> meminfo =
      ReadFile(UnderRoot(root, "/proc/meminfo"), kMaxMeminfoBytes);
  if (!meminfo.ok()) return std::nullopt;
  // "MemTotal:       16318080 kB"
  for (absl::string_view line : absl::StrSplit(*meminfo, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t kib = 0;
    if (fields.size() == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" &&
        absl::SimpleAtoi(fields[1], &kib)) {
      const CheckedSize bytes = CheckedSize(kib) * 1024;
      if (bytes.ok()) return bytes.value();
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> ReadLimit(const CgroupDirectory& directory) {
  const std::optional<std::string> text = ReadCgroupFile(
      directory,
      directory.version == 2 ? "memory.max" : "memory.limit_in_bytes");
  uint64_t bytes = 0;
  if (!text || !absl::SimpleAtoi(*text, &bytes) || bytes == 0 ||
      bytes >= kUnlimitedBytes) {
    return std::nullopt;
  }
  return bytes;
}

std::string Mebibytes(std::optional<uint64_t> bytes, std::string_view unknown) {
  return bytes ? absl::StrCat(*bytes >> 20, " MiB") : std::string(unknown);
}

}  // namespace

MemoryBudget DetectMemoryBudget(const std::string& root) {
  MemoryBudget budget;
  budget.machine_bytes = ReadMachineBytes(root);
  std::string limit_directory;
  for (const CgroupDirectory& directory :
       FindCgroupDirectories(root, "memory")) {
    const std::optional<uint64_t> limit = ReadLimit(directory);
    if (limit && (!budget.limit_bytes || *limit < *budget.limit_bytes)) {
      budget.limit_bytes = limit;
      limit_directory = directory.path;
    }
  }
  const std::string numbers = absl::StrCat(
      " (machine ", Mebibytes(budget.machine_bytes, "unknown"),
      ", control group limit ", Mebibytes(budget.limit_bytes, "none"), ")");
  if (!budget.machine_bytes && !budget.limit_bytes) {
    budget.explanation = absl::StrCat("unknown memory", numbers);
    return budget;
  }
  const bool by_group =
      budget.limit_bytes &&
      (!budget.machine_bytes || *budget.limit_bytes < *budget.machine_bytes);
  budget.bytes = by_group ? *budget.limit_bytes : *budget.machine_bytes;
  budget.explanation =
      absl::StrCat(Mebibytes(budget.bytes, ""), " of memory, limited by ",
                   by_group ? absl::StrCat("control group ", limit_directory)
                            : std::string("the machine"),
                   numbers);
  return budget;
}

}  // namespace longhand
