// Registry: an immutable table from a public name to a factory. Tables are
// built from one .def list per extension point, in one .cc file, so nothing
// depends on static initialisation order. Constant after construction; safe
// from many threads.
#ifndef LONGHAND_CORE_BASE_REGISTRY_H_
#define LONGHAND_CORE_BASE_REGISTRY_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace longhand {

template <typename Factory>
class Registry {
 public:
  struct Entry {
    std::string_view name;
    Factory* make;
  };

  // `what` names the extension point in errors ("attention mechanism");
  // `reason` is the ErrorDetail reason for an unknown name. Both and `entries`
  // must outlive the registry.
  constexpr Registry(std::string_view what, std::string_view reason,
                     absl::Span<const Entry> entries)
      : what_(what), reason_(reason), entries_(entries) {}

  // INVALID_ARGUMENT that lists the known names if `name` is not one of them.
  absl::StatusOr<Factory*> Find(std::string_view name) const {
    for (const Entry& entry : entries_) {
      if (entry.name == name) return entry.make;
    }
    return MakeError(absl::StatusCode::kInvalidArgument, reason_,
                     absl::StrCat("unknown ", ToAbsl(what_), "; use one of: ",
                                  absl::StrJoin(Names(), ", ")),
                     {{"known", absl::StrJoin(Names(), ",")}});
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const Entry& entry : entries_) names.emplace_back(entry.name);
    return names;
  }

 private:
  std::string_view what_;
  std::string_view reason_;
  absl::Span<const Entry> entries_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_REGISTRY_H_
