#include "server/metrics.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <string_view>
#include <utility>

#include "absl/time/clock.h"
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
constexpr char kSessionService[] = "longhand.v1.SessionService";

// Reasons of appends that were not applied, and the label of each.
constexpr std::pair<std::string_view, std::string_view> kAppendReasons[] = {
    {"APPEND_ID_REUSED", "id_reused"},
    {"CHECKSUM", "checksum"},
    {"CONCURRENT_APPEND", "conflict"},
    {"DRAINING", "draining"},
    {"DURABILITY_UNAVAILABLE", "durability"},
    {"FINGERPRINT_MISMATCH", "fingerprint"},
    {"MODEL_FINGERPRINT_MISMATCH", "fingerprint"},
    {"OFFSET_ALREADY_WRITTEN", "already_written"},
    {"OFFSET_GAP", "gap"},
    {"OVERLOADED", "overloaded"},
    {"SESSION_CLOSED", "closed"},
    {"SESSION_EVICTED", "evicted"},
    {"SESSION_EXPIRED", "expired"},
    {"SESSION_NOT_FOUND", "not_found"},
    {"SHUTTING_DOWN", "draining"},
    {"STALE_GENERATION", "stale_generation"},
    {"STATE_DIVERGED", "diverged"},
    {"WRONG_REPLICA", "wrong_replica"}};

// The label of all other errors of a code.
constexpr std::pair<absl::StatusCode, std::string_view> kAppendCodes[] = {
    {absl::StatusCode::kCancelled, "cancelled"},
    {absl::StatusCode::kDeadlineExceeded, "deadline"},
    {absl::StatusCode::kInvalidArgument, "invalid"},
    {absl::StatusCode::kResourceExhausted, "limit"},
    {absl::StatusCode::kUnavailable, "store"},
    {absl::StatusCode::kDataLoss, "corrupt"}};

constexpr std::string_view kApplied = "applied";
constexpr std::string_view kDuplicate = "duplicate";
constexpr std::string_view kFailed = "failed";

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

prometheus::Gauge& AddGauge(Registry& registry, const char* name,
                            const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(
      {});
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
      .name = method,
      .client_streams = std::string_view(type) == "bidi_stream" ||
                        std::string_view(type) == "client_stream",
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

Counter& AddAuthFailure(Registry& registry, const char* reason) {
  return AddCounter(registry, "longhand_auth_failures_total",
                    "Calls refused with UNAUTHENTICATED.",
                    {{"reason", reason}});
}

Counter& AddRejected(Registry& registry, const char* reason) {
  return AddCounter(registry, "longhand_admission_rejected_total",
                    "Requests refused before any work, by what was short.",
                    {{"reason", reason}});
}

auto AddAdmissionWait(Registry& registry) {
  std::array<Histogram*, kRequestClasses.size()> histograms;
  for (size_t i = 0; i < histograms.size(); ++i) {
    histograms[i] = &AddHistogram(
        registry, "longhand_admission_queue_wait_seconds",
        "Time that a request waited for its place.", SecondsBuckets(),
        {{"class", std::string(RequestClassName(kRequestClasses[i]))}});
  }
  return histograms;
}

auto AddRefusals(Registry& registry) {
  std::array<Counter*, kRefusals.size()> counters;
  for (size_t i = 0; i < counters.size(); ++i) {
    counters[i] =
        &AddRejected(registry, std::string(RefusalName(kRefusals[i])).c_str());
  }
  return counters;
}

std::map<std::string_view, Counter*> AddAppends(Registry& registry) {
  std::map<std::string_view, Counter*> counters;
  auto add = [&](std::string_view result) {
    counters[result] =
        &AddCounter(registry, "longhand_session_appends_total",
                    "Appends to sessions, by what became of them.",
                    {{"result", std::string(result)}});
  };
  for (std::string_view result : {kApplied, kDuplicate, kFailed}) add(result);
  for (const auto& [reason, result] : kAppendReasons) add(result);
  for (const auto& [code, result] : kAppendCodes) add(result);
  return counters;
}

MethodMetrics AddSessionMethod(Registry& registry, const char* type,
                               const char* method) {
  return AddMethod(registry, type, kSessionService, method);
}

void AddBuildInfo(Registry& registry, const BuildLabels& build) {
  prometheus::BuildGauge()
      .Name("longhand_build_info")
      .Help("1; the labels say what runs.")
      .Register(registry)
      .Add({{"version", build.version},
            {"grpc", grpc::Version()},
            {"onednn", build.onednn_version},
            {"isa", build.isa},
            {"model", build.model},
            {"fingerprint", build.fingerprint}})
      .Set(1);
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
      create_session(AddSessionMethod(*registry_, "unary", "CreateSession")),
      get_session(AddSessionMethod(*registry_, "unary", "GetSession")),
      list_sessions(AddSessionMethod(*registry_, "unary", "ListSessions")),
      delete_session(AddSessionMethod(*registry_, "unary", "DeleteSession")),
      append_session(
          AddSessionMethod(*registry_, "bidi_stream", "AppendSession")),
      query_session(AddSessionMethod(*registry_, "unary", "QuerySession")),
      fork_session(AddSessionMethod(*registry_, "unary", "ForkSession")),
      rewind_session(
          AddSessionMethod(*registry_, "server_stream", "RewindSession")),
      edit_session(
          AddSessionMethod(*registry_, "server_stream", "EditSession")),
      export_session(
          AddSessionMethod(*registry_, "server_stream", "ExportSession")),
      import_session(
          AddSessionMethod(*registry_, "client_stream", "ImportSession")),
      unknown_method(AddMethod(*registry_, "unknown", "unknown", "unknown")),
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
      rejected_shutting_down(AddRejected(*registry_, "shutting_down")),
      admission_wait_seconds(AddAdmissionWait(*registry_)),
      admission_refused(AddRefusals(*registry_)),
      auth_missing(AddAuthFailure(*registry_, "missing")),
      auth_invalid(AddAuthFailure(*registry_, "invalid")),
      draining(AddGauge(*registry_, "longhand_draining",
                        "1 from the signal to stop on, else 0.")),
      unread_response_bytes(
          AddGauge(*registry_, "longhand_unread_response_bytes",
                   "Responses of streams that wait for clients to read them.")),
      session_append_seconds(AddHistogram(
          *registry_, "longhand_session_append_seconds",
          "Time that the session took for an append, refused ones included.",
          SecondsBuckets())),
      session_query_seconds(AddHistogram(
          *registry_, "longhand_session_query_seconds",
          "Time that the session took for the questions of a call.",
          SecondsBuckets())),
      session_appends_(AddAppends(*registry_)) {
  AddBuildInfo(*registry_, build);
}

void Metrics::RecordAuthFailure(const absl::Status& why) {
  (StatusReason(why) == "AUTH_REQUIRED" ? auth_missing : auth_invalid)
      .Increment();
}

void Metrics::RecordAppend(bool duplicate) {
  session_appends_.at(duplicate ? kDuplicate : kApplied)->Increment();
}

void Metrics::RecordAppendFailure(const absl::Status& why) {
  const std::string reason = StatusReason(why);
  std::string_view result = kFailed;
  for (const auto& [code, label] : kAppendCodes) {
    if (why.code() == code) result = label;
  }
  for (const auto& [name, label] : kAppendReasons) {
    if (reason == name) result = label;
  }
  session_appends_.at(result)->Increment();
}

double Metrics::session_appends(std::string_view result) const {
  return session_appends_.at(result)->Value();
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
    case absl::StatusCode::kAborted:  // the client stalled
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
