#include "server/metrics.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "server/process_metrics.h"
#include "server/session_metrics.h"

namespace longhand {
namespace {

using ::testing::HasSubstr;

const BuildLabels kBuild = {"1.2.3", "2.6.3", "avx2", "model\n\"x\"", "00ff"};

std::string Text(const Metrics& metrics) {
  return prometheus::TextSerializer().Serialize(metrics.registry()->Collect());
}

// Name and labels of every series.
std::set<std::string> SeriesOf(const Metrics& metrics) {
  std::set<std::string> series;
  for (const auto& family : metrics.registry()->Collect()) {
    for (const auto& metric : family.metric) {
      std::string key = family.name;
      for (const auto& label : metric.label) {
        key += "," + label.name + "=" + label.value;
      }
      EXPECT_TRUE(series.insert(key).second) << key;
    }
  }
  return series;
}

TEST(MetricsTest, EverySeriesExistsFromTheStart) {
  const Metrics metrics(kBuild);
  const std::string text = Text(metrics);
  for (const char* method :
       {"Encode", "EncodeStream", "EncodeBatch", "GetModel", "Tokenize",
        "CreateSession", "GetSession", "ListSessions", "DeleteSession",
        "AppendSession", "QuerySession", "ForkSession", "RewindSession",
        "EditSession", "ExportSession", "ImportSession"}) {
    EXPECT_THAT(text, HasSubstr("grpc_method=\"" + std::string(method) + "\""));
  }
  EXPECT_THAT(
      text, HasSubstr("grpc_server_handled_total{grpc_code=\"OK\",grpc_method="
                      "\"Encode\",grpc_service=\"longhand.v1.EncoderService\","
                      "grpc_type=\"unary\"} 0"));
  EXPECT_THAT(text, HasSubstr("version=\"1.2.3\""));
  for (const char* series :
       {"longhand_auth_failures_total{reason=\"missing\"} 0\n",
        "longhand_auth_failures_total{reason=\"invalid\"} 0\n",
        "longhand_draining 0\n", "longhand_unread_response_bytes 0\n"}) {
    EXPECT_THAT(text, HasSubstr(series));
  }
  EXPECT_THAT(
      text,
      HasSubstr("longhand_session_appends_total{result=\"duplicate\"} 0"));
}

// Every code of every method that there is, at 0.
TEST(MetricsTest, EveryMethodHasEveryCode) {
  const Metrics metrics(kBuild);
  std::map<std::string, int> codes;
  for (const auto& family : metrics.registry()->Collect()) {
    if (family.name != "grpc_server_handled_total") continue;
    for (const auto& metric : family.metric) {
      EXPECT_EQ(metric.counter.value, 0);
      for (const auto& label : metric.label) {
        if (label.name == "grpc_method") ++codes[label.value];
      }
    }
  }
  EXPECT_EQ(codes.size(), 17U);  // "unknown" is one
  for (const auto& [method, count] : codes) EXPECT_EQ(count, 17) << method;
}

TEST(MetricsTest, RecordingAddsNoSeries) {
  Metrics metrics(kBuild);
  const std::set<std::string> before = SeriesOf(metrics);
  for (int code = -1; code < 100; ++code) {
    CallRecorder call(code % 2 == 0 ? metrics.encode : metrics.unknown_method);
    call.Received();
    call.Sent();
    metrics.RecordAuthFailure(MakeError(absl::StatusCode::kUnauthenticated,
                                        "REASON_" + std::to_string(code),
                                        "refused"));
    // The enumeration holds no larger values.
    call.Finished(static_cast<grpc::StatusCode>(code % 32));
    DocumentRecorder::RecordOpen(
        MakeError(static_cast<absl::StatusCode>(1 + (code + 16) % 16),
                  "REASON_" + std::to_string(code), "refused"),
        metrics);
    metrics.RecordAppendFailure(
        MakeError(static_cast<absl::StatusCode>(1 + (code + 16) % 16),
                  "REASON_" + std::to_string(code), "refused"));
    DocumentRecorder document(metrics);
    document.OnProgress({.encoded_tokens = 5});
    document.OnDone(absl::Status(
        static_cast<absl::StatusCode>(1 + (code + 16) % 16), "ended"));
  }
  DocumentRecorder(metrics).OnDone(EncodeSummary());
  EXPECT_EQ(SeriesOf(metrics), before);
}

TEST(MetricsTest, CallsAreCounted) {
  Metrics metrics(kBuild);
  CallRecorder call(metrics.encode_stream);
  EXPECT_EQ(metrics.encode_stream.started.Value(), 1);
  call.Received();
  call.Received();
  call.Sent();
  call.Finished(grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(metrics.encode_stream.received.Value(), 2);
  EXPECT_EQ(metrics.encode_stream.sent.Value(), 1);
  EXPECT_THAT(Text(metrics),
              HasSubstr("grpc_server_handled_total{grpc_code=\"Unavailable\","
                        "grpc_method=\"EncodeStream\",grpc_service=\"longhand."
                        "v1.EncoderService\",grpc_type=\"bidi_stream\"} 1"));
}

TEST(MetricsTest, WorkForFailedDocumentsIsWasted) {
  Metrics metrics(kBuild);
  for (const absl::Status& status :
       {absl::CancelledError(), absl::DeadlineExceededError(""),
        absl::InternalError("")}) {
    DocumentRecorder document(metrics);
    document.OnProgress({.encoded_tokens = 10});
    document.OnDone(status);
  }
  EXPECT_EQ(metrics.wasted_cancelled_tokens.Value(), 10);
  EXPECT_EQ(metrics.wasted_expired_tokens.Value(), 10);
  EXPECT_EQ(metrics.wasted_failed_tokens.Value(), 10);
  EXPECT_EQ(metrics.encoded_tokens.Value(), 30);
  EncodeSummary summary;
  summary.encoded_tokens = 7;
  DocumentRecorder(metrics).OnDone(summary);
  EXPECT_EQ(metrics.encoded_tokens.Value(), 37);
  EXPECT_EQ(metrics.wasted_failed_tokens.Value(), 10);
}

TEST(MetricsTest, RefusalsAreCountedByWhatWasShort) {
  Metrics metrics(kBuild);
  const absl::Status overloaded =
      MakeError(absl::StatusCode::kUnavailable, "OVERLOADED", "busy");
  DocumentRecorder::RecordOpen(overloaded, metrics);
  DocumentRecorder::RecordOpen(absl::InvalidArgumentError(""), metrics);
  DocumentRecorder::RecordOpen(absl::OkStatus(), metrics);
  DocumentRecorder(metrics).OnDone(overloaded);
  DocumentRecorder(metrics).OnDone(
      MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "bye"));
  EXPECT_EQ(metrics.rejected_documents.Value(), 1);
  EXPECT_EQ(metrics.rejected_memory.Value(), 1);
  EXPECT_EQ(metrics.rejected_shutting_down.Value(), 1);
}

TEST(MetricsTest, AppendsAreCountedByWhatBecameOfThem) {
  struct Case {
    absl::StatusCode code;
    std::string reason;
    std::string result;
  };
  using Code = absl::StatusCode;
  const std::vector<Case> cases = {
      {Code::kOutOfRange, "OFFSET_GAP", "gap"},
      {Code::kAlreadyExists, "OFFSET_ALREADY_WRITTEN", "already_written"},
      {Code::kAborted, "CONCURRENT_APPEND", "conflict"},
      {Code::kAborted, "STATE_DIVERGED", "diverged"},
      {Code::kAborted, "WRONG_REPLICA", "wrong_replica"},
      {Code::kAborted, "STALE_GENERATION", "stale_generation"},
      {Code::kInvalidArgument, "APPEND_ID_REUSED", "id_reused"},
      {Code::kInvalidArgument, "CHECKSUM", "checksum"},
      {Code::kInvalidArgument, "BAD_APPEND", "invalid"},
      {Code::kInvalidArgument, "INVALID_UTF8", "invalid"},
      {Code::kNotFound, "SESSION_NOT_FOUND", "not_found"},
      {Code::kNotFound, "SESSION_EXPIRED", "expired"},
      {Code::kNotFound, "SESSION_EVICTED", "evicted"},
      {Code::kFailedPrecondition, "SESSION_CLOSED", "closed"},
      {Code::kFailedPrecondition, "MODEL_FINGERPRINT_MISMATCH", "fingerprint"},
      {Code::kFailedPrecondition, "DURABILITY_UNAVAILABLE", "durability"},
      {Code::kResourceExhausted, "SESSION_TOO_LARGE", "limit"},
      {Code::kResourceExhausted, "TENANT_QUOTA", "limit"},
      {Code::kUnavailable, "OVERLOADED", "overloaded"},
      {Code::kUnavailable, "DRAINING", "draining"},
      {Code::kUnavailable, "STORE_DEGRADED", "store"},
      {Code::kDataLoss, "STORE_CORRUPT", "corrupt"},
      {Code::kDeadlineExceeded, "QUEUE_TIMEOUT", "deadline"},
      {Code::kCancelled, "CANCELLED", "cancelled"},
      {Code::kInternal, "NUMERIC", "failed"},
  };
  for (const Case& c : cases) {
    Metrics metrics(kBuild);
    metrics.RecordAppendFailure(MakeError(c.code, c.reason, "refused"));
    EXPECT_EQ(metrics.session_appends(c.result), 1) << c.reason;
  }
  Metrics metrics(kBuild);
  metrics.RecordAppend(/*duplicate=*/false);
  metrics.RecordAppend(/*duplicate=*/false);
  metrics.RecordAppend(/*duplicate=*/true);
  EXPECT_EQ(metrics.session_appends("applied"), 2);
  EXPECT_EQ(metrics.session_appends("duplicate"), 1);
}

TEST(SessionMetricsTest, ValuesAreThoseOfTheManager) {
  const SessionMetrics sessions([] {
    return SessionManagerStats{.resident_sessions = 1,
                               .memory_bytes = 2,
                               .memory_limit_bytes = 3,
                               .cache_bytes = 4,
                               .cache_hits = 5,
                               .cache_misses = 6,
                               .evictions = 7,
                               .restores = 8,
                               .fencing_rejected = 9,
                               .checksum_failures = 10,
                               .store_errors = 11,
                               .expired = 12,
                               .dirty_sessions = 13,
                               .store_healthy = false};
  });
  const std::string text =
      prometheus::TextSerializer().Serialize(sessions.Collect());
  for (const char* line :
       {"longhand_sessions{state=\"resident\"} 1\n",
        "longhand_session_memory_bytes 2\n",
        "longhand_session_memory_limit_bytes 3\n",
        "longhand_session_cache_bytes 4\n",
        "longhand_session_cache_hits_total 5\n",
        "longhand_session_cache_misses_total 6\n",
        "longhand_session_evictions_total 7\n",
        "longhand_session_restores_total 8\n",
        "longhand_fencing_rejected_total 9\n",
        "longhand_checksum_failures_total 10\n",
        "longhand_session_store_errors_total 11\n",
        "longhand_session_expired_total 12\n", "longhand_session_dirty 13\n",
        "longhand_session_store_up 0\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(ProcessMetricsTest, ValuesAreThoseOfThisProcess) {
  const ProcessMetrics process([] { return 3; });
  std::map<std::string, double> values;
  for (const auto& family : process.Collect()) {
    values[family.name] =
        family.metric.at(0).gauge.value + family.metric.at(0).counter.value;
  }
  EXPECT_EQ(values.at("longhand_open_documents"), 3);
  EXPECT_GT(values.at("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(values.at("process_virtual_memory_bytes"),
            values.at("process_resident_memory_bytes"));
  EXPECT_GE(values.at("process_open_fds"), 3);
  EXPECT_GE(values.at("process_max_fds"), values.at("process_open_fds"));
  EXPECT_GE(values.at("process_threads"), 1);
  EXPECT_GT(values.at("process_start_time_seconds"), 1.6e9);
}

TEST(MetricsTest, PromtoolFindsNothingToCriticise) {
  if (std::system("promtool --version >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "promtool is not installed (Debian package prometheus)";
  }
  Metrics metrics(kBuild);
  CallRecorder(metrics.encode).Finished(grpc::StatusCode::OK);
  const ProcessMetrics process([] { return 0; });
  const std::string path =
      ::testing::TempDir() + "metrics." + std::to_string(getpid());
  std::ofstream(path)
      << Text(metrics)
      << prometheus::TextSerializer().Serialize(process.Collect())
      << prometheus::TextSerializer().Serialize(
             SessionMetrics([] { return SessionManagerStats(); }).Collect());
  const std::string command = "promtool check metrics < " + path;
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace longhand
