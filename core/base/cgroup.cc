#include "core/base/cgroup.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/file.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

constexpr uint64_t kMaxProcFileBytes = 4 << 20;

// One mounted hierarchy that carries the controller.
struct Hierarchy {
  int version;
  std::string mount_point;
  std::string mount_root;  // the group that the mount point shows
};

// One line of /proc/self/mountinfo:
// id parent major:minor root mount_point options [tags...] - type source super
std::optional<Hierarchy> ParseMount(absl::string_view line,
                                    std::string_view controller) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits(" - ", 1));
  const std::vector<std::string> left =
      absl::StrSplit(halves.first, ' ', absl::SkipEmpty());
  const std::vector<std::string> right =
      absl::StrSplit(halves.second, ' ', absl::SkipEmpty());
  if (left.size() < 6 || right.size() < 3) return std::nullopt;
  if (right[0] == "cgroup2") return Hierarchy{2, left[4], left[3]};
  if (right[0] != "cgroup") return std::nullopt;
  const std::vector<std::string> controllers = absl::StrSplit(right[2], ',');
  if (std::find(controllers.begin(), controllers.end(), controller) ==
      controllers.end()) {
    return std::nullopt;
  }
  return Hierarchy{1, left[4], left[3]};
}

// The path of this process's group in the hierarchy, from /proc/self/cgroup
// (lines "id:controllers:path", and "0::path" for version 2).
std::optional<std::string> FindOwnGroup(absl::string_view proc_cgroup,
                                        const Hierarchy& hierarchy,
                                        std::string_view controller) {
  for (absl::string_view line : absl::StrSplit(proc_cgroup, '\n')) {
    const std::vector<std::string> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(fields[1], ',');
    const bool match = hierarchy.version == 2
                           ? fields[0] == "0" && fields[1].empty()
                           : std::find(controllers.begin(), controllers.end(),
                                       controller) != controllers.end();
    if (match) return fields[2];
  }
  return std::nullopt;
}

// `group` as a path below the mount point: "" or "/a/b". A group that the mount
// does not show (another cgroup namespace) is taken to be the mount itself.
std::string BelowMount(absl::string_view group, absl::string_view mount_root) {
  if (absl::StrContains(group, "/..")) return "";
  if (mount_root != "/") {
    if (!absl::ConsumePrefix(&group, mount_root) ||
        !(group.empty() || group[0] == '/')) {
      return "";
    }
  }
  absl::ConsumeSuffix(&group, "/");
  return std::string(group);
}

std::string ReadProcFile(const std::string& root, std::string_view path) {
  absl::StatusOr<std::string> content =
      ReadFile(UnderRoot(root, path), kMaxProcFileBytes);
  return content.ok() ? *std::move(content) : "";
}

}  // namespace

std::string UnderRoot(const std::string& root, std::string_view path) {
  return absl::StrCat(absl::StripSuffix(root, "/"), "/",
                      absl::StripPrefix(ToAbsl(path), "/"));
}

std::vector<CgroupDirectory> FindCgroupDirectories(
    const std::string& root, std::string_view controller) {
  const std::string mounts = ReadProcFile(root, "/proc/self/mountinfo");
  const std::string own_groups = ReadProcFile(root, "/proc/self/cgroup");
  std::vector<CgroupDirectory> directories;
  for (absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::optional<Hierarchy> hierarchy = ParseMount(line, controller);
    if (!hierarchy) continue;
    const std::optional<std::string> own =
        FindOwnGroup(own_groups, *hierarchy, controller);
    std::string below = own ? BelowMount(*own, hierarchy->mount_root) : "";
    const std::string base(
        absl::StripSuffix(UnderRoot(root, hierarchy->mount_point), "/"));
    while (!below.empty()) {
      directories.push_back({base + below, hierarchy->version});
      below.erase(below.rfind('/'));
    }
    directories.push_back({base, hierarchy->version});
  }
  return directories;
}

std::optional<std::string> ReadCgroupFile(const CgroupDirectory& directory,
                                          std::string_view name) {
  absl::StatusOr<std::string> content = ReadFile(
      absl::StrCat(directory.path, "/", ToAbsl(name)), kMaxProcFileBytes);
  if (!content.ok()) return std::nullopt;
  return std::string(absl::StripAsciiWhitespace(*content));
}

}  // namespace longhand
