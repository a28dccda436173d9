#include "server/admission.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/out_of_memory.h"

namespace longhand {
namespace {

// What a request takes besides its tokens, in tokens.
constexpr double kRequestCost = 32;
// Of the times that requests take over those that were predicted, this part is
// to be below the margin: what ends a little late is work for nothing, and
// costs more than a refusal too many.
constexpr double kInMargin = 0.95;
constexpr double kMarginStep = 0.2;
constexpr double kMostMargin = 4;
// More margin for what has to wait: a refusal at its turn comes late, and one
// step of the margin must not turn away all that waits.
constexpr double kWaitMargin = kMarginStep;
// What the scheduler leaves to short work while long work runs.
constexpr double kShortShare = 0.75;
constexpr double kLeastRetrySeconds = 0.1;
constexpr double kMostRetrySeconds = 30;

double CostOf(const Admission::Request& request) {
  return request.tokens + kRequestCost;
}

double WeightOf(const TenantPolicy* policy) {
  return policy == nullptr || policy->weight <= 0 ? 1 : policy->weight;
}

absl::Status WithRetry(absl::StatusCode code, std::string_view reason,
                       std::string_view message, double seconds) {
  seconds = std::clamp(seconds, kLeastRetrySeconds, kMostRetrySeconds);
  return MakeError(
      code, reason, message,
      {{"retry_after_ms", absl::StrCat(int64_t(std::ceil(seconds * 1000)))}});
}

absl::Status Overloaded(double retry_seconds) {
  return WithRetry(absl::StatusCode::kUnavailable, "OVERLOADED",
                   "the server has more work than it can do in time; try again "
                   "later or elsewhere",
                   retry_seconds);
}

absl::Status Infeasible(double retry_seconds) {
  return WithRetry(absl::StatusCode::kUnavailable, "DEADLINE_INFEASIBLE",
                   "the server is too busy to be done by the deadline; try "
                   "again later or with a later deadline",
                   retry_seconds);
}

absl::Status Expired() {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "QUEUE_TIMEOUT",
                   "the deadline passed before work on the request began");
}

}  // namespace

std::string_view RequestClassName(RequestClass request_class) {
  switch (request_class) {
    case RequestClass::kShort:
      return "short";
    case RequestClass::kLong:
      return "long";
    case RequestClass::kStream:
      return "stream";
  }
  return "";
}

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kQueueFull:
      return "queue_full";
    case Refusal::kInfeasible:
      return "infeasible";
    case Refusal::kExpired:
      return "expired";
    case Refusal::kQuota:
      return "quota";
  }
  return "";
}

Admission::Permit::~Permit() { admission_->Release(*this); }

void Admission::Permit::OnProgress(uint64_t received_bytes,
                                   uint64_t received_tokens,
                                   uint64_t encoded_tokens) {
  admission_->OnProgress(*this,
                         {received_bytes, received_tokens, encoded_tokens});
}

void Admission::Ticket::Cancel(const absl::Status& why) {
  admission_->Cancel(*this, why);
}

Admission::Admission(const AdmissionOptions& options,
                     AdmissionObserver* observer,
                     std::function<absl::Time()> now)
    : options_(options), observer_(observer), now_(std::move(now)) {
  for (int places : options_.places) LH_CHECK(places > 0);
}

Admission::~Admission() {
  absl::MutexLock lock(&mu_);
  for (const Lane& lane : lanes_) {
    LH_CHECK(lane.running == 0);
    LH_CHECK(lane.queue.size() == 0);
  }
}

RequestClass Admission::ClassOf(const Request& request) const {
  if (request.is_stream) return RequestClass::kStream;
  return request.tokens <= double(options_.short_tokens) ? RequestClass::kShort
                                                         : RequestClass::kLong;
}

std::shared_ptr<Admission::Ticket> Admission::Enter(Request request,
                                                    Ready ready) {
  const RequestClass request_class = ClassOf(request);
  std::shared_ptr<Ticket> ticket(
      new Ticket(this, request.tenant, request_class));
  Outcomes outcomes;
  {
    absl::MutexLock lock(&mu_);
    const absl::Time now = now_();
    Lane& its_lane = lane(request_class);
    if (std::optional<Refused> refused = CheckQuota(request, now)) {
      outcomes.push_back({std::move(ready), std::move(refused->why),
                          request_class, absl::ZeroDuration(),
                          refused->refusal});
    } else if (its_lane.running < places(request_class) &&
               its_lane.queue.size() == 0) {
      Tenant& tenant = FindTenant(request, now);
      ++tenant.documents;
      tenant.allowance -= request.tokens;
      outcomes.push_back({std::move(ready), Grant(request, request_class),
                          request_class, absl::ZeroDuration(), std::nullopt});
      UpdateBusy(now);
    } else {
      Wait(ticket, std::move(request), std::move(ready), now, &outcomes);
    }
  }
  Tell(std::move(outcomes));
  return ticket;
}

void Admission::Wait(const std::shared_ptr<Ticket>& ticket, Request request,
                     Ready ready, absl::Time now, Outcomes* outcomes) {
  const RequestClass request_class = ticket->class_;
  std::optional<Refused> refused = CheckWait(request, request_class, now);
  if (!refused && !MakeRoom(request, request_class, outcomes)) {
    refused = {Overloaded(PredictWait(request, request_class)),
               Refusal::kQueueFull};
  }
  if (refused) {
    outcomes->push_back({std::move(ready), std::move(refused->why),
                         request_class, absl::ZeroDuration(),
                         refused->refusal});
    return;
  }
  Tenant& tenant = FindTenant(request, now);
  ++tenant.documents;
  tenant.allowance -= request.tokens;
  Lane& its_lane = lane(request_class);
  its_lane.queued_bytes += request.bytes;
  its_lane.queue.Push(request.tenant, WeightOf(request.policy.get()),
                      {ticket, CostOf(request)});
  ticket->waiting_ = std::make_unique<Ticket::Waiting>(
      Ticket::Waiting{std::move(request), now, std::move(ready)});
}

std::optional<Admission::Refused> Admission::CheckQuota(const Request& request,
                                                        absl::Time now) {
  if (now >= request.deadline) return Refused{Expired(), Refusal::kExpired};
  if (request.policy == nullptr) return std::nullopt;
  const TenantPolicy& policy = *request.policy;
  if (policy.max_documents <= 0 && !policy.limits_tokens()) return std::nullopt;
  const Tenant& tenant = FindTenant(request, now);
  if (policy.max_documents > 0 && tenant.documents >= policy.max_documents) {
    return Refused{
        WithRetry(absl::StatusCode::kResourceExhausted, "TENANT_DOCUMENTS",
                  absl::StrCat("your quota is ", policy.max_documents,
                               " documents at one time; wait for one to end"),
                  1),
        Refusal::kQuota};
  }
  if (policy.limits_tokens() && tenant.allowance <= 0) {
    return Refused{
        WithRetry(absl::StatusCode::kResourceExhausted, "TENANT_QUOTA",
                  absl::StrCat("your quota is ", policy.tokens_per_second,
                               " tokens a second, and more than that has been "
                               "used; try again later"),
                  (1 - tenant.allowance) / policy.tokens_per_second),
        Refusal::kQuota};
  }
  return std::nullopt;
}

std::optional<Admission::Refused> Admission::CheckWait(
    const Request& request, RequestClass request_class, absl::Time now) {
  const double wait = PredictWait(request, request_class);
  if (absl::Seconds(wait) > options_.max_wait) {
    return Refused{Overloaded(wait), Refusal::kQueueFull};
  }
  const double work = PredictWork(request, request_class);
  const double margin = margin_ + kWaitMargin;
  if (now + margin * absl::Seconds(wait + work) > request.deadline) {
    return Refused{Infeasible(wait), Refusal::kInfeasible};
  }
  return std::nullopt;
}

std::optional<Admission::Refused> Admission::CheckTurn(
    const Request& request, RequestClass request_class, absl::Time now) {
  if (now >= request.deadline) return Refused{Expired(), Refusal::kExpired};
  const double work = PredictWork(request, request_class);
  if (now + margin_ * absl::Seconds(work) > request.deadline) {
    return Refused{Infeasible(PredictWait(request, request_class)),
                   Refusal::kInfeasible};
  }
  return std::nullopt;
}

bool Admission::MakeRoom(const Request& request, RequestClass request_class,
                         Outcomes* outcomes) {
  Lane& its_lane = lane(request_class);
  const auto is_full = [&] {
    return its_lane.queue.size() >= options_.max_queued ||
           its_lane.queued_bytes + request.bytes > options_.max_queued_bytes;
  };
  if (request.bytes > options_.max_queued_bytes) return false;
  while (is_full()) {
    auto dropped = its_lane.queue.PopFromLargest(
        request.tenant, WeightOf(request.policy.get()), CostOf(request));
    if (!dropped) return false;
    std::unique_ptr<Ticket::Waiting> waiting = TakeWaiting(*dropped->item);
    const absl::Time now = now_();
    GiveUp(waiting->request, now);
    outcomes->push_back(
        {std::move(waiting->ready),
         Overloaded(PredictWait(waiting->request, request_class)),
         request_class, now - waiting->since, Refusal::kQueueFull});
  }
  return true;
}

double Admission::PredictWait(const Request& request,
                              RequestClass request_class) {
  const double rate = throughput_.tokens_per_second();
  // A stream's place depends on its client.
  if (rate <= 0 || request_class == RequestClass::kStream) return 0;
  const Lane& its_lane = lane(request_class);
  const double weight = WeightOf(request.policy.get());
  const double own = its_lane.queue.CostOf(request.tenant);
  const double weights = its_lane.queue.weights() + (own > 0 ? 0 : weight);
  // Others go first only in proportion to their weights.
  double ahead = std::min(its_lane.queue.cost(),
                          (own + CostOf(request)) * weights / weight);
  ahead += its_lane.tokens_left / places(request_class);
  if (request_class == RequestClass::kLong) {
    const Lane& shorts = lane(RequestClass::kShort);
    ahead += shorts.queue.cost() + shorts.tokens_left;
  }
  return ahead / rate;
}

double Admission::PredictWork(const Request& request,
                              RequestClass request_class) {
  const double rate = throughput_.tokens_per_second();
  if (rate <= 0 || request_class == RequestClass::kStream) return 0;
  const double tokens = lane(request_class).tokens_left + CostOf(request);
  const bool shares = request_class == RequestClass::kShort &&
                      (lane(RequestClass::kLong).running > 0 ||
                       lane(RequestClass::kStream).running > 0);
  return tokens / rate / (shares ? kShortShare : 1);
}

std::shared_ptr<Admission::Permit> Admission::Grant(
    const Request& request, RequestClass request_class) {
  std::shared_ptr<Permit> permit(new Permit(
      this, request_class, request, request.is_stream ? 0 : CostOf(request)));
  permit->begin_ = now_();
  permit->predicted_ = absl::Seconds(PredictWork(request, request_class));
  Lane& its_lane = lane(request_class);
  ++its_lane.running;
  its_lane.tokens_left += permit->left_;
  return permit;
}

void Admission::Fill(RequestClass request_class, absl::Time now,
                     Outcomes* outcomes) {
  Lane& its_lane = lane(request_class);
  while (its_lane.running < places(request_class)) {
    auto next = its_lane.queue.Pop();
    if (!next) return;
    std::unique_ptr<Ticket::Waiting> waiting = TakeWaiting(*next->item);
    const absl::Duration waited = now - waiting->since;
    if (std::optional<Refused> refused =
            CheckTurn(waiting->request, request_class, now)) {
      GiveUp(waiting->request, now);
      outcomes->push_back({std::move(waiting->ready), std::move(refused->why),
                           request_class, waited, refused->refusal});
    } else {
      outcomes->push_back({std::move(waiting->ready),
                           Grant(waiting->request, request_class),
                           request_class, waited, std::nullopt});
    }
  }
}

std::unique_ptr<Admission::Ticket::Waiting> Admission::TakeWaiting(
    Ticket& ticket) {
  LH_CHECK(ticket.waiting_ != nullptr);
  lane(ticket.class_).queued_bytes -= ticket.waiting_->request.bytes;
  return std::move(ticket.waiting_);
}

void Admission::UpdateBusy(absl::Time now) {
  const int whole =
      lane(RequestClass::kShort).running + lane(RequestClass::kLong).running;
  throughput_.SetBusy(
      whole >= options_.workers || lane(RequestClass::kLong).running > 0, now);
}

void Admission::Cancel(Ticket& ticket, const absl::Status& why) {
  Ready ready;
  {
    absl::MutexLock lock(&mu_);
    if (ticket.waiting_ == nullptr) return;
    const bool erased =
        lane(ticket.class_).queue.Erase(ticket.tenant_, [&](const auto& item) {
          return item.get() == &ticket;
        });
    LH_CHECK(erased);
    std::unique_ptr<Ticket::Waiting> waiting = TakeWaiting(ticket);
    GiveUp(waiting->request, now_());
    ready = std::move(waiting->ready);
  }
  ready(why);
}

void Admission::OnProgress(Permit& permit, const Permit::Seen& now_seen) {
  absl::MutexLock lock(&mu_);
  const absl::Time now = now_();
  const Permit::Seen before = std::exchange(permit.seen_, now_seen);
  const double encoded = double(now_seen.encoded - before.encoded);
  const double done = std::min(encoded, permit.left_);
  permit.left_ -= done;
  lane(permit.class_).tokens_left -= done;
  throughput_.Add(encoded, now);
  // Streams say nothing before, and a guess may be far from what it was for.
  const double used = double(std::max(now_seen.received, now_seen.encoded));
  if (used <= permit.charged_) return;
  auto tenant = tenants_.find(permit.tenant_);
  LH_CHECK(tenant != tenants_.end());
  tenant->second.allowance -= used - std::exchange(permit.charged_, used);
}

// Follows a quantile by steps that are in balance there.
void Admission::LearnMargin(const Permit& permit, absl::Time now) {
  if (permit.predicted_ <= absl::ZeroDuration()) return;
  const double ratio =
      absl::FDivDuration(now - permit.begin_, permit.predicted_);
  margin_ += kMarginStep * (ratio > margin_ ? kInMargin : kInMargin - 1);
  margin_ = std::clamp(margin_, 1.0, kMostMargin);
}

void Admission::Release(Permit& permit) {
  Outcomes outcomes;
  {
    absl::MutexLock lock(&mu_);
    const absl::Time now = now_();
    Lane& its_lane = lane(permit.class_);
    --its_lane.running;
    its_lane.tokens_left -= permit.left_;
    if (permit.seen_.encoded > 0) throughput_.Add(kRequestCost, now);
    LearnMargin(permit, now);
    // Rounding errors must not add up.
    if (its_lane.running == 0) its_lane.tokens_left = 0;
    LearnBytesPerToken(permit.seen_);
    LeaveTenant(permit.tenant_, now);
    Fill(permit.class_, now, &outcomes);
    UpdateBusy(now);
  }
  Tell(std::move(outcomes));
}

void Admission::Tell(Outcomes outcomes) {
  // What is told may lead back here, at any depth: then the first one tells.
  thread_local Outcomes* telling = nullptr;
  if (telling != nullptr) {
    std::move(outcomes.begin(), outcomes.end(), std::back_inserter(*telling));
    return;
  }
  telling = &outcomes;
  // Whatever happens in `ready`; it answers its own call.
  absl::Cleanup told = [] { telling = nullptr; };
  for (size_t i = 0; i < outcomes.size(); ++i) {
    Outcome outcome = std::move(outcomes[i]);
    if (observer_ != nullptr) {
      if (outcome.refusal) observer_->OnRefusal(*outcome.refusal);
      if (outcome.result.ok()) {
        observer_->OnBegin(outcome.request_class, outcome.waited);
      }
    }
    CatchOutOfMemory([&] {
      outcome.ready(std::move(outcome.result));
    }).IgnoreError();
  }
}

double Admission::EstimateTokens(uint64_t text_bytes) const {
  absl::MutexLock lock(&mu_);
  return double(text_bytes) / bytes_per_token_;
}

Admission::Stats Admission::stats() const {
  absl::MutexLock lock(&mu_);
  Stats stats;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    stats.classes[i] = {lanes_[i].queue.size(), lanes_[i].queue.cost(),
                        lanes_[i].running};
  }
  stats.tokens_per_second = throughput_.tokens_per_second();
  return stats;
}

}  // namespace longhand
