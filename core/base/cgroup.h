// Where the kernel keeps the control groups of this process, version 1 and 2.
// The shared half of CpuBudget and MemoryBudget. Reads files only; safe from
// any thread.
#ifndef LONGHAND_CORE_BASE_CGROUP_H_
#define LONGHAND_CORE_BASE_CGROUP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longhand {

struct CgroupDirectory {
  std::string path;  // with the root in front, without a slash at its end
  int version = 2;   // 1 or 2: which file names to look for
};

// The directories that may limit `controller` ("cpu", "memory") for this
// process: its own group first, then every group around it up to the mount
// point, for each hierarchy that is mounted. Empty if none is. `root` is put
// before every path.
std::vector<CgroupDirectory> FindCgroupDirectories(const std::string& root,
                                                   std::string_view controller);

// The content of a file of `directory` without white space around it, or
// nullopt if there is no such file.
std::optional<std::string> ReadCgroupFile(const CgroupDirectory& directory,
                                          std::string_view name);

// `root` + `path` with one slash between them.
std::string UnderRoot(const std::string& root, std::string_view path);

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_CGROUP_H_
