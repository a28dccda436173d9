#include "server/logging.h"

#include <grpc/support/log.h>
#include <grpcpp/version_info.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/strings.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace longhand {
namespace {

using Json = nlohmann::ordered_json;

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

template <typename J>
std::string Dump(const J& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false,
                    J::error_handler_t::replace);
}

// gRPC 1.65 replaced gpr logging by Abseil's.
#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 65
void LogFromGrpc(gpr_log_func_args* args) {
  LogLevel level = LogLevel::kDebug;
  if (args->severity == GPR_LOG_SEVERITY_INFO) level = LogLevel::kDebug;
  if (args->severity == GPR_LOG_SEVERITY_ERROR) level = LogLevel::kWarning;
  Log(level, "gRPC", {{"message", args->message}});
}

void RouteGrpcLogs() { gpr_set_log_function(&LogFromGrpc); }
#else
void RouteGrpcLogs() {}
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
}

std::string FormatLogLine(LogFormat format, LogLevel level,
                          std::string_view time, std::string_view event,
                          LogFields fields) {
  if (format == LogFormat::kJson) {
    Json line = {{"time", time}, {"level", LevelName(level)}, {"event", event}};
    for (const auto& [key, value] : fields) line[std::string(key)] = value;
    return Dump(line);
  }
  std::string line = absl::StrCat(ToAbsl(time), " ", ToAbsl(LevelName(level)),
                                  " ", ToAbsl(event));
  for (const auto& [key, value] : fields) {
    absl::StrAppend(&line, " ", ToAbsl(key), "=", Dump(value));
  }
  return line;
}

void Log(LogLevel level, std::string_view event, LogFields fields) {
  spdlog::logger* logger = spdlog::default_logger_raw();
  if (!logger->should_log(SpdlogLevel(level))) return;
  std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(),
                                      absl::UTCTimeZone());
  std::string line = FormatLogLine(log_format, level, time, event, fields);
  logger->log(SpdlogLevel(level), spdlog::string_view_t(line));
}

}  // namespace longhand
