#include "client/load_runner.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "client/channel_factory.h"
#include "client/client_error.h"
#include "client/load_call.h"
#include "client/retry.h"
#include "client/status_macros.h"
#include "grpcpp/channel.h"

namespace longhand::client {
namespace {

constexpr absl::Duration kConnectPatience = absl::Seconds(10);
// How often a cancellation and the progress are looked at.
constexpr absl::Duration kTick = absl::Milliseconds(100);
// After a failure that gRPC itself reports, such as a refused connection: it
// comes at once, and a closed loop would spin.
constexpr absl::Duration kFailurePause = absl::Milliseconds(100);
// Requests sent, and events taken, before the other is looked at again.
constexpr int kBatch = 64;
// Of a message, besides content and vectors.
constexpr uint64_t kMessageOverhead = 4096;
constexpr uint64_t kChunkOverhead = 64;

struct Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::EncoderService::Stub> stub;
  uint64_t active = 0;  // calls
};

absl::Status WaitUntilConnected(const LoadOptions& options,
                                grpc::Channel* channel) {
  const absl::Time give_up = absl::Now() + kConnectPatience;
  while (!channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kTick))) {
    if (options.cancellation != nullptr && options.cancellation->cancelled()) {
      return absl::CancelledError("cancelled while connecting");
    }
    if (absl::Now() >= give_up) {
      return absl::UnavailableError(absl::StrCat(
          "no connection within ", absl::FormatDuration(kConnectPatience)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Connection>> Connect(const LoadOptions& options) {
  std::vector<Connection> connections;
  for (int i = 0; i < options.connections; ++i) {
    ClientOptions own = options.connection;
    // gRPC lets channels with equal arguments share a connection.
    own.keepalive_interval += absl::Milliseconds(i);
    LH_CLIENT_ASSIGN_OR_RETURN(const auto factory, ChannelFactory::Create(own));
    Connection connection;
    connection.channel = factory->Make(own.target);
    connection.stub = v1::EncoderService::NewStub(connection.channel);
    connections.push_back(std::move(connection));
  }
  for (const Connection& connection : connections) {
    LH_CLIENT_RETURN_IF_ERROR(
        WaitUntilConnected(options, connection.channel.get()));
  }
  return connections;
}

LoadRecorder::Options RecorderOptions(const LoadOptions& options,
                                      size_t classes) {
  LoadRecorder::Options recorder;
  recorder.classes = classes;
  recorder.begin = options.warm_up;
  recorder.end = options.shape.length;
  recorder.goal = std::min(options.goal, options.connection.deadline);
  return recorder;
}

class Runner {
 public:
  Runner(const LoadOptions& options, const LoadPlan& plan,
         const LoadCorpus& corpus, const v1::Model& model,
         std::vector<Connection> connections)
      : options_(options),
        plan_(plan),
        corpus_(corpus),
        model_(model),
        content_{&corpus, &options.encode, options.piece_bytes},
        connections_(std::move(connections)),
        schedule_(options.shape),
        recorder_(RecorderOptions(options, plan.mix().size())),
        start_(std::chrono::steady_clock::now()) {}

  LoadReport Run() {
    while (!schedule_.done()) {
      SendDue();
      TakeEvents();
      Tick();
    }
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      // Nothing is under way: there is nothing in it but its end.
    }
    return recorder_.Finish();
  }

 private:
  // A call under way.
  struct Active {
    std::unique_ptr<LoadCall> call;
    LoadRequest request;
    size_t class_index = 0;
    Connection* connection = nullptr;
  };

  absl::Duration Now() const {
    return absl::FromChrono(std::chrono::steady_clock::now() - start_);
  }

  void SendDue() {
    for (int i = 0; i < kBatch; ++i) {
      const auto due = schedule_.Pop(Now());
      if (!due) return;
      const PlannedDocument document = plan_.Get(due->request.index);
      if (due->send) {
        Send(due->request, document);
      } else {
        recorder_.OnNotSent(due->request, document.class_index);
      }
    }
  }

  void Send(const LoadRequest& request, const PlannedDocument& document) {
    const absl::Duration now = Now();
    const DocumentCut cut = corpus_.Cut(document);
    Active active;
    active.request = request;
    active.class_index = document.class_index;
    active.connection =
        &*std::min_element(connections_.begin(), connections_.end(),
                           [](const Connection& a, const Connection& b) {
                             return a.active < b.active;
                           });
    // What is left of it at this moment.
    const absl::Time deadline =
        absl::Now() + (options_.connection.deadline + request.intended - now);
    const auto start = UsesStream(cut) ? StartStreamCall : StartUnaryCall;
    active.call =
        start(active.connection->stub.get(), &queue_, content_, cut, deadline);
    ++active.connection->active;
    if (request.attempt == 1) ++sent_;
    recorder_.OnSent(request, document.class_index, now,
                     schedule_.outstanding());
    const LoadCall* key = active.call.get();
    active_.emplace(key, std::move(active));
  }

  bool UsesStream(const DocumentCut& cut) const {
    if (options_.method != LoadMethod::kAuto) {
      return options_.method == LoadMethod::kStream;
    }
    const uint64_t unit = corpus_.is_text() ? 1 : sizeof(uint32_t);
    return NeedsStream(model_, options_.encode, cut.size * unit, cut.tokens);
  }

  // Waits for the first event, then takes those that are there.
  void TakeEvents() {
    absl::Duration wait =
        std::clamp(schedule_.NextDue() - Now(), absl::ZeroDuration(), kTick);
    for (int i = 0; i < kBatch; ++i) {
      void* tag = nullptr;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, absl::ToChronoTime(absl::Now() + wait)) !=
          grpc::CompletionQueue::GOT_EVENT) {
        return;
      }
      Take(*static_cast<LoadCall::Event*>(tag), ok);
      wait = absl::ZeroDuration();
    }
  }

  void Take(const LoadCall::Event& event, bool ok) {
    if (!event.call->Proceed(event.operation, ok)) return;
    const auto found = active_.find(event.call);
    const Active ended = std::move(found->second);
    active_.erase(found);
    --ended.connection->active;
    OnEnd(ended, ended.call->TakeOutcome());
  }

  void OnEnd(const Active& ended, const LoadOutcome& outcome) {
    const absl::Duration now = Now();
    if (stopped_ && !outcome.status.ok()) {
      // Ended by the cancellation, or as good as.
      recorder_.OnUnfinished(ended.request, ended.class_index);
      return schedule_.OnEnd(now);
    }
    if (const auto delay = DelayToRetry(ended.request, outcome, now)) {
      recorder_.OnRetry(ended.request, ended.class_index, outcome, now);
      return schedule_.Retry(ended.request, now + *delay);
    }
    ++ended_;
    recorder_.OnEnd(ended.request, ended.class_index, outcome, now);
    schedule_.OnEnd(now + Pause(outcome));
  }

  // nullopt: the request has ended.
  std::optional<absl::Duration> DelayToRetry(const LoadRequest& request,
                                             const LoadOutcome& outcome,
                                             absl::Duration now) {
    if (stopped_ || outcome.status.ok()) return std::nullopt;
    const auto delay =
        RetryDelay(options_.connection.retry, request.attempt, outcome.status,
                   outcome.pushback, absl::Uniform(random_, 0.0, 1.0));
    const absl::Duration deadline =
        request.intended + options_.connection.deadline;
    if (!delay || now + *delay >= deadline) return std::nullopt;
    return delay;
  }

  // Of a closed loop's client before its next request.
  absl::Duration Pause(const LoadOutcome& outcome) const {
    if (outcome.status.ok()) return absl::ZeroDuration();
    if (absl::IsUnavailable(outcome.status) &&
        !GetErrorDetail(outcome.status)) {
      return kFailurePause;
    }
    if (!options_.heed_advice) return absl::ZeroDuration();
    // As if it were tried once more.
    return RetryDelay({}, 1, outcome.status, outcome.pushback, 0)
        .value_or(absl::ZeroDuration());
  }

  void Tick() {
    const absl::Duration now = Now();
    if (!stopped_ && options_.cancellation != nullptr &&
        options_.cancellation->cancelled()) {
      Stop(now);
    }
    if (!options_.on_progress || now - last_progress_ < 2 * kTick) return;
    last_progress_ = now;
    options_.on_progress({now, sent_, ended_, schedule_.outstanding()});
  }

  void Stop(absl::Duration now) {
    stopped_ = true;
    recorder_.Interrupt(now);
    for (const LoadRequest& request : schedule_.Stop()) {
      recorder_.OnUnfinished(request, plan_.Get(request.index).class_index);
    }
    for (const auto& [key, active] : active_) active.call->Cancel();
  }

  const LoadOptions& options_;
  const LoadPlan& plan_;
  const LoadCorpus& corpus_;
  const v1::Model& model_;
  const LoadContent content_;
  std::vector<Connection> connections_;
  grpc::CompletionQueue queue_;
  LoadSchedule schedule_;
  LoadRecorder recorder_;
  absl::BitGen random_;  // of the waits between retries
  const std::chrono::steady_clock::time_point start_;
  std::unordered_map<const LoadCall*, Active> active_;
  absl::Duration last_progress_;
  uint64_t sent_ = 0, ended_ = 0;
  bool stopped_ = false;
};

}  // namespace

bool NeedsStream(const v1::Model& model, const v1::EncodeOptions& options,
                 uint64_t content_bytes, uint64_t tokens) {
  const uint64_t limit = model.limits().max_message_bytes();
  const uint64_t chunk_rows = options.has_chunk_tokens()
                                  ? options.chunk_tokens()
                                  : model.default_options().chunk_tokens();
  const uint64_t special = model.special_tokens_per_chunk();
  const uint64_t chunk_tokens = chunk_rows > special ? chunk_rows - special : 1;
  // Chunkers that look for boundaries make shorter chunks: twice as many.
  const uint64_t chunks = 2 * (tokens / chunk_tokens + 1);
  const uint64_t answer_bytes =
      chunks * (model.hidden_size() * sizeof(float) + kChunkOverhead);
  return std::max(content_bytes, answer_bytes) + kMessageOverhead > limit;
}

absl::StatusOr<LoadReport> MeasureLoad(const LoadOptions& options,
                                       const LoadPlan& plan,
                                       const LoadCorpus& corpus,
                                       const v1::Model& model) {
  LH_CLIENT_ASSIGN_OR_RETURN(std::vector<Connection> connections,
                             Connect(options));
  return Runner(options, plan, corpus, model, std::move(connections)).Run();
}

}  // namespace longhand::client
