#include "core/chunking/options.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

absl::Status CheckBelowMax(std::string_view name, int value, int max_tokens) {
  if (value >= 0 && value < max_tokens) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, "CHUNKER_OPTIONS",
      absl::StrCat(ToAbsl(name), " is ", value, ", but a chunk has at most ",
                   max_tokens, " tokens; give a number below that, or 0 for ",
                   "the default"),
      {{"option", std::string(name)},
       {"value", absl::StrCat(value)},
       {"max_tokens", absl::StrCat(max_tokens)}});
}

}  // namespace

absl::StatusOr<int> ResolveMinTokens(const ChunkerOptions& options) {
  LH_CHECK(options.max_tokens >= 1);
  LH_RETURN_IF_ERROR(
      CheckBelowMax("min_tokens", options.min_tokens, options.max_tokens));
  if (options.min_tokens > 0) return options.min_tokens;
  return std::max(1, options.max_tokens / 4);
}

absl::StatusOr<int> ResolveOverlapTokens(const ChunkerOptions& options) {
  LH_CHECK(options.max_tokens >= 1);
  LH_RETURN_IF_ERROR(CheckBelowMax("overlap_tokens", options.overlap_tokens,
                                   options.max_tokens));
  if (options.overlap_tokens > 0) return options.overlap_tokens;
  return options.max_tokens / 2;
}

}  // namespace longhand
