#include "client/load_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/client_error.h"
#include "client/load_random.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

constexpr size_t kMaxClasses = 16;
constexpr uint64_t kMaxTokens = uint64_t{1} << 32;

absl::Status Invalid(absl::string_view entry, absl::string_view what) {
  return MakeClientError(
      absl::StatusCode::kInvalidArgument, "MIX_INVALID",
      absl::StrCat("'", entry, "' of the mix ", what,
                   "; give NAME:SHARE:TOKENS, separated by commas, such as "
                   "short:0.8:128,long:0.2:10000-20000"));
}

bool IsName(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
           c == '_';
  });
}

// "128" or "100-200".
bool ParseTokens(absl::string_view text, MixClass* parsed) {
  const std::pair<absl::string_view, absl::string_view> range =
      absl::StrSplit(text, absl::MaxSplits('-', 1));
  if (!absl::SimpleAtoi(range.first, &parsed->min_tokens)) return false;
  parsed->max_tokens = parsed->min_tokens;
  if (range.first.size() != text.size() &&
      !absl::SimpleAtoi(range.second, &parsed->max_tokens)) {
    return false;
  }
  return parsed->min_tokens >= 1 && parsed->min_tokens <= parsed->max_tokens &&
         parsed->max_tokens <= kMaxTokens;
}

absl::StatusOr<MixClass> ParseClass(absl::string_view entry) {
  const std::vector<absl::string_view> parts = absl::StrSplit(entry, ':');
  if (parts.size() != 3) return Invalid(entry, "has not three parts");
  MixClass parsed;
  if (!IsName(parts[0])) {
    return Invalid(entry, "has a name that is not letters, digits, - and _");
  }
  parsed.name = std::string(parts[0]);
  if (!absl::SimpleAtod(parts[1], &parsed.share) ||
      !std::isfinite(parsed.share) || !(parsed.share > 0)) {
    return Invalid(entry, "has a share that is not a number above 0");
  }
  if (!ParseTokens(parts[2], &parsed)) {
    return Invalid(entry,
                   absl::StrCat("has a length that is not a number of tokens "
                                "from 1 to ",
                                kMaxTokens, " or a range of them"));
  }
  return parsed;
}

}  // namespace

absl::StatusOr<std::vector<MixClass>> ParseMix(absl::string_view text) {
  std::vector<MixClass> mix;
  double sum = 0;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    LH_CLIENT_ASSIGN_OR_RETURN(MixClass parsed, ParseClass(entry));
    for (const MixClass& other : mix) {
      if (other.name == parsed.name) return Invalid(entry, "is there twice");
    }
    if (mix.size() == kMaxClasses) {
      return Invalid(entry, absl::StrCat("is one class more than ", kMaxClasses,
                                         ", the most that there can be"));
    }
    sum += parsed.share;
    mix.push_back(std::move(parsed));
  }
  for (MixClass& each : mix) each.share /= sum;
  return mix;
}

LoadPlan::LoadPlan(std::vector<MixClass> mix, uint64_t seed)
    : mix_(std::move(mix)), seed_(seed) {}

PlannedDocument LoadPlan::Get(uint64_t index) const {
  LoadRandom random(seed_, index);
  PlannedDocument document;
  double rest = random.NextUnit();
  // The last class takes what rounding leaves.
  while (document.class_index + 1 < mix_.size() &&
         rest >= mix_[document.class_index].share) {
    rest -= mix_[document.class_index].share;
    ++document.class_index;
  }
  const MixClass& chosen = mix_[document.class_index];
  const double spread =
      static_cast<double>(chosen.max_tokens - chosen.min_tokens + 1);
  document.tokens = std::min(
      chosen.max_tokens,
      chosen.min_tokens + static_cast<uint64_t>(random.NextUnit() * spread));
  document.place = random.Next();
  return document;
}

}  // namespace longhand::client
