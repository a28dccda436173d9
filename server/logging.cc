#include "server/logging.h"

#include <grpc/support/log.h>
#include <grpcpp/version_info.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/strings.h"
#include "google/protobuf/stubs/common.h"
#include "server/log_limiter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

// Protobuf 22 replaced its own logging by Abseil's.
#define LONGHAND_PROTOBUF_LOGS (GOOGLE_PROTOBUF_VERSION < 4022000)
#if LONGHAND_PROTOBUF_LOGS
#include "google/protobuf/stubs/logging.h"
#endif

namespace longhand {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxValueBytes = 1024;

LogFormat log_format = LogFormat::kText;

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// ASCII alone: a terminal obeys some characters that JSON need not escape, and
// readers of lines take others for the end of one.
template <typename J>
std::string Dump(const J& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true,
                    J::error_handler_t::replace);
}

nlohmann::json Cut(const nlohmann::json& value) {
  if (!value.is_string()) return value;
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() <= kMaxValueBytes) return value;
  return absl::StrCat(text.substr(0, kMaxValueBytes), "... (", text.size(),
                      " bytes)");
}

LogLimiter& Limiter() {
  static LogLimiter* const limiter = new LogLimiter;  // used until the end
  return *limiter;
}

// gRPC 1.65 replaced gpr logging by Abseil's.
#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 65
void LogFromGrpc(gpr_log_func_args* args) {
  LogLevel level = LogLevel::kDebug;
  if (args->severity == GPR_LOG_SEVERITY_INFO) level = LogLevel::kDebug;
  if (args->severity == GPR_LOG_SEVERITY_ERROR) level = LogLevel::kWarning;
  // It quotes what a peer sent: "Error parsing metadata: ... value=...".
  const std::string_view message = args->message;
  Log(level, "gRPC", {{"message", message.substr(0, message.find(" value="))}});
}

void RouteGrpcLogs() { gpr_set_log_function(&LogFromGrpc); }
#else
void RouteGrpcLogs() {}
#endif

#if LONGHAND_PROTOBUF_LOGS
void LogFromProtobuf(google::protobuf::LogLevel level, const char*, int,
                     const std::string& message) {
  // Anybody can cause one, by a string that is not UTF-8.
  Log(level < google::protobuf::LOGLEVEL_WARNING ? LogLevel::kDebug
                                                 : LogLevel::kWarning,
      "protobuf", {{"message", message}});
}

void RouteProtobufLogs() { google::protobuf::SetLogHandler(&LogFromProtobuf); }
#else
void RouteProtobufLogs() {}
#endif

}  // namespace

void InitLogging(const LogOptions& options) {
  log_format = options.format;
  auto logger = std::make_shared<spdlog::logger>(
      "longhand", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%v");
  logger->set_level(SpdlogLevel(options.level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  RouteGrpcLogs();
  RouteProtobufLogs();
}

std::string FormatLogLine(LogFormat format, LogLevel level,
                          std::string_view time, std::string_view event,
                          const LogFields& fields) {
  if (format == LogFormat::kJson) {
    Json line = {{"time", time}, {"level", LevelName(level)}, {"event", event}};
    for (const auto& [key, value] : fields) line[std::string(key)] = Cut(value);
    return Dump(line);
  }
  std::string line = absl::StrCat(ToAbsl(time), " ", ToAbsl(LevelName(level)),
                                  " ", ToAbsl(event));
  for (const auto& [key, value] : fields) {
    absl::StrAppend(&line, " ", ToAbsl(key), "=", Dump(Cut(value)));
  }
  return line;
}

bool ShouldLog(LogLevel level) {
  return spdlog::default_logger_raw()->should_log(SpdlogLevel(level));
}

void SetLogLevel(LogLevel level) {
  spdlog::default_logger_raw()->set_level(SpdlogLevel(level));
}

void Log(LogLevel level, std::string_view event, const LogFields& fields) {
  if (!ShouldLog(level)) return;
  const absl::Time now = absl::Now();
  std::optional<uint64_t> suppressed = 0;
  if (level >= LogLevel::kWarning) suppressed = Limiter().Admit(event, now);
  if (!suppressed.has_value()) return;
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", now, absl::UTCTimeZone());
  std::string line;
  if (*suppressed > 0) {
    LogFields more = fields;
    more.emplace_back("suppressed", *suppressed);
    line = FormatLogLine(log_format, level, time, event, more);
  } else {
    line = FormatLogLine(log_format, level, time, event, fields);
  }
  spdlog::default_logger_raw()->log(SpdlogLevel(level),
                                    spdlog::string_view_t(line));
}

}  // namespace longhand
