#include "server/trace_context.h"

#include <sys/random.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "core/base/check.h"

namespace longhand {
namespace {

constexpr size_t kTraceDigits = 32;
constexpr size_t kSpanDigits = 16;
// "00-" trace "-" span "-01"
constexpr size_t kTraceAt = 3;
constexpr size_t kSpanAt = kTraceAt + kTraceDigits + 1;
constexpr size_t kFlagsAt = kSpanAt + kSpanDigits + 1;
constexpr size_t kLength = kFlagsAt + 2;

// Upper case is not allowed.
bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
           (c >= 'a' && c <= 'f');
  });
}

bool IsId(std::string_view text) {
  return IsHex(text) && text.find_first_not_of('0') != text.npos;
}

std::string RandomId(size_t digits) {
  std::string bytes(digits / 2, '\0');
  do {
    // So few bytes come whole or, before the kernel is seeded, late.
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    LH_CHECK(got == static_cast<ssize_t>(bytes.size()));
  } while (bytes.find_first_not_of('\0') == bytes.npos);
  return absl::BytesToHexString(bytes);
}

}  // namespace

std::optional<TraceParent> ParseTraceparent(std::string_view header) {
  if (header.size() < kLength) return std::nullopt;
  const std::string_view version = header.substr(0, 2);
  if (!IsHex(version) || version == "ff") return std::nullopt;
  if (header.size() > kLength && (version == "00" || header[kLength] != '-')) {
    return std::nullopt;
  }
  for (size_t dash : {kTraceAt - 1, kSpanAt - 1, kFlagsAt - 1}) {
    if (header[dash] != '-') return std::nullopt;
  }
  const std::string_view trace = header.substr(kTraceAt, kTraceDigits);
  const std::string_view span = header.substr(kSpanAt, kSpanDigits);
  const std::string_view flags = header.substr(kFlagsAt, 2);
  if (!IsId(trace) || !IsId(span) || !IsHex(flags)) return std::nullopt;
  // The lowest bit of the second digit.
  constexpr std::string_view kOdd = "13579bdf";
  return TraceParent{.trace_id = std::string(trace),
                     .span_id = std::string(span),
                     .sampled = kOdd.find(flags[1]) != kOdd.npos};
}

TraceContext StartTrace(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  TraceContext trace;
  trace.span_id = RandomId(kSpanDigits);
  const auto [begin, end] = metadata.equal_range("traceparent");
  if (begin != end && std::next(begin) == end) {
    auto parent =
        ParseTraceparent({begin->second.data(), begin->second.size()});
    if (parent.has_value()) {
      trace.trace_id = std::move(parent->trace_id);
      trace.parent_id = std::move(parent->span_id);
      return trace;
    }
  }
  trace.trace_id = RandomId(kTraceDigits);
  return trace;
}

}  // namespace longhand
