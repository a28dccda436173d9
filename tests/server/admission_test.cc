// Admission with a clock of its own: places, fairness, quotas, deadlines, and a
// simulated encoder under many times the load that it can bear.

#include "server/admission.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using Permit = std::shared_ptr<Admission::Permit>;
using Ticket = std::shared_ptr<Admission::Ticket>;

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

int RetryAfterMs(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  if (!detail || !detail->metadata.contains("retry_after_ms")) return 0;
  int milliseconds = 0;
  EXPECT_TRUE(
      absl::SimpleAtoi(detail->metadata.at("retry_after_ms"), &milliseconds));
  return milliseconds;
}

class Counter : public AdmissionObserver {
 public:
  void OnBegin(RequestClass request_class, absl::Duration waited) override {
    ++begun[RequestClassName(request_class)];
    longest_wait = std::max(longest_wait, waited);
  }
  void OnRefusal(Refusal refusal) override { ++refused[RefusalName(refusal)]; }

  std::map<std::string_view, int> begun, refused;
  absl::Duration longest_wait;
};

class AdmissionTest : public ::testing::Test {
 protected:
  // What became of one request.
  struct Call {
    Ticket ticket;
    std::optional<absl::Status> status;
    Permit permit;

    bool waits() const { return !status.has_value(); }
    std::string reason() const {
      return status.has_value() ? ReasonOf(*status) : "waits";
    }
  };

  ~AdmissionTest() override {
    for (const auto& call : calls_) {
      call->ticket->Cancel(absl::CancelledError());
      call->permit.reset();
    }
  }

  Admission& Make(AdmissionOptions options) {
    admission_ = std::make_unique<Admission>(options, &counter_,
                                             [this] { return now_; });
    return *admission_;
  }

  Call& Enter(Admission::Request request) {
    calls_.push_back(std::make_unique<Call>());
    Call* call = calls_.back().get();
    call->ticket = admission_->Enter(
        std::move(request), [call](absl::StatusOr<Permit> permit) {
          ASSERT_FALSE(call->status.has_value()) << "told twice";
          call->status = permit.status();
          if (permit.ok()) call->permit = *std::move(permit);
        });
    return *call;
  }
  Call& Enter(const std::string& tenant, double tokens,
              absl::Duration time = absl::InfiniteDuration()) {
    return Enter({.tenant = tenant, .tokens = tokens, .deadline = now_ + time});
  }
  // Works on one request for so long at `rate` tokens a second and ends it.
  void Work(Call& call, double tokens, double rate) {
    now_ += absl::Seconds(tokens / rate);
    call.permit->OnProgress(uint64_t(tokens * 4), uint64_t(tokens),
                            uint64_t(tokens));
    call.permit.reset();
  }
  // Makes the throughput known.
  void Teach(double rate) {
    for (int i = 0; i < 4; ++i) {
      Call& call = Enter("teacher", 2000);
      ASSERT_TRUE(call.permit != nullptr) << call.reason();
      Work(call, 2000, rate);
    }
    ASSERT_NEAR(admission_->stats().tokens_per_second, rate, rate / 100);
  }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  Counter counter_;
  std::unique_ptr<Admission> admission_;
  std::deque<std::unique_ptr<Call>> calls_;
};

TEST_F(AdmissionTest, BeginsAtOnceWhileThereArePlaces) {
  Make({.places = {2, 1, 1}});
  Call& first = Enter("a", 100);
  Call& second = Enter("a", 100);
  Call& third = Enter("a", 100);
  EXPECT_TRUE(first.permit && second.permit);
  EXPECT_TRUE(third.waits());
  EXPECT_EQ(admission_->stats().classes[0].queued, 1u);
  EXPECT_EQ(admission_->stats().classes[0].queued_tokens, 132);
  EXPECT_EQ(admission_->stats().classes[0].running, 2);
  now_ += absl::Seconds(3);
  first.permit.reset();
  EXPECT_TRUE(third.permit);
  EXPECT_EQ(counter_.begun["short"], 3);
  EXPECT_EQ(counter_.longest_wait, absl::Seconds(3));
}

TEST_F(AdmissionTest, ClassesDoNotWaitForEachOther) {
  Make({.short_tokens = 1000, .places = {1, 1, 1}});
  EXPECT_TRUE(Enter("a", 1000).permit);
  EXPECT_TRUE(Enter("a", 1001).permit);
  EXPECT_TRUE(Enter({.tenant = "a", .is_stream = true}).permit);
  EXPECT_TRUE(Enter("a", 1).waits());
  EXPECT_TRUE(Enter("a", 5000).waits());
  EXPECT_TRUE(Enter({.tenant = "a", .is_stream = true}).waits());
}

TEST_F(AdmissionTest, TenantsGetWhatTheirWeightsSay) {
  Make({.places = {1, 1, 1}});
  auto heavy = std::make_shared<TenantPolicy>();
  heavy->weight = 3;
  Call* running = &Enter("other", 1);
  std::vector<Call*> calls;
  for (int i = 0; i < 40; ++i) calls.push_back(&Enter("light", 100));
  for (int i = 0; i < 40; ++i) {
    calls.push_back(
        &Enter({.tenant = "heavy", .policy = heavy, .tokens = 100}));
  }
  int light = 0, weighty = 0;
  for (int served = 0; served < 40; ++served) {
    running->permit.reset();
    for (size_t i = 0; i < calls.size(); ++i) {
      if (calls[i] == nullptr || !calls[i]->permit) continue;
      ++(i < 40 ? light : weighty);
      running = calls[i];
      calls[i] = nullptr;
      break;
    }
  }
  EXPECT_EQ(light + weighty, 40);
  EXPECT_NEAR(weighty, 30, 1);
}

TEST_F(AdmissionTest, AFullQueueDropsTheNewestOfWhoHasMost) {
  Make({.places = {1, 1, 1}, .max_queued = 3});
  Enter("a", 10);
  Call& oldest = Enter("a", 10);
  Call& newest = (Enter("a", 10), Enter("a", 10));
  EXPECT_EQ(Enter("a", 10).reason(), "OVERLOADED");
  EXPECT_TRUE(newest.waits());
  Call& other = Enter("b", 10);
  EXPECT_TRUE(other.waits());
  EXPECT_EQ(newest.reason(), "OVERLOADED");
  EXPECT_TRUE(absl::IsUnavailable(*newest.status));
  EXPECT_GE(RetryAfterMs(*newest.status), 100);
  EXPECT_TRUE(oldest.waits());
  EXPECT_EQ(counter_.refused["queue_full"], 2);
}

TEST_F(AdmissionTest, WhatWaitsIsBoundedInBytesToo) {
  Make({.places = {1, 1, 1}, .max_queued_bytes = 1000});
  Enter("a", 10);
  EXPECT_TRUE(Enter({.tenant = "a", .bytes = 600, .tokens = 10}).waits());
  EXPECT_EQ(Enter({.tenant = "a", .bytes = 401, .tokens = 10}).reason(),
            "OVERLOADED");
  EXPECT_TRUE(Enter({.tenant = "a", .bytes = 400, .tokens = 10}).waits());
  EXPECT_EQ(Enter({.tenant = "b", .bytes = 2000, .tokens = 1}).reason(),
            "OVERLOADED");
}

TEST_F(AdmissionTest, NobodyWaitsForTooLong) {
  Make({.places = {1, 1, 1}, .max_wait = absl::Seconds(1.5)});
  Teach(1000);
  Enter("a", 1000);
  EXPECT_TRUE(Enter("a", 900).waits());
  Call& late = Enter("a", 900);
  EXPECT_EQ(late.reason(), "OVERLOADED");
  EXPECT_NEAR(RetryAfterMs(*late.status), 1964, 10);
  // Others do not pay for the tenant's queue.
  EXPECT_TRUE(Enter("b", 100).waits());
}

TEST_F(AdmissionTest, ADeadlineThatCannotBeMetIsRefusedAtTheDoor) {
  Make({.places = {1, 1, 1}});
  Teach(1000);
  Enter("a", 1000);
  Call& call = Enter("a", 500, absl::Seconds(1));
  EXPECT_EQ(call.reason(), "DEADLINE_INFEASIBLE");
  EXPECT_TRUE(absl::IsUnavailable(*call.status));
  EXPECT_GT(RetryAfterMs(*call.status), 0);
  EXPECT_EQ(counter_.refused["infeasible"], 1);
  EXPECT_TRUE(Enter("a", 500, absl::Seconds(10)).waits());
  EXPECT_EQ(Enter("a", 1, absl::ZeroDuration()).reason(), "QUEUE_TIMEOUT");
}

TEST_F(AdmissionTest, WhatCannotBeMetAnyMoreIsDroppedAtItsTurn) {
  Make({.places = {1, 1, 1}});
  Teach(1000);
  Call& running = Enter("a", 100);
  Call& expired = Enter("a", 500, absl::Seconds(2));
  Call& infeasible = Enter("a", 500, absl::Seconds(3.2));
  Call& feasible = Enter("a", 500, absl::Seconds(4));
  ASSERT_TRUE(expired.waits() && infeasible.waits() && feasible.waits());
  now_ += absl::Seconds(3);
  running.permit.reset();
  EXPECT_EQ(expired.reason(), "QUEUE_TIMEOUT");
  EXPECT_TRUE(absl::IsDeadlineExceeded(*expired.status));
  EXPECT_EQ(infeasible.reason(), "DEADLINE_INFEASIBLE");
  EXPECT_TRUE(feasible.permit);
  EXPECT_EQ(counter_.refused["expired"], 1);
  EXPECT_EQ(counter_.refused["infeasible"], 1);
}

// A refusal at the door costs nobody anything; one after a second in the queue
// does.
TEST_F(AdmissionTest, WhatWaitsHasItsTurnThoughWorkBecomesSlower) {
  Make({.places = {1, 1, 1}, .max_wait = absl::Minutes(1)});
  Teach(1000);
  // All done a little sooner than predicted: the margin goes down to where it
  // is least.
  for (int i = 0; i < 50; ++i) Work(Enter("a", 2000), 2000, 1001 + i);
  Call* running = &Enter("a", 2000);
  std::vector<Call*> waiting;
  const absl::Time deadline = now_ + absl::Seconds(30);
  Call* call;
  while ((call = &Enter("a", 2000, absl::Seconds(30)))->waits()) {
    waiting.push_back(call);
  }
  EXPECT_EQ(call->reason(), "DEADLINE_INFEASIBLE");
  EXPECT_GT(waiting.size(), 9u);
  Work(*running, 2000, 900);
  for (Call* next : waiting) {
    ASSERT_TRUE(next->permit) << next->reason();
    Work(*next, 2000, 900);
  }
  EXPECT_LE(now_, deadline);
  EXPECT_EQ(counter_.refused["infeasible"], 1);
}

// However slow the server is believed to be, a free place is used, and what
// happens there is learnt.
TEST_F(AdmissionTest, RecoversFromABadEstimate) {
  Make({.places = {1, 1, 1}});
  Teach(1);
  Call& call = Enter("a", 1000, absl::Seconds(2));
  ASSERT_TRUE(call.permit);
  Work(call, 1000, 1000);
  for (int i = 0; i < 15; ++i) Work(Enter("a", 1000), 1000, 1000);
  EXPECT_NEAR(admission_->stats().tokens_per_second, 1000, 50);
}

TEST_F(AdmissionTest, TheEstimateFollowsAThrottledCpu) {
  Make({.places = {1, 1, 1}});
  Teach(1000);
  for (int i = 0; i < 15; ++i) Work(Enter("a", 500), 500, 500);
  EXPECT_NEAR(admission_->stats().tokens_per_second, 500, 25);
}

TEST_F(AdmissionTest, WaitingRequestsCanLeave) {
  Make({.places = {1, 1, 1}});
  Call& running = Enter("a", 10);
  Call& cancelled = Enter("a", 10);
  Call& next = Enter("a", 10);
  cancelled.ticket->Cancel(absl::CancelledError("gone"));
  EXPECT_TRUE(absl::IsCancelled(*cancelled.status));
  cancelled.ticket->Cancel(absl::CancelledError("again"));
  running.ticket->Cancel(absl::CancelledError("too late"));
  EXPECT_TRUE(running.permit);
  running.permit.reset();
  EXPECT_TRUE(next.permit);
  EXPECT_EQ(admission_->stats().classes[0].queued, 0u);
}

TEST_F(AdmissionTest, TokensPerSecondAreAQuota) {
  Make({});
  auto policy = std::make_shared<TenantPolicy>();
  policy->tokens_per_second = 100;
  policy->burst_tokens = 1000;
  const auto enter = [&](double tokens) -> Call& {
    return Enter({.tenant = "a", .policy = policy, .tokens = tokens});
  };
  // The burst, and a document that is larger than what is left of it.
  EXPECT_TRUE(enter(600).permit);
  EXPECT_TRUE(enter(900).permit);
  Call& refused = enter(1);
  EXPECT_EQ(refused.reason(), "TENANT_QUOTA");
  EXPECT_TRUE(absl::IsResourceExhausted(*refused.status));
  EXPECT_NEAR(RetryAfterMs(*refused.status), 5010, 10);
  EXPECT_TRUE(Enter("b", 1000).permit);
  now_ += absl::Milliseconds(5010);
  EXPECT_TRUE(enter(1).permit);
  EXPECT_EQ(enter(1).reason(), "TENANT_QUOTA");
  EXPECT_EQ(counter_.refused["quota"], 2);
}

TEST_F(AdmissionTest, AStreamIsChargedAsItGoes) {
  Make({});
  auto policy = std::make_shared<TenantPolicy>();
  policy->tokens_per_second = 100;
  Admission::Request request{
      .tenant = "a", .policy = policy, .is_stream = true};
  Call& stream = Enter(request);
  ASSERT_TRUE(stream.permit);
  EXPECT_TRUE(Enter(request).permit);
  stream.permit->OnProgress(4000, 900, 0);
  stream.permit->OnProgress(4000, 1000, 500);
  EXPECT_EQ(Enter(request).reason(), "TENANT_QUOTA");
  now_ += absl::Seconds(9);
  EXPECT_TRUE(Enter(request).permit);
}

TEST_F(AdmissionTest, WhatTakesMoreThanItsGuessIsCharged) {
  Make({});
  auto policy = std::make_shared<TenantPolicy>();
  policy->tokens_per_second = 100;
  const auto enter = [&](double tokens) -> Call& {
    return Enter({.tenant = "a", .policy = policy, .tokens = tokens});
  };
  // An edit of one byte that moves all that follows.
  Call& edit = enter(0.25);
  edit.permit->OnProgress(0, 0, 700);
  EXPECT_EQ(enter(1).reason(), "TENANT_QUOTA");
  now_ += absl::Seconds(6);
  // What took less was paid for already.
  Call& text = enter(50);
  text.permit->OnProgress(400, 20, 20);
  text.permit->OnProgress(400, 49, 49);
  EXPECT_TRUE(enter(1).permit);
}

TEST_F(AdmissionTest, WhatDidNotRunIsNotCharged) {
  Make({.places = {1, 1, 1}});
  auto policy = std::make_shared<TenantPolicy>();
  policy->tokens_per_second = 100;
  Enter("b", 1);
  const auto enter = [&]() -> Call& {
    return Enter({.tenant = "a", .policy = policy, .tokens = 300});
  };
  Call& waiting = enter();
  EXPECT_TRUE(waiting.waits());
  EXPECT_EQ(enter().reason(), "TENANT_QUOTA");
  waiting.ticket->Cancel(absl::CancelledError());
  EXPECT_TRUE(enter().waits());
}

TEST_F(AdmissionTest, DocumentsAtOneTimeAreAQuota) {
  Make({.places = {2, 2, 2}});
  auto policy = std::make_shared<TenantPolicy>();
  policy->max_documents = 3;
  const auto enter = [&]() -> Call& {
    return Enter({.tenant = "a", .policy = policy, .tokens = 10});
  };
  Call& first = enter();
  enter();
  EXPECT_TRUE(enter().waits());
  EXPECT_EQ(enter().reason(), "TENANT_DOCUMENTS");
  first.permit.reset();
  EXPECT_TRUE(enter().waits());
}

TEST_F(AdmissionTest, LearnsBytesPerToken) {
  Make({});
  EXPECT_EQ(admission_->EstimateTokens(4000), 1000);
  for (int i = 0; i < 60; ++i) {
    Call& call = Enter("a", 1000);
    call.permit->OnProgress(6000, 1000, 1000);
    call.permit.reset();
  }
  EXPECT_NEAR(admission_->EstimateTokens(6000), 1000, 5);
}

// Every place that is given up at once leads to the next: not on one stack.
TEST_F(AdmissionTest, NobodySpoilsTheGuessForOthers) {
  Make({});
  // 64 words in 60 KB of spaces, and what is mostly rare characters.
  for (const uint64_t bytes : {60'000, 6}) {
    for (int i = 0; i < 100; ++i) {
      Call& call = Enter("a", 64);
      call.permit->OnProgress(bytes, 64, 64);
      call.permit.reset();
    }
    EXPECT_GE(admission_->EstimateTokens(1600), 100);
    EXPECT_LE(admission_->EstimateTokens(1600), 1600);
  }
}

TEST_F(AdmissionTest, WaitingStreamsLeaveTheQueueToOthers) {
  Make({.places = {1, 1, 1}, .max_queued = 2});
  for (int i = 0; i < 3; ++i) Enter({.tenant = "a", .is_stream = true});
  EXPECT_EQ(Enter({.tenant = "a", .is_stream = true}).reason(), "OVERLOADED");
  EXPECT_TRUE(Enter("b", 10).permit);
  EXPECT_TRUE(Enter("b", 10).waits());
  EXPECT_TRUE(Enter("b", 5000).permit);
  EXPECT_TRUE(Enter("b", 5000).waits());
}

TEST_F(AdmissionTest, ManyThatGiveUpAtOnceNeedNoDeepStack) {
  Make({.places = {1, 1, 1}, .max_queued = 200000});
  Call& running = Enter("a", 1);
  int begun = 0;
  std::vector<Ticket> tickets;
  for (int i = 0; i < 100000; ++i) {
    tickets.push_back(admission_->Enter(
        {.tenant = "a", .tokens = 1},
        [&begun](absl::StatusOr<Permit> permit) { begun += permit.ok(); }));
  }
  running.permit.reset();
  EXPECT_EQ(begun, 100000);
}

// An encoder that makes `rate` tokens a second, first come first served among
// the requests that have a place, and gives up on those that are late.
class SimulatedLoad {
 public:
  struct Outcome {
    double offered = 0, good = 0, late = 0;  // tokens
    int refused = 0;
    absl::Duration slowest;  // of the good ones
  };
  struct Source {
    std::string tenant;
    double requests_per_second;
    double tokens;
    absl::Duration time;  // until the deadline
  };

  SimulatedLoad(AdmissionOptions options, double rate)
      : rate_(rate), admission_(options, nullptr, [this] { return now_; }) {}

  std::map<std::string, Outcome> Run(const std::vector<Source>& sources,
                                     absl::Duration length) {
    std::map<std::string, Outcome> outcomes;
    const absl::Time begin = now_;
    constexpr absl::Duration kStep = absl::Milliseconds(1);
    std::vector<double> due(sources.size(), 0);
    for (; now_ < begin + length; now_ += kStep) {
      for (size_t i = 0; i < sources.size(); ++i) {
        due[i] -= absl::ToDoubleSeconds(kStep) * sources[i].requests_per_second;
        while (due[i] <= 0) {
          due[i] += std::exponential_distribution<>()(random_);
          Arrive(sources[i], &outcomes[sources[i].tenant]);
        }
      }
      Work(absl::ToDoubleSeconds(kStep) * rate_);
    }
    for (const Ticket& ticket : tickets_)
      ticket->Cancel(absl::CancelledError());
    tickets_.clear();
    running_.clear();
    return outcomes;
  }

 private:
  struct Running {
    Permit permit;
    double tokens, done = 0;
    absl::Time arrival, deadline;
    Outcome* outcome;
  };

  void Arrive(const Source& source, Outcome* outcome) {
    outcome->offered += source.tokens;
    const absl::Time arrival = now_;
    tickets_.push_back(admission_.Enter(
        {.tenant = source.tenant,
         .tokens = source.tokens,
         .deadline = now_ + source.time},
        [=, this](absl::StatusOr<Permit> permit) {
          if (!permit.ok()) {
            ++outcome->refused;
            return;
          }
          running_.push_back({*std::move(permit), source.tokens, 0, arrival,
                              arrival + source.time, outcome});
        }));
  }

  void Work(double tokens) {
    while (tokens > 0 && !running_.empty()) {
      Running& first = running_.front();
      const double part = std::min(tokens, first.tokens - first.done);
      first.done += part;
      tokens -= part;
      first.permit->OnProgress(0, 0, uint64_t(first.done));
      const bool late = now_ > first.deadline;
      if (first.done < first.tokens && !late) continue;
      if (late) {
        first.outcome->late += first.done;
      } else {
        first.outcome->good += first.tokens;
        first.outcome->slowest =
            std::max(first.outcome->slowest, now_ - first.arrival);
      }
      const Running ended = std::move(first);
      running_.pop_front();
    }
  }

  const double rate_;
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  std::mt19937 random_{1};
  std::deque<Running> running_;
  std::vector<Ticket> tickets_;
  Admission admission_;
};

TEST(AdmissionUnderLoad, GoodputStaysWhateverIsOffered) {
  constexpr double kRate = 10000;
  for (double factor : {0.9, 2.0, 5.0, 10.0}) {
    SCOPED_TRACE(factor);
    SimulatedLoad load({.workers = 2}, kRate);
    auto outcomes = load.Run({{.tenant = "a",
                               .requests_per_second = factor * kRate / 250,
                               .tokens = 250,
                               .time = absl::Seconds(1)}},
                             absl::Seconds(30));
    const SimulatedLoad::Outcome& outcome = outcomes["a"];
    const double possible = std::min(1.0, factor) * kRate * 30;
    EXPECT_GE(outcome.good, 0.9 * possible);
    EXPECT_LE(outcome.late, 0.02 * possible);
    EXPECT_LE(outcome.slowest, absl::Seconds(1));
    if (factor > 1) {
      EXPECT_GT(outcome.refused, 0);
    }
  }
}

TEST(AdmissionUnderLoad, AFloodTakesNothingFromOthers) {
  constexpr double kRate = 10000;
  SimulatedLoad load({.workers = 2}, kRate);
  auto outcomes = load.Run({{.tenant = "flood",
                             .requests_per_second = 10 * kRate / 250,
                             .tokens = 250,
                             .time = absl::Seconds(2)},
                            {.tenant = "modest",
                             .requests_per_second = 0.01 * kRate / 100,
                             .tokens = 100,
                             .time = absl::Seconds(1)}},
                           absl::Seconds(60));
  const SimulatedLoad::Outcome& modest = outcomes["modest"];
  EXPECT_GE(modest.good, 0.9 * modest.offered);
  EXPECT_GE(outcomes["flood"].good, 0.85 * kRate * 60);
}

}  // namespace
}  // namespace longhand
