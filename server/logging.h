// The server's log: one line per event on standard error, as text or as JSON.
// Lines name events and numbers; no text of a document, no token and no vector
// is ever logged. Lines are printable ASCII of bounded length, whatever their
// fields hold. Thread-safe after InitLogging.
#ifndef LONGHAND_SERVER_LOGGING_H_
#define LONGHAND_SERVER_LOGGING_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

namespace longhand {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
};

// Strings, numbers and booleans. Long strings are cut.
using LogFields = std::vector<std::pair<std::string_view, nlohmann::json>>;

// Sets format and level, and routes gRPC's own messages here. Call before other
// threads log.
void InitLogging(const LogOptions& options);

// Logs `event`, a short sentence without variable parts, with its `fields`.
// Warnings and errors of one event that come too often are counted instead; the
// next line that is written has the number, as the field `suppressed`.
void Log(LogLevel level, std::string_view event, const LogFields& fields = {});

// Whether a line of `level` would be written, but for its event's number.
bool ShouldLog(LogLevel level);

// From now on; safe while other threads log.
void SetLogLevel(LogLevel level);

// The line that Log writes, without time and level in the text form.
std::string FormatLogLine(LogFormat format, LogLevel level,
                          std::string_view time, std::string_view event,
                          const LogFields& fields);

}  // namespace longhand

#endif  // LONGHAND_SERVER_LOGGING_H_
