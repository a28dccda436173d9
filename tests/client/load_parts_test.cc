// The parts of the load generator that need no time to pass: mixes, arrivals,
// histograms, schedules and accounts.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "client/client_error.h"
#include "client/load_corpus.h"
#include "client/load_histogram.h"
#include "client/load_plan.h"
#include "client/load_random.h"
#include "client/load_recorder.h"
#include "client/load_runner.h"
#include "client/load_schedule.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Duration Ms(double milliseconds) {
  return absl::Milliseconds(milliseconds);
}

TEST(LoadRandomTest, IsSplitMix64) {
  // The first outputs of the published generator for the seed 1234567.
  LoadRandom random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317U);
  EXPECT_EQ(random.Next(), 3203168211198807973U);
  EXPECT_EQ(random.Next(), 9817491932198370423U);
  EXPECT_NE(LoadRandom(7, 0).Next(), LoadRandom(7, 1).Next());
  EXPECT_NE(LoadRandom(7, 0).Next(), LoadRandom(8, 0).Next());
}

TEST(ParseMixTest, ClassesWithSharesOfOne) {
  const auto mix = ParseMix("short:4:128,very_long-1:1:100-20000");
  ASSERT_TRUE(mix.ok()) << mix.status();
  ASSERT_EQ(mix->size(), 2U);
  EXPECT_EQ((*mix)[0].name, "short");
  EXPECT_DOUBLE_EQ((*mix)[0].share, 0.8);
  EXPECT_EQ((*mix)[0].min_tokens, 128U);
  EXPECT_EQ((*mix)[0].max_tokens, 128U);
  EXPECT_EQ((*mix)[1].name, "very_long-1");
  EXPECT_DOUBLE_EQ((*mix)[1].share, 0.2);
  EXPECT_EQ((*mix)[1].min_tokens, 100U);
  EXPECT_EQ((*mix)[1].max_tokens, 20000U);
}

TEST(ParseMixTest, SaysWhatIsWrong) {
  std::string many = "c0:1:1";
  for (int i = 1; i < 17; ++i) many += ",c" + std::to_string(i) + ":1:1";
  for (const auto& [text, what] :
       std::vector<std::pair<std::string, const char*>>{
           {"", "three parts"},
           {"a:1", "three parts"},
           {"a:1:2:3", "three parts"},
           {"a:1:5,", "three parts"},
           {":1:5", "name"},
           {"a b:1:5", "name"},
           {"a:x:5", "share"},
           {"a:0:5", "share"},
           {"a:-1:5", "share"},
           {"a:nan:5", "share"},
           {"a:inf:5", "share"},
           {"a:1:0", "length"},
           {"a:1:x", "length"},
           {"a:1:5-4", "length"},
           {"a:1:5-", "length"},
           {"a:1:-5", "length"},
           {"a:1:5000000000", "length"},
           {"a:1:5,b:1:5,a:1:6", "twice"},
           {many, "one class more"}}) {
    const auto mix = ParseMix(text);
    EXPECT_TRUE(absl::IsInvalidArgument(mix.status())) << text;
    EXPECT_EQ(GetErrorDetail(mix.status())->reason, "MIX_INVALID");
    EXPECT_THAT(std::string(mix.status().message()), HasSubstr(what));
  }
}

TEST(LoadPlanTest, SharesAndLengthsAreThoseOfTheMix) {
  const auto mix = ParseMix("a:1:7,b:2:10-13,c:1:5");
  ASSERT_TRUE(mix.ok());
  const LoadPlan plan(*mix, 42);
  constexpr int kDocuments = 20'000;
  std::vector<double> counts(3);
  std::vector<double> lengths(4);
  for (int i = 0; i < kDocuments; ++i) {
    const PlannedDocument document = plan.Get(i);
    ++counts[document.class_index];
    const MixClass& chosen = (*mix)[document.class_index];
    ASSERT_GE(document.tokens, chosen.min_tokens);
    ASSERT_LE(document.tokens, chosen.max_tokens);
    if (document.class_index == 1) ++lengths[document.tokens - 10];
  }
  // Six standard deviations of a binomial count are below 425.
  EXPECT_NEAR(counts[0], kDocuments * 0.25, 425);
  EXPECT_NEAR(counts[1], kDocuments * 0.5, 425);
  EXPECT_NEAR(counts[2], kDocuments * 0.25, 425);
  for (const double count : lengths) EXPECT_NEAR(count, counts[1] / 4, 425);
}

TEST(LoadPlanTest, DependsOnSeedAndIndexAlone) {
  const auto mix = ParseMix("a:1:1-1000000,b:1:1-1000000");
  ASSERT_TRUE(mix.ok());
  const LoadPlan plan(*mix, 1), same(*mix, 1), other(*mix, 2);
  EXPECT_EQ(plan.Get(7).place, same.Get(7).place);
  EXPECT_EQ(plan.Get(7).tokens, same.Get(7).tokens);
  EXPECT_NE(plan.Get(7).place, other.Get(7).place);
  EXPECT_NE(plan.Get(7).place, plan.Get(8).place);
  // As every platform has it.
  EXPECT_EQ(plan.Get(0).place, 15771311048322647851U);
}

TEST(ArrivalProcessTest, ConstantArrivalsDoNotDrift) {
  ArrivalProcess arrivals(3, Arrivals::kConstant, 1);
  EXPECT_EQ(arrivals.Next(), absl::ZeroDuration());
  EXPECT_EQ(arrivals.Next(), absl::Seconds(1.0 / 3));
  for (int i = 2; i < 3'000'000; ++i) arrivals.Next();
  EXPECT_EQ(arrivals.Next(), absl::Seconds(1'000'000));
}

TEST(ArrivalProcessTest, PoissonGapsAreExponential) {
  constexpr double kRate = 50;
  constexpr int kArrivals = 20'000;
  ArrivalProcess arrivals(kRate, Arrivals::kPoisson, 3);
  ArrivalProcess same(kRate, Arrivals::kPoisson, 3);
  ArrivalProcess other(kRate, Arrivals::kPoisson, 4);
  double last = 0, sum = 0, squares = 0;
  int above_mean = 0;
  for (int i = 0; i < kArrivals; ++i) {
    const absl::Duration next = arrivals.Next();
    ASSERT_EQ(next, same.Next());
    ASSERT_NE(next, other.Next());
    const double gap = absl::ToDoubleSeconds(next) - last;
    ASSERT_GE(gap, 0);
    last += gap;
    sum += gap;
    squares += gap * gap;
    if (gap > 1 / kRate) ++above_mean;
  }
  const double mean = sum / kArrivals;
  // Mean and standard deviation are 1 / rate, and a share of 1 / e of the gaps
  // is longer; the tolerances are six standard errors.
  EXPECT_NEAR(mean * kRate, 1, 6 / std::sqrt(kArrivals));
  EXPECT_NEAR(std::sqrt(squares / kArrivals - mean * mean) * kRate, 1, 0.1);
  EXPECT_NEAR(above_mean / double{kArrivals}, std::exp(-1), 0.021);
}

TEST(LatencyHistogramTest, PercentilesAreThoseOfTheSortedSamples) {
  LoadRandom random(5);
  for (const int count : {1, 2, 3, 10, 99, 100, 101, 1000, 5000}) {
    LatencyHistogram histogram;
    std::vector<int64_t> sorted;
    for (int i = 0; i < count; ++i) {
      // From a microsecond to about an hour, evenly in the logarithm.
      sorted.push_back(static_cast<int64_t>(std::exp(22 * random.NextUnit())));
      histogram.Record(absl::Microseconds(sorted.back()));
    }
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(histogram.count(), static_cast<uint64_t>(count));
    EXPECT_EQ(histogram.max(), absl::Microseconds(sorted.back()));
    for (const int tenths : {1, 10, 500, 900, 990, 999, 1000}) {
      // Nearest rank in whole numbers: the ceiling of tenths * count / 1000.
      const int rank = std::max((tenths * count + 999) / 1000, 1);
      const auto exact = static_cast<double>(sorted[rank - 1]);
      const double found =
          absl::ToDoubleMicroseconds(histogram.Percentile(tenths / 10.0));
      EXPECT_GE(found, exact) << count << " " << tenths;
      EXPECT_LE(found, exact * (1 + 1.0 / 128)) << count << " " << tenths;
    }
  }
}

TEST(LatencyHistogramTest, SmallValuesAreExactAndExtremesAreKept) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Percentile(50), absl::ZeroDuration());
  EXPECT_EQ(histogram.Mean(), absl::ZeroDuration());
  histogram.Record(absl::Microseconds(-5));
  histogram.Record(absl::Microseconds(255));
  histogram.Record(absl::Hours(1000));
  EXPECT_EQ(histogram.Percentile(33), absl::ZeroDuration());
  EXPECT_EQ(histogram.Percentile(50), absl::Microseconds(255));
  EXPECT_GT(histogram.Percentile(100), absl::Hours(38));
  EXPECT_EQ(histogram.Buckets().size(), 3U);
}

TEST(LatencyHistogramTest, MergeIsTheSameAsRecordingAll) {
  LatencyHistogram a, b, all;
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration value = absl::Microseconds(i * i);
    (i % 3 == 0 ? a : b).Record(value);
    all.Record(value);
  }
  a.Merge(b);
  EXPECT_EQ(a.count(), all.count());
  EXPECT_EQ(a.max(), all.max());
  EXPECT_EQ(a.Mean(), all.Mean());
  for (const double percent : {1.0, 50.0, 99.0, 99.9}) {
    EXPECT_EQ(a.Percentile(percent), all.Percentile(percent));
  }
}

TEST(LoadScheduleTest, ClosedLoopSendsWhenTheLastOneHasEnded) {
  LoadShape shape;
  shape.clients = 2;
  shape.length = Ms(100);
  LoadSchedule schedule(shape);
  EXPECT_EQ(schedule.Pop(Ms(0))->request.index, 0U);
  EXPECT_EQ(schedule.Pop(Ms(0))->request.index, 1U);
  EXPECT_FALSE(schedule.Pop(Ms(50)).has_value());
  EXPECT_EQ(schedule.NextDue(), absl::InfiniteDuration());
  EXPECT_EQ(schedule.outstanding(), 2U);
  schedule.OnEnd(Ms(60));
  const auto next = schedule.Pop(Ms(60));
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->request.index, 2U);
  EXPECT_EQ(next->request.intended, Ms(60));
  // A pause is kept, and nothing is sent from the end on.
  schedule.OnEnd(Ms(70) + Ms(20));
  EXPECT_FALSE(schedule.Pop(Ms(89)).has_value());
  EXPECT_EQ(schedule.NextDue(), Ms(90));
  EXPECT_TRUE(schedule.Pop(Ms(90)).has_value());
  schedule.OnEnd(Ms(100));
  EXPECT_FALSE(schedule.done());
  schedule.OnEnd(Ms(200));
  EXPECT_FALSE(schedule.Pop(Ms(300)).has_value());
  EXPECT_TRUE(schedule.done());
}

TEST(LoadScheduleTest, ClientsBeginWithinTheRampUp) {
  LoadShape shape;
  shape.clients = 4;
  shape.ramp_up = Ms(100);
  shape.length = Ms(60);
  LoadSchedule schedule(shape);
  std::vector<absl::Duration> begun;
  for (int ms = 0; ms < 200; ms += 5) {
    while (const auto due = schedule.Pop(Ms(ms))) {
      begun.push_back(due->request.intended);
    }
  }
  // The last one would begin after the load's end.
  EXPECT_THAT(begun, ElementsAre(Ms(0), Ms(25), Ms(50)));
}

TEST(LoadScheduleTest, SendsNoMoreThanItShould) {
  LoadShape shape;
  shape.clients = 5;
  shape.requests = 7;
  LoadSchedule schedule(shape);
  int sent = 0;
  for (int i = 0; i < 100 && !schedule.done(); ++i) {
    while (schedule.Pop(Ms(i))) ++sent;
    schedule.OnEnd(Ms(i));
  }
  EXPECT_TRUE(schedule.done());
  EXPECT_EQ(sent, 7);
  shape.clients = 0;
  shape.rate = 1000;
  LoadSchedule open(shape);
  for (sent = 0; open.Pop(absl::Hours(1)); ++sent) open.OnEnd(Ms(0));
  EXPECT_EQ(sent, 7);
  EXPECT_TRUE(open.done());
}

TEST(LoadScheduleTest, OpenLoopSendsWhateverBecomesOfTheEarlierOnes) {
  LoadShape shape;
  shape.rate = 10;
  shape.arrivals = Arrivals::kConstant;
  shape.max_outstanding = 3;
  shape.length = absl::Seconds(1);
  LoadSchedule schedule(shape);
  std::vector<uint64_t> sent, not_sent;
  // Nothing ends for half a second; then the first one does.
  for (int ms = 0; ms < 1000; ms += 10) {
    if (ms == 500) schedule.OnEnd(Ms(ms));
    while (const auto due = schedule.Pop(Ms(ms))) {
      EXPECT_EQ(due->request.intended, Ms(100 * due->request.index));
      (due->send ? sent : not_sent).push_back(due->request.index);
    }
  }
  EXPECT_THAT(sent, ElementsAre(0, 1, 2, 5));
  EXPECT_THAT(not_sent, ElementsAre(3, 4, 6, 7, 8, 9));
  EXPECT_EQ(schedule.outstanding(), 3U);
}

TEST(LoadScheduleTest, RetriesKeepTheirTimeAndTheirPlace) {
  LoadShape shape;
  shape.rate = 10;
  shape.arrivals = Arrivals::kConstant;
  shape.max_outstanding = 1;
  shape.length = Ms(250);
  LoadSchedule schedule(shape);
  const LoadRequest first = schedule.Pop(Ms(0))->request;
  schedule.Retry(first, Ms(150));
  EXPECT_FALSE(schedule.Pop(Ms(100))->send);  // the first one is under way
  EXPECT_EQ(schedule.NextDue(), Ms(150));
  const auto again = schedule.Pop(Ms(160));
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(again->send);
  EXPECT_EQ(again->request.index, 0U);
  EXPECT_EQ(again->request.attempt, 2);
  EXPECT_EQ(again->request.intended, Ms(0));
  EXPECT_EQ(again->request.due, Ms(150));
  // Beyond the load's length too: it is part of a request that counts.
  schedule.Retry(again->request, Ms(400));
  EXPECT_FALSE(schedule.Pop(Ms(200))->send);
  EXPECT_EQ(schedule.Pop(Ms(400))->request.attempt, 3);
  schedule.OnEnd(Ms(400));
  EXPECT_TRUE(schedule.done());
}

TEST(LoadScheduleTest, StopDropsWhatIsNotUnderWay) {
  LoadShape shape;
  shape.clients = 3;
  LoadSchedule schedule(shape);
  const LoadRequest first = schedule.Pop(Ms(0))->request;
  schedule.Pop(Ms(0));
  schedule.Retry(first, Ms(50));
  const std::vector<LoadRequest> dropped = schedule.Stop();
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped[0].index, 0U);
  EXPECT_EQ(schedule.outstanding(), 1U);
  schedule.OnEnd(Ms(60));
  EXPECT_TRUE(schedule.done());
}

absl::Status Refused(absl::StatusCode code, const std::string& reason) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  absl::Status status(code, "no room");
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo",
                    absl::Cord(info.SerializeAsString()));
  status.SetPayload("type.googleapis.com/google.rpc.RetryInfo",
                    absl::Cord(retry.SerializeAsString()));
  return status;
}

LoadRequest At(absl::Duration intended) { return {0, intended, intended, 1}; }

TEST(LoadRecorderTest, AStallIsInTheLatenciesOfAllWhoWaited) {
  // One document a 100 ms; the server answers at once, but stands still from
  // 0.2 s to 1.2 s. A client that waited for each answer would see one long
  // latency; ten documents had to wait.
  LoadShape shape;
  shape.rate = 10;
  shape.arrivals = Arrivals::kConstant;
  shape.length = absl::Seconds(2);
  LoadSchedule schedule(shape);
  LoadRecorder recorder({1, absl::ZeroDuration(), shape.length});
  for (int ms = 0; ms < 2000; ms += 10) {
    while (const auto due = schedule.Pop(Ms(ms))) {
      recorder.OnSent(due->request, 0, Ms(ms), schedule.outstanding());
      const bool stalled = ms >= 200 && ms < 1200;
      recorder.OnEnd(due->request, 0, {absl::OkStatus(), 1},
                     stalled ? Ms(1200) : Ms(ms));
      schedule.OnEnd(Ms(ms));
    }
  }
  const LoadStats stats = recorder.Finish().classes[0];
  EXPECT_EQ(stats.ok, 20U);
  EXPECT_EQ(stats.latency.max(), Ms(1000));
  // 0 for half of them, then 100, 200, ... 1000 ms.
  EXPECT_EQ(stats.latency.Percentile(50), Ms(0));
  EXPECT_NEAR(absl::ToDoubleMilliseconds(stats.latency.Percentile(75)), 500,
              500 / 128.0);
  EXPECT_EQ(stats.latency.Mean(), Ms(275));
}

TEST(LoadRecorderTest, AGeneratorThatIsLateDoesNotHideIt) {
  LoadRecorder recorder({1, Ms(0), Ms(100)});
  recorder.OnSent(At(Ms(10)), 0, Ms(40), 1);
  recorder.OnEnd(At(Ms(10)), 0, {absl::OkStatus(), 1}, Ms(60));
  const LoadReport report = recorder.Finish();
  EXPECT_EQ(report.classes[0].latency.max(), Ms(50));
  EXPECT_EQ(report.send_lag.max(), Ms(30));
}

TEST(LoadRecorderTest, CountsWhatWasToBeSentInTheWindow) {
  LoadRecorder recorder({2, Ms(100), Ms(200)});
  const auto answer = [&recorder](double sent, double ended, size_t which) {
    recorder.OnSent(At(Ms(sent)), which, Ms(sent), 1);
    recorder.OnEnd(At(Ms(sent)), which, {absl::OkStatus(), 10}, Ms(ended));
  };
  answer(50, 90, 0);     // warm-up
  answer(90, 110, 0);    // its answer is throughput
  answer(100, 150, 0);   // counts
  answer(150, 199, 1);   // counts
  answer(199, 5000, 1);  // counts; its answer is no throughput
  const LoadReport report = recorder.Finish();
  EXPECT_EQ(report.window, Ms(100));
  EXPECT_EQ(report.classes[0].sent, 1U);
  EXPECT_EQ(report.classes[1].sent, 2U);
  EXPECT_EQ(report.classes[0].answered_tokens, 20U);
  EXPECT_EQ(report.classes[1].answered_tokens, 10U);
  const LoadStats total = report.Total();
  EXPECT_EQ(total.ok, 3U);
  EXPECT_EQ(total.answered, 3U);
  EXPECT_EQ(total.latency.max(), Ms(4801));
}

TEST(LoadRecorderTest, WithoutAnEndItMeasuresToTheLastAnswer) {
  LoadRecorder recorder({1});
  recorder.OnSent(At(Ms(0)), 0, Ms(0), 1);
  recorder.OnEnd(At(Ms(0)), 0, {absl::OkStatus(), 10}, Ms(300));
  recorder.OnSent(At(Ms(300)), 0, Ms(300), 1);
  recorder.OnEnd(At(Ms(300)), 0, {absl::UnavailableError("no"), 0}, Ms(900));
  const LoadReport report = recorder.Finish();
  EXPECT_EQ(report.window, Ms(300));
  EXPECT_EQ(report.classes[0].answered_tokens, 10U);
  EXPECT_TRUE(report.CheckAnswered().ok());
}

TEST(LoadRecorderTest, EveryEndHasItsCountAndTheyAddUp) {
  LoadRecorder recorder({1, Ms(0), Ms(1000), /*goal=*/Ms(50)});
  const auto end = [&recorder](LoadOutcome outcome, double ms) {
    recorder.OnSent(At(Ms(0)), 0, Ms(0), 1);
    recorder.OnEnd(At(Ms(0)), 0, outcome, Ms(ms));
  };
  end({absl::OkStatus(), 7}, 50);
  end({absl::OkStatus(), 9}, 51);
  end({Refused(absl::StatusCode::kUnavailable, "OVERLOADED"), 0, "1500"}, 3);
  end({Refused(absl::StatusCode::kUnavailable, "OVERLOADED"), 0, "-1"}, 4);
  end({Refused(absl::StatusCode::kResourceExhausted, "QUOTA"), 0}, 5);
  end({absl::DeadlineExceededError("late"), 0}, 60);
  recorder.OnNotSent(At(Ms(0)), 0);
  recorder.OnSent(At(Ms(0)), 0, Ms(0), 9);
  recorder.OnRetry(At(Ms(0)), 0, {absl::UnavailableError("refused")}, Ms(1));
  recorder.OnUnfinished(At(Ms(0)), 0);
  const LoadReport report = recorder.Finish();
  const LoadStats& stats = report.classes[0];
  EXPECT_EQ(stats.ok, 1U);
  EXPECT_EQ(stats.late, 1U);
  EXPECT_EQ(stats.rejected, 3U);
  EXPECT_EQ(stats.deadline_exceeded, 1U);
  EXPECT_EQ(stats.unfinished, 1U);
  EXPECT_EQ(stats.sent, stats.ok + stats.late + stats.rejected +
                            stats.deadline_exceeded + stats.unfinished);
  EXPECT_EQ(stats.arrivals, stats.sent + stats.not_sent);
  EXPECT_EQ(stats.retries, 1U);
  EXPECT_EQ(stats.answered_tokens, 16U);
  EXPECT_EQ(stats.answered_tokens_in_time, 7U);
  EXPECT_EQ(stats.latency.count(), 2U);
  EXPECT_EQ(stats.reject_latency.count(), 4U);  // that of the retry too
  EXPECT_EQ(stats.reject_latency.max(), Ms(5));
  EXPECT_EQ(report.peak_outstanding, 9U);
  EXPECT_EQ(stats.errors.size(), 4U);
  EXPECT_EQ(
      stats.errors.at({absl::StatusCode::kUnavailable, "OVERLOADED"}).count,
      2U);
  EXPECT_EQ(stats.errors.at({absl::StatusCode::kUnavailable, ""}).count, 1U);
  EXPECT_EQ(stats.advice.pushbacks, 2U);
  EXPECT_EQ(stats.advice.retry_infos, 3U);
  EXPECT_EQ(stats.advice.min, Ms(1500));
  EXPECT_EQ(stats.advice.max, absl::Seconds(2));
}

TEST(LoadRecorderTest, AnInterruptEndsTheWindow) {
  LoadRecorder recorder({1, Ms(100), Ms(1000)});
  recorder.OnSent(At(Ms(150)), 0, Ms(150), 1);
  recorder.OnSent(At(Ms(160)), 0, Ms(160), 2);
  recorder.OnEnd(At(Ms(150)), 0, {absl::OkStatus(), 5}, Ms(250));
  recorder.Interrupt(Ms(300));
  recorder.OnUnfinished(At(Ms(160)), 0);
  const LoadReport report = recorder.Finish();
  EXPECT_TRUE(report.interrupted);
  EXPECT_EQ(report.window, Ms(200));
  EXPECT_EQ(report.classes[0].unfinished, 1U);
  LoadRecorder early({1, Ms(100), Ms(1000)});
  early.Interrupt(Ms(30));
  EXPECT_EQ(early.Finish().window, Ms(0));
}

TEST(LoadReportTest, NoAnswerAtAllIsAnErrorWithItsDetails) {
  LoadRecorder recorder({1, Ms(0), Ms(100)});
  EXPECT_TRUE(recorder.Finish().CheckAnswered().ok());
  for (int i = 0; i < 3; ++i) {
    recorder.OnSent(At(Ms(0)), 0, Ms(0), 1);
    recorder.OnEnd(
        At(Ms(0)), 0,
        {i == 0 ? absl::InternalError("broken")
                : Refused(absl::StatusCode::kUnavailable, "OVERLOADED")},
        Ms(1));
  }
  const absl::Status status = recorder.Finish().CheckAnswered();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(GetErrorDetail(status)->reason, "OVERLOADED");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("none of 3 requests was answered; 2 attempts failed "
                        "with: no room"));
}

// Words of a text as tokens, as places of their bytes.
TokenizedText Words(const std::string& text) {
  TokenizedText source;
  source.text = text;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool space = text[i] == ' ' || text[i] == '\n';
    if (space) continue;
    if (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\n') {
      source.begin.push_back(i);
      source.end.push_back(i);
      source.ids.push_back(static_cast<uint32_t>(source.ids.size()));
    }
    source.end.back() = i + 1;
  }
  return source;
}

TEST(LoadCorpusTest, CutsWordsAndBeginsAnewAtTheEnd) {
  const auto corpus = LoadCorpus::OfText(Words("one two three four"));
  ASSERT_TRUE(corpus.ok());
  const auto text = [&corpus](uint64_t tokens, uint64_t place) {
    const DocumentCut cut = corpus->Cut({0, tokens, place});
    EXPECT_EQ(cut.tokens, tokens);
    const std::string whole = corpus->CopyText(cut, 0, cut.size);
    EXPECT_EQ(whole.size(), cut.size);
    // The same in pieces.
    std::string pieces;
    for (uint64_t offset = 0; offset < cut.size + 10; offset += 3) {
      pieces += corpus->CopyText(cut, offset, 3);
    }
    EXPECT_EQ(pieces, whole);
    return whole;
  };
  EXPECT_EQ(text(1, 0), "one");
  EXPECT_EQ(text(2, 1), "two three");
  EXPECT_EQ(text(4, 4), "one two three four");
  EXPECT_EQ(text(3, 2 + 4 * 10), "three four\none");
  EXPECT_EQ(text(6, 3), "four\none two three four\none");
  EXPECT_EQ(text(9, 0), "one two three four\none two three four\none");
}

TEST(LoadCorpusTest, DoesNotCutWordsOrCharacters) {
  // "naïve" as two tokens that meet inside of "ï", then "é".
  TokenizedText source;
  source.text = "na\xC3\xAFve \xC3\xA9";
  source.ids = {1, 2, 3};
  source.begin = {0, 3, 7};
  source.end = {3, 6, 9};
  const auto corpus = LoadCorpus::OfText(source);
  ASSERT_TRUE(corpus.ok());
  DocumentCut cut = corpus->Cut({0, 1, 1});  // moved on to the next word
  EXPECT_EQ(corpus->CopyText(cut, 0, cut.size), "\xC3\xA9");
  cut = corpus->Cut({0, 1, 0});
  EXPECT_EQ(corpus->CopyText(cut, 0, cut.size), "na\xC3\xAF");
}

TEST(LoadCorpusTest, IdsAndEmptyOnes) {
  const auto corpus = LoadCorpus::OfIds({5, 6, 7});
  ASSERT_TRUE(corpus.ok());
  EXPECT_FALSE(corpus->is_text());
  const DocumentCut cut = corpus->Cut({0, 5, 4});
  EXPECT_THAT(corpus->CopyIds(cut, 0, cut.size), ElementsAre(6, 7, 5, 6, 7));
  EXPECT_THAT(corpus->CopyIds(cut, 3, 100), ElementsAre(6, 7));
  EXPECT_THAT(corpus->CopyIds(cut, 5, 1), IsEmpty());
  EXPECT_EQ(GetErrorDetail(LoadCorpus::OfIds({}).status())->reason,
            "INPUT_EMPTY");
  EXPECT_EQ(GetErrorDetail(LoadCorpus::OfText({" "}).status())->reason,
            "INPUT_EMPTY");
}

TEST(TokenizeWithServerTest, PiecesHaveThePlacesOfTheWhole) {
  FakeServer server;
  server.Start();
  ClientOptions options;
  options.target = server.target();
  const auto client = EncoderClient::Connect(options);
  ASSERT_TRUE(client.ok());
  const std::string text = "aa bb\ncc \xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F dd";
  for (const size_t piece_bytes : {1, 4, 7, 100}) {
    const auto source =
        TokenizeWithServer(client->get(), text, piece_bytes, {});
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_EQ(source->text, text);
    ASSERT_EQ(source->ids.size(), text.size());  // a token is a byte here
    for (size_t i = 0; i < text.size(); ++i) {
      EXPECT_EQ(source->ids[i], static_cast<unsigned char>(text[i]));
      EXPECT_EQ(source->begin[i], i);
      EXPECT_EQ(source->end[i], i + 1);
    }
  }
  const int before = server.tokenizes;
  EXPECT_TRUE(TokenizeWithServer(client->get(), text, 7, {}).ok());
  // "aa bb\n", "cc ", three characters of two bytes, the last one and " dd".
  EXPECT_EQ(server.tokenizes - before, 4);
}

TEST(NeedsStreamTest, WhereDocumentOrAnswerMayBeTooLarge) {
  v1::Model model;
  model.set_hidden_size(384);
  model.set_special_tokens_per_chunk(2);
  model.mutable_default_options()->set_chunk_tokens(128);
  model.mutable_limits()->set_max_message_bytes(4 << 20);
  v1::EncodeOptions options;
  EXPECT_FALSE(NeedsStream(model, options, 128 * 5, 128));
  EXPECT_FALSE(NeedsStream(model, options, 20'000 * 5, 20'000));
  EXPECT_TRUE(NeedsStream(model, options, 4 << 20, 1000));
  EXPECT_TRUE(NeedsStream(model, options, 1 << 20, 200'000));
  options.set_chunk_tokens(16);  // more vectors
  EXPECT_TRUE(NeedsStream(model, options, 100'000, 20'000));
  model.clear_special_tokens_per_chunk();
  model.mutable_default_options()->clear_chunk_tokens();
  options.clear_chunk_tokens();
  EXPECT_TRUE(NeedsStream(model, options, 100'000, 20'000));
}

}  // namespace
}  // namespace longhand::client
