// The trace that a call belongs to, as W3C Trace Context describes it (metadata
// `traceparent`). `tracestate` is not kept: the server hands nothing on. Pure
// functions but for the random bytes; safe from any thread.
#ifndef LONGHAND_SERVER_TRACE_CONTEXT_H_
#define LONGHAND_SERVER_TRACE_CONTEXT_H_

#include <grpcpp/support/string_ref.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace longhand {

// What a caller says of itself.
struct TraceParent {
  std::string trace_id;  // 32 lower-case hexadecimal digits, not all 0
  std::string span_id;   // 16, not all 0
  bool sampled = false;
};

// Of one call.
struct TraceContext {
  std::string trace_id;
  std::string span_id;    // this call's own
  std::string parent_id;  // the caller's span; "" if the trace begins here
};

// Nothing unless `header` is a traceparent of version 00, or of a later one
// that begins like it (section 3.2.4: more may follow after a dash).
std::optional<TraceParent> ParseTraceparent(std::string_view header);

// The trace that `metadata` names, else a new one. More than one traceparent is
// none.
TraceContext StartTrace(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

}  // namespace longhand

#endif  // LONGHAND_SERVER_TRACE_CONTEXT_H_
