#include "server/lifecycle.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/attention/mechanism_options.h"
#include "core/attention/retrieval_options.h"
#include "core/base/cpu_budget.h"
#include "core/base/error.h"
#include "core/base/heap.h"
#include "core/base/memory_budget.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/engine/encoder.h"
#include "core/model/model.h"
#include "server/grpc_status.h"
#include "server/listen_address.h"
#include "server/logging.h"
#include "server/served_model.h"
#include "server/server.h"
#include "server/session_setup.h"

namespace longhand {
namespace {

constexpr absl::Duration kHeapTrimInterval = absl::Seconds(10);
constexpr absl::Duration kDrainGrace = absl::Seconds(5);

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Those, and the ones that change the log.
sigset_t AllSignals() {
  sigset_t signals = StopSignals();
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  return signals;
}

// Threads inherit the mask, so only sigwait sees these signals.
void BlockSignals() {
  const sigset_t signals = AllSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// Returns with the signal to stop; SIGUSR1 and SIGUSR2 change the log.
int WaitForStop(LogLevel configured_level) {
  const sigset_t signals = AllSignals();
  for (;;) {
    const timespec wait = absl::ToTimespec(kHeapTrimInterval);
    const int number = sigtimedwait(&signals, nullptr, &wait);
    if (number < 0) {
      TrimHeap();
    } else if (number == SIGUSR1) {
      SetLogLevel(LogLevel::kDebug);
      Log(LogLevel::kInfo, "a line per call is logged");
    } else if (number == SIGUSR2) {
      Log(LogLevel::kInfo, "the log is as configured again");
      SetLogLevel(configured_level);
    } else {
      return number;
    }
  }
}

// Ends the process at the next stop signal or after `limit`.
void StartWatchdog(absl::Duration limit) {
  std::thread([limit] {
    const sigset_t signals = StopSignals();
    const absl::Time end = absl::Now() + limit;
    int number;
    do {
      const timespec wait =
          absl::ToTimespec(std::max(absl::ZeroDuration(), end - absl::Now()));
      number = sigtimedwait(&signals, nullptr, &wait);
      // As after SIGSTOP and SIGCONT.
    } while (number < 0 && errno == EINTR);
    Log(LogLevel::kError, "stopping before the drain is complete",
        {{"cause", number > 0 ? "second signal" : "drain took too long"}});
    _exit(kExitNotDrained);
  }).detach();
}

void ForbidCoreDumps() {
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
    Log(LogLevel::kWarning, "core dumps cannot be switched off");
  }
}

// Each connection takes a descriptor, and many systems allow 1024 to a process
// that does not ask for more.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Readers see no file or all of it.
absl::Status WritePortFile(const std::string& path, int port) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  {
    std::ofstream file(temporary);
    file << port << "\n";
    file.close();
    if (file.good() && std::rename(temporary.c_str(), path.c_str()) == 0) {
      return absl::OkStatus();
    }
  }
  std::remove(temporary.c_str());
  return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                   absl::StrCat("cannot write --port-file ", path,
                                "; its directory must exist and be writable"));
}

// Without the digits that a float32 does not have.
double Number(std::optional<float> value) {
  double number = 0;
  return absl::SimpleAtod(absl::StrCat(value.value_or(0)), &number) ? number
                                                                    : 0;
}

// "window_tokens 128, stride_tokens 128".
std::string Describe(const MechanismOptions& options) {
  std::vector<std::string> numbers;
  for (const MechanismField& field : MechanismFields()) {
    const std::optional<int>& value = options.*field.value;
    if (!value) continue;
    numbers.push_back(absl::StrCat(ToAbsl(field.name), " ", *value));
  }
  return absl::StrJoin(numbers, ", ");
}

void LogDefaults(const EncodeOptions& options) {
  Log(LogLevel::kInfo, "defaults of requests",
      {{"mechanism", options.mechanism},
       {"visibility",
        VisibilityName(options.visibility.value_or(Visibility::kCausal))},
       {"gate", Number(options.gate)},
       {"retrieval_layers", options.retrieval_layers.empty()
                                ? "all"
                                : absl::StrJoin(options.retrieval_layers, ",")},
       {"features",
        FeatureMapName(options.features.value_or(FeatureMap::kElu))},
       {"merge", MergeName(options.merge.value_or(Merge::kGate))},
       {"top_k", options.top_k.value_or(0)},
       {"anchors", options.anchors.value_or(0)},
       {"anchor_share", Number(options.anchor_share)},
       {"neighbors", options.neighbors.value_or(0)},
       {"state_codec", options.state_codec},
       {"state_rank", options.state_rank.value_or(0)},
       {"mechanism_options", Describe(options.mechanism_options)},
       {"global_tokens", absl::StrJoin(options.global_tokens, ",")},
       {"chunker", options.chunker},
       {"chunk_tokens", options.chunk_tokens.value_or(0)},
       {"min_chunk_tokens", options.min_chunk_tokens.value_or(0)},
       {"overlap_tokens", options.overlap_tokens.value_or(0)},
       {"pooling", options.pooling},
       {"anchor_weight", Number(options.anchor_weight)},
       {"document_weight", Number(options.document_weight)}});
}

void LogModel(const ServedModel& model, const EncoderOptions& options) {
  const ModelInfo& info = model.info;
  Log(LogLevel::kInfo, "model loaded",
      {{"name", info.name},
       {"family", model.config.family},
       {"layers", model.config.num_layers},
       {"heads", model.config.num_heads},
       {"hidden_size", model.config.output_size()},
       {"weight_bytes", info.weight_bytes},
       {"precision_requested", info.requested_precision},
       {"precision_stored", info.stored_precision},
       {"precision_effective", info.effective_precision},
       {"adapter", info.adapter_fingerprint},
       {"onednn", info.onednn_version},
       {"isa", info.isa},
       {"tokenizer", model.tokenizer != nullptr},
       {"fingerprint", info.fingerprint}});
  if (info.effective_precision != info.requested_precision) {
    Log(LogLevel::kWarning,
        "this CPU does not compute in the precision that was asked for",
        {{"requested", info.requested_precision},
         {"effective", info.effective_precision}});
  }
  if (!info.ignored_tensors.empty()) {
    Log(LogLevel::kInfo, "the model's file holds tensors that are not used",
        {{"count", info.ignored_tensors.size()},
         {"first", info.ignored_tensors.front()}});
  }
  Log(LogLevel::kInfo, "encoder started",
      {{"workers", options.workers},
       {"cpu", DetectCpuBudget().explanation},
       {"memory", DetectMemoryBudget().explanation},
       {"max_concurrent_documents", options.max_concurrent_documents},
       {"max_document_bytes", options.max_document_bytes},
       {"max_working_bytes", options.max_working_bytes},
       {"max_batch_chunks", options.max_batch_chunks}});
  LogDefaults(model.default_options);
}

// What the operator gives away must be there: else the kernel ends the process
// under load, long after the start.
void CheckMemory(const ServerConfig& config, uint64_t weight_bytes,
                 uint64_t working_bytes, const SessionManager* sessions) {
  const MemoryBudget budget = DetectMemoryBudget();
  LogFields fields = {
      {"weight_bytes", weight_bytes},
      {"max_working_bytes", working_bytes},
      {"session_memory_bytes",
       sessions == nullptr ? 0 : sessions->stats().memory_limit_bytes},
      {"grpc_memory_bytes", config.grpc_memory_bytes},
      {"max_unread_bytes", config.max_unread_bytes}};
  double total = 0;
  for (const auto& [name, bytes] : fields) total += bytes.get<double>();
  if (budget.bytes == 0 || total <= double(budget.bytes)) return;
  fields.emplace_back("memory", budget.explanation);
  Log(LogLevel::kWarning,
      "the budgets are more memory than this process may use; lower "
      "--max-working-bytes, --session-memory-bytes or --grpc-memory-bytes",
      fields);
}

void LogListening(const ServerConfig& config, const Server& server) {
  Log(LogLevel::kInfo, "listening",
      {{"address", config.listen},
       {"port", server.port()},
       {"tls", config.tls.enabled()},
       {"client_certificates", !config.tls.client_ca_file.empty()},
       {"reflection", config.reflection},
       {"metrics_address", config.metrics_listen},
       {"metrics_port", server.metrics_port()},
       {"max_message_bytes", config.max_message_bytes},
       {"max_concurrent_streams", config.max_concurrent_streams},
       {"grpc", grpc::Version()}});
  if (!IsLocalAddress(config.listen) && config.tls.client_ca_file.empty()) {
    Log(LogLevel::kWarning,
        "anybody who reaches the port can reach gRPC's parser; prefer "
        "--tls-client-ca or a maintained proxy");
  }
}

absl::StatusOr<std::unique_ptr<Server>> StartServer(
    const ServerConfig& config) {
  LH_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model,
                      Model::Load(config.model));
  LH_ASSIGN_OR_RETURN(std::unique_ptr<Encoder> encoder,
                      Encoder::Create(std::move(model), config.encoder));
  LH_ASSIGN_OR_RETURN(ServedModel served, DescribeModel(*encoder));
  LogModel(served, encoder->options());
  LH_ASSIGN_OR_RETURN(SessionParts sessions,
                      OpenSessions(config, encoder.get()));
  CheckMemory(config, served.info.weight_bytes,
              encoder->options().max_working_bytes, sessions.manager.get());
  LH_ASSIGN_OR_RETURN(std::unique_ptr<Server> server,
                      Server::Start(config, std::move(served),
                                    std::move(encoder), std::move(sessions)));
  LogListening(config, *server);
  if (!config.port_file.empty()) {
    LH_RETURN_IF_ERROR(WritePortFile(config.port_file, server->port()));
  }
  return server;
}

}  // namespace

int RunServer(const ServerConfig& config) {
  BlockSignals();
  InitLogging(config.log);
  Log(LogLevel::kInfo, "starting", {{"version", LONGHAND_VERSION}});
  if (!config.allow_core_dumps) ForbidCoreDumps();
  RaiseDescriptorLimit();
  absl::StatusOr<std::unique_ptr<Server>> server = StartServer(config);
  if (!server.ok()) {
    Log(LogLevel::kError, "cannot start",
        {{"reason", StatusReason(server.status())},
         {"message", std::string(server.status().message())}});
    return kExitStartFailed;
  }
  const int number = WaitForStop(config.log.level);
  Log(LogLevel::kInfo, "draining", {{"signal", number}});
  StartWatchdog(config.drain_delay + config.drain_timeout + kDrainGrace);
  const absl::Status drained =
      (*server)->Drain(config.drain_delay, config.drain_timeout);
  server->reset();
  if (!drained.ok()) {
    Log(LogLevel::kError, "sessions did not reach the store in time",
        {{"reason", StatusReason(drained)},
         {"message", std::string(drained.message())}});
    return kExitNotDrained;
  }
  Log(LogLevel::kInfo, "drained");
  return kExitOk;
}

}  // namespace longhand
