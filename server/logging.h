// The server's log: one line per event on standard error, as text or as JSON.
// Lines name events and numbers; no text of a document, no token and no vector
// is ever logged. Thread-safe after InitLogging.
#ifndef LONGHAND_SERVER_LOGGING_H_
#define LONGHAND_SERVER_LOGGING_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "nlohmann/json.hpp"

namespace longhand {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
};

// Strings, numbers and booleans.
using LogFields =
    std::initializer_list<std::pair<std::string_view, nlohmann::json>>;

// Sets format and level, and routes gRPC's own messages here. Call before other
// threads log.
void InitLogging(const LogOptions& options);

// Logs `event`, a short sentence without variable parts, with its `fields`.
void Log(LogLevel level, std::string_view event, LogFields fields = {});

// The line that Log writes, without time and level in the text form.
std::string FormatLogLine(LogFormat format, LogLevel level,
                          std::string_view time, std::string_view event,
                          LogFields fields);

}  // namespace longhand

#endif  // LONGHAND_SERVER_LOGGING_H_
