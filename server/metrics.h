// Metrics: every Prometheus series of the server, registered once at start, so
// that the set of series never depends on requests. Label values come from
// closed sets. Thread-safe; recording takes no lock. Owned by the Server,
// outlives everything that records.
#ifndef LONGHAND_SERVER_METRICS_H_
#define LONGHAND_SERVER_METRICS_H_

#include <grpcpp/support/status_code_enum.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/encode_types.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/admission.h"

namespace longhand {

// The series of one gRPC method.
struct MethodMetrics {
  std::string_view name;        // without the service's
  bool client_streams = false;  // its requests are a stream
  prometheus::Counter& started;
  std::array<prometheus::Counter*, 17> handled;  // by grpc::StatusCode
  prometheus::Histogram& seconds;
  prometheus::Counter& received;
  prometheus::Counter& sent;
};

struct BuildLabels {
  std::string version;
  std::string onednn_version;
  std::string isa;
  std::string model;
  std::string fingerprint;
};

class Metrics {
 public:
  explicit Metrics(const BuildLabels& build);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // For an Exposer, and for tests.
  const std::shared_ptr<prometheus::Registry>& registry() const {
    return registry_;
  }

 private:
  // First: the references below point into it.
  const std::shared_ptr<prometheus::Registry> registry_;

 public:
  const MethodMetrics encode;
  const MethodMetrics encode_stream;
  const MethodMetrics encode_batch;
  const MethodMetrics get_model;
  const MethodMetrics tokenize;
  const MethodMetrics create_session;
  const MethodMetrics get_session;
  const MethodMetrics list_sessions;
  const MethodMetrics delete_session;
  const MethodMetrics append_session;
  const MethodMetrics query_session;
  const MethodMetrics fork_session;
  const MethodMetrics rewind_session;
  const MethodMetrics edit_session;
  const MethodMetrics export_session;
  const MethodMetrics import_session;
  const MethodMetrics unknown_method;  // whatever is not one of the above

  prometheus::Histogram& request_tokens;
  prometheus::Histogram& tokenize_seconds;
  prometheus::Histogram& compute_seconds;
  prometheus::Histogram& pool_seconds;
  prometheus::Histogram& total_seconds;
  prometheus::Histogram& queue_wait_seconds;
  prometheus::Counter& encoded_tokens;
  prometheus::Counter& wasted_cancelled_tokens;
  prometheus::Counter& wasted_expired_tokens;
  prometheus::Counter& wasted_failed_tokens;
  prometheus::Counter& rejected_documents;  // by Encoder::Open
  prometheus::Counter& rejected_memory;
  prometheus::Counter& rejected_shutting_down;

  // In the orders of kRequestClasses and kRefusals.
  const std::array<prometheus::Histogram*, kRequestClasses.size()>
      admission_wait_seconds;
  const std::array<prometheus::Counter*, kRefusals.size()> admission_refused;

  // Calls refused because nobody knows who makes them.
  void RecordAuthFailure(const absl::Status& why);
  prometheus::Counter& auth_missing;
  prometheus::Counter& auth_invalid;

  prometheus::Gauge& draining;  // 0 or 1
  prometheus::Gauge& unread_response_bytes;

  prometheus::Histogram& session_append_seconds;
  prometheus::Histogram& session_query_seconds;

  // What became of one append.
  void RecordAppend(bool duplicate);
  void RecordAppendFailure(const absl::Status& why);
  // The value of longhand_session_appends_total{result="`result`"}.
  double session_appends(std::string_view result) const;

 private:
  // By result.
  const std::map<std::string_view, prometheus::Counter*> session_appends_;
};

// Records one call. Received and Sent come from anywhere; Finished once.
class CallRecorder {
 public:
  explicit CallRecorder(const MethodMetrics& metrics);

  void Received() { metrics_.received.Increment(); }
  void Sent() { metrics_.sent.Increment(); }
  void Finished(grpc::StatusCode code);

  absl::Duration elapsed() const;

 private:
  const MethodMetrics& metrics_;
  const absl::Time start_;
};

// Records one document: what Encoder::Open answered, then what its EncodeSink
// receives.
class DocumentRecorder {
 public:
  explicit DocumentRecorder(Metrics& metrics) : metrics_(metrics) {}

  static void RecordOpen(const absl::Status& status, Metrics& metrics);
  void OnProgress(const EncodeProgress& progress);
  void OnDone(const absl::StatusOr<EncodeSummary>& summary);

 private:
  void RecordFailure(const absl::Status& why);

  Metrics& metrics_;
  std::atomic<uint64_t> encoded_tokens_{0};
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_METRICS_H_
