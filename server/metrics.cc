#include "server/metrics.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <string_view>

#include "absl/time/clock.h"
#include "prometheus/gauge.h"
#include "server/grpc_status.h"

namespace longhand {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::Registry;
using Labels = std::map<std::string, std::string>;
using Buckets = Histogram::BucketBoundaries;

constexpr std::array<const char*, 17> kCodeNames = {"OK",
                                                    "Canceled",
                                                    "Unknown",
                                                    "InvalidArgument",
                                                    "DeadlineExceeded",
                                                    "NotFound",
                                                    "AlreadyExists",
                                                    "PermissionDenied",
                                                    "ResourceExhausted",
                                                    "FailedPrecondition",
                                                    "Aborted",
                                                    "OutOfRange",
                                                    "Unimplemented",
                                                    "Internal",
                                                    "Unavailable",
                                                    "DataLoss",
                                                    "Unauthenticated"};

constexpr char kEncoderService[] = "longhand.v1.EncoderService";
constexpr char kModelService[] = "longhand.v1.ModelService";

// Documents take from a millisecond to the limit of a stream.
Buckets SecondsBuckets() {
  return {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,   2.5,
          5,     10,   30,    60,   120, 300,  900, 3600};
}

Buckets TokenBuckets() {
  return {64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304};
}

// Families are found again by name, so asking twice is fine.
Counter& AddCounter(Registry& registry, const char* name, const char* help,
                    const Labels& labels = {}) {
  return BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
}

Histogram& AddHistogram(Registry& registry, const char* name, const char* help,
                        const Buckets& buckets, const Labels& labels = {}) {
  return BuildHistogram().Name(name).Help(help).Register(registry).Add(labels,
                                                                       buckets);
}

MethodMetrics AddMethod(Registry& registry, const char* type,
                        const char* service, const char* method) {
  const Labels labels = {
      {"grpc_type", type}, {"grpc_service", service}, {"grpc_method", method}};
  std::array<Counter*, 17> handled;
  for (size_t code = 0; code < handled.size(); ++code) {
    Labels with_code = labels;
    with_code["grpc_code"] = kCodeNames[code];
    handled[code] = &AddCounter(registry, "grpc_server_handled_total",
                                "Calls completed, by status code.", with_code);
  }
  return {
      .started = AddCounter(registry, "grpc_server_started_total",
                            "Calls started.", labels),
      .handled = handled,
      .seconds = AddHistogram(registry, "grpc_server_handling_seconds",
                              "Time from the start of a call to its status.",
                              SecondsBuckets(), labels),
      .received = AddCounter(registry, "grpc_server_msg_received_total",
                             "Messages received from clients.", labels),
      .sent = AddCounter(registry, "grpc_server_msg_sent_total",
                         "Messages sent to clients.", labels),
  };
}

Histogram& AddPhase(Registry& registry, const char* phase) {
  return AddHistogram(registry, "longhand_encode_seconds",
                      "Time spent on a completed document, by phase; total is "
                      "from its first byte to its result.",
                      SecondsBuckets(), {{"phase", phase}});
}

Counter& AddWasted(Registry& registry, const char* cause) {
  return AddCounter(registry, "longhand_wasted_tokens_total",
                    "Rows computed for documents that did not complete.",
                    {{"cause", cause}});
}

Counter& AddRejected(Registry& registry, const char* reason) {
  return AddCounter(registry, "longhand_admission_rejected_total",
                    "Documents refused with UNAVAILABLE, by what was short.",
                    {{"reason", reason}});
}

}  // namespace

Metrics::Metrics(const BuildLabels& build)
    : registry_(std::make_shared<Registry>()),
      encode(AddMethod(*registry_, "unary", kEncoderService, "Encode")),
      encode_stream(AddMethod(*registry_, "bidi_stream", kEncoderService,
                              "EncodeStream")),
      encode_batch(
          AddMethod(*registry_, "bidi_stream", kEncoderService, "EncodeBatch")),
      get_model(AddMethod(*registry_, "unary", kModelService, "GetModel")),
      tokenize(AddMethod(*registry_, "unary", kModelService, "Tokenize")),
      request_tokens(AddHistogram(*registry_, "longhand_request_tokens",
                                  "Tokens in a completed document.",
                                  TokenBuckets())),
      tokenize_seconds(AddPhase(*registry_, "tokenize")),
      compute_seconds(AddPhase(*registry_, "compute")),
      pool_seconds(AddPhase(*registry_, "pool")),
      total_seconds(AddPhase(*registry_, "total")),
      queue_wait_seconds(AddHistogram(
          *registry_, "longhand_queue_wait_seconds",
          "Time in which a completed document had work to do and no worker.",
          SecondsBuckets())),
      encoded_tokens(AddCounter(*registry_, "longhand_encode_tokens_total",
                                "Rows computed, special tokens included.")),
      wasted_cancelled_tokens(AddWasted(*registry_, "cancelled")),
      wasted_expired_tokens(AddWasted(*registry_, "expired")),
      wasted_failed_tokens(AddWasted(*registry_, "failed")),
      rejected_documents(AddRejected(*registry_, "documents")),
      rejected_memory(AddRejected(*registry_, "memory")),
      rejected_shutting_down(AddRejected(*registry_, "shutting_down")) {
  prometheus::BuildGauge()
      .Name("longhand_build_info")
      .Help("1; the labels say what runs.")
      .Register(*registry_)
      .Add({{"version", build.version},
            {"grpc", grpc::Version()},
            {"onednn", build.onednn_version},
            {"isa", build.isa},
            {"model", build.model},
            {"fingerprint", build.fingerprint}})
      .Set(1);
}

CallRecorder::CallRecorder(const MethodMetrics& metrics)
    : metrics_(metrics), start_(absl::Now()) {
  metrics_.started.Increment();
}

void CallRecorder::Finished(grpc::StatusCode code) {
  size_t index = static_cast<size_t>(code);
  if (index >= metrics_.handled.size()) index = grpc::StatusCode::UNKNOWN;
  metrics_.handled[index]->Increment();
  metrics_.seconds.Observe(absl::ToDoubleSeconds(elapsed()));
}

absl::Duration CallRecorder::elapsed() const { return absl::Now() - start_; }

void DocumentRecorder::OnProgress(const EncodeProgress& progress) {
  encoded_tokens_.store(progress.encoded_tokens, std::memory_order_relaxed);
}

void DocumentRecorder::OnDone(const absl::StatusOr<EncodeSummary>& summary) {
  if (summary.ok()) {
    const EncodeTimings& timings = summary->timings;
    metrics_.encoded_tokens.Increment(
        static_cast<double>(summary->encoded_tokens));
    metrics_.request_tokens.Observe(
        static_cast<double>(summary->received_tokens));
    metrics_.tokenize_seconds.Observe(absl::ToDoubleSeconds(timings.tokenize));
    metrics_.compute_seconds.Observe(absl::ToDoubleSeconds(timings.compute));
    metrics_.pool_seconds.Observe(absl::ToDoubleSeconds(timings.pool));
    metrics_.total_seconds.Observe(absl::ToDoubleSeconds(timings.total));
    metrics_.queue_wait_seconds.Observe(absl::ToDoubleSeconds(timings.queue));
    return;
  }
  RecordFailure(summary.status());
}

void DocumentRecorder::RecordOpen(const absl::Status& status,
                                  Metrics& metrics) {
  if (absl::IsUnavailable(status)) metrics.rejected_documents.Increment();
}

void DocumentRecorder::RecordFailure(const absl::Status& why) {
  auto tokens =
      static_cast<double>(encoded_tokens_.load(std::memory_order_relaxed));
  metrics_.encoded_tokens.Increment(tokens);
  switch (why.code()) {
    case absl::StatusCode::kCancelled:
      metrics_.wasted_cancelled_tokens.Increment(tokens);
      return;
    case absl::StatusCode::kDeadlineExceeded:
      metrics_.wasted_expired_tokens.Increment(tokens);
      return;
    case absl::StatusCode::kUnavailable:
      if (StatusReason(why) == "SHUTTING_DOWN") {
        metrics_.rejected_shutting_down.Increment();
      } else {
        metrics_.rejected_memory.Increment();
      }
      [[fallthrough]];
    default:
      metrics_.wasted_failed_tokens.Increment(tokens);
  }
}

}  // namespace longhand
