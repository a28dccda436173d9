#include "client/cli/load_text.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/text_display.h"

namespace longhand::client {
namespace {

std::string FormatRate(uint64_t count, absl::Duration window) {
  return FormatCount(static_cast<uint64_t>(std::llround(Rate(count, window))));
}

std::vector<std::string> Cells(const std::string& name, const LoadStats& stats,
                               absl::Duration window) {
  std::vector<std::string> cells = {name,
                                    FormatCount(stats.sent),
                                    FormatCount(stats.ok),
                                    FormatCount(stats.late),
                                    FormatCount(stats.rejected),
                                    FormatCount(stats.deadline_exceeded),
                                    FormatCount(stats.unfinished),
                                    FormatRate(stats.answered_tokens, window)};
  for (const double percent : {50.0, 90.0, 99.0, 99.9}) {
    cells.push_back(stats.latency.count() == 0
                        ? "-"
                        : FormatTime(stats.latency.Percentile(percent)));
  }
  cells.push_back(stats.latency.count() == 0 ? "-"
                                             : FormatTime(stats.latency.max()));
  return cells;
}

std::string DescribeLoop(const LoadOptions& options) {
  const LoadShape& shape = options.shape;
  std::string text =
      shape.clients > 0
          ? absl::StrCat("closed loop, ", FormatCount(shape.clients),
                         shape.clients == 1 ? " client" : " clients")
          : absl::StrCat(
                "open loop, ", shape.rate, " documents/s, ",
                shape.arrivals == Arrivals::kPoisson ? "poisson" : "constant",
                " arrivals");
  absl::StrAppend(&text, ", ", options.connections,
                  options.connections == 1 ? " connection" : " connections");
  return text;
}

std::string DescribeThroughput(const LoadStats& total, absl::Duration window) {
  const double documents = Rate(total.answered, window);
  return absl::StrCat(
      std::round(documents * 100) / 100, " documents/s, ",
      FormatRate(total.answered_tokens, window), " tokens/s; in time ",
      FormatRate(total.answered_tokens_in_time, window), " tokens/s");
}

std::string DescribeAdvice(const RetryAdvice& advice) {
  std::string text = absl::StrCat(
      FormatCount(advice.pushbacks), " times by grpc-retry-pushback-ms, ",
      FormatCount(advice.retry_infos), " times by RetryInfo");
  // Both may be without a time.
  if (advice.min <= advice.max) {
    absl::StrAppend(&text, "; ", FormatTime(advice.min));
    if (advice.min < advice.max) {
      absl::StrAppend(&text, " to ", FormatTime(advice.max));
    }
  }
  return text;
}

std::string DescribeLatency(const LatencyHistogram& latency) {
  return absl::StrCat("p50 ", FormatTime(latency.Percentile(50)), ", p99 ",
                      FormatTime(latency.Percentile(99)), ", most ",
                      FormatTime(latency.max()));
}

Json Seconds(absl::Duration duration) {
  return static_cast<float>(absl::ToDoubleSeconds(duration));
}

Json SecondsOrNull(absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? Json() : Seconds(duration);
}

Json LatencyToJson(const LatencyHistogram& latency) {
  Json buckets = Json::array();
  for (const LatencyBucket& bucket : latency.Buckets()) {
    buckets.push_back(Json::array({Seconds(bucket.upper), bucket.count}));
  }
  return {{"count", latency.count()},
          {"mean", Seconds(latency.Mean())},
          {"p50", Seconds(latency.Percentile(50))},
          {"p90", Seconds(latency.Percentile(90))},
          {"p99", Seconds(latency.Percentile(99))},
          {"p999", Seconds(latency.Percentile(99.9))},
          {"max", Seconds(latency.max())},
          {"buckets", std::move(buckets)}};
}

Json PerSecond(uint64_t count, absl::Duration window) {
  return static_cast<float>(Rate(count, window));
}

void AddStats(const LoadStats& stats, absl::Duration window, Json* json) {
  (*json)["arrivals"] = stats.arrivals;
  (*json)["not_sent"] = stats.not_sent;
  (*json)["sent"] = stats.sent;
  (*json)["ok"] = stats.ok;
  (*json)["late"] = stats.late;
  (*json)["rejected"] = stats.rejected;
  (*json)["deadline_exceeded"] = stats.deadline_exceeded;
  (*json)["unfinished"] = stats.unfinished;
  (*json)["retries"] = stats.retries;
  (*json)["throughput"] = {
      {"requests_per_second", PerSecond(stats.answered, window)},
      {"goodput_requests_per_second",
       PerSecond(stats.answered_in_time, window)},
      {"tokens_per_second", PerSecond(stats.answered_tokens, window)},
      {"goodput_tokens_per_second",
       PerSecond(stats.answered_tokens_in_time, window)},
      {"answered_tokens", stats.answered_tokens}};
  (*json)["latency"] = LatencyToJson(stats.latency);
  (*json)["reject_latency"] = LatencyToJson(stats.reject_latency);
  Json errors = Json::array();
  for (const auto& [key, error] : stats.errors) {
    errors.push_back({{"code", absl::StatusCodeToString(key.first)},
                      {"reason", key.second},
                      {"message", std::string(error.sample.message())},
                      {"count", error.count}});
  }
  (*json)["errors"] = std::move(errors);
  const RetryAdvice& advice = stats.advice;
  const bool any = advice.min <= advice.max;
  (*json)["advice"] = {{"pushbacks", advice.pushbacks},
                       {"retry_infos", advice.retry_infos},
                       {"min", any ? Seconds(advice.min) : Json()},
                       {"max", any ? Seconds(advice.max) : Json()}};
}

// How the load was made.
void AddSettings(const LoadOptions& options, Json* json) {
  const LoadShape& shape = options.shape;
  const bool closed = shape.clients > 0;
  (*json)["loop"] = closed ? "closed" : "open";
  if (closed) {
    (*json)["clients"] = shape.clients;
    (*json)["ramp_up"] = Seconds(shape.ramp_up);
    (*json)["heed_advice"] = options.heed_advice;
  } else {
    (*json)["rate"] = static_cast<float>(shape.rate);
    (*json)["arrivals"] =
        shape.arrivals == Arrivals::kPoisson ? "poisson" : "constant";
    (*json)["max_outstanding"] = shape.max_outstanding;
  }
  (*json)["seed"] = shape.seed;
  (*json)["connections"] = options.connections;
  (*json)["max_attempts"] = options.connection.retry.max_attempts;
  (*json)["warm_up"] = Seconds(options.warm_up);
  (*json)["deadline"] = SecondsOrNull(options.connection.deadline);
  (*json)["answer_within"] =
      SecondsOrNull(std::min(options.goal, options.connection.deadline));
  (*json)["options"] = ToJson(options.encode);
}

}  // namespace

std::string FormatLoad(const LoadHead& head, const LoadReport& report,
                       const Terminal& terminal) {
  Table table({{"CLASS"},
               {"SENT", true},
               {"OK", true},
               {"LATE", true},
               {"REFUSED", true},
               {"DEADLINE", true},
               {"OPEN", true},
               {"TOKENS/S", true},
               {"P50", true},
               {"P90", true},
               {"P99", true},
               {"P99.9", true},
               {"MAX", true}});
  for (size_t i = 0; i < report.classes.size(); ++i) {
    table.AddRow(Cells(head.mix[i].name, report.classes[i], report.window));
  }
  const LoadStats total = report.Total();
  table.AddRow(Cells("total", total, report.window));
  std::string text = absl::StrCat(table.Render(terminal), "\n");
  const auto line = [&text](absl::string_view name, absl::string_view value) {
    text += absl::StrCat(name, std::string(14 - name.size(), ' '), value, "\n");
  };
  line("load", DescribeLoop(head.options));
  line("measured",
       absl::StrCat(FormatTime(report.window),
                    report.interrupted ? ", interrupted" : "", "; at most ",
                    FormatCount(report.peak_outstanding), " under way"));
  line("throughput", DescribeThroughput(total, report.window));
  if (total.not_sent > 0) {
    line("not sent",
         absl::StrCat(FormatCount(total.not_sent), " of ",
                      FormatCount(total.arrivals), ": too many under way"));
  }
  for (const auto& [key, error] : total.errors) {
    line("error", ToDisplayLine(absl::StrCat(
                      FormatCount(error.count), " x ",
                      absl::StatusCodeToString(key.first), " ",
                      key.second.empty() ? "(by gRPC)" : key.second, ": ",
                      error.sample.message())));
  }
  if (total.retries > 0) line("retries", FormatCount(total.retries));
  if (total.reject_latency.count() > 0) {
    line("refused in", DescribeLatency(total.reject_latency));
  }
  if (total.advice.pushbacks + total.advice.retry_infos > 0) {
    line("told to wait", DescribeAdvice(total.advice));
  }
  if (head.options.shape.clients == 0) {
    line("send lag", DescribeLatency(report.send_lag));
  }
  line("model", ToDisplayLine(head.model.name()));
  return text;
}

Json LoadToJson(const LoadHead& head, const LoadReport& report) {
  Json json = {
      {"format", "longhand.load.v1"},
      {"input", {{"name", head.input_name}, {"tokens", head.input_tokens}}},
      {"model",
       {{"name", head.model.name()},
        {"fingerprint", head.model.fingerprint()}}}};
  AddSettings(head.options, &json);
  json["interrupted"] = report.interrupted;
  json["window_seconds"] = Seconds(report.window);
  json["peak_outstanding"] = report.peak_outstanding;
  json["send_lag"] = LatencyToJson(report.send_lag);
  Json total = Json::object();
  AddStats(report.Total(), report.window, &total);
  json["total"] = std::move(total);
  Json classes = Json::array();
  for (size_t i = 0; i < report.classes.size(); ++i) {
    const MixClass& mix = head.mix[i];
    Json row = {{"name", mix.name},
                {"share", static_cast<float>(mix.share)},
                {"min_tokens", mix.min_tokens},
                {"max_tokens", mix.max_tokens}};
    AddStats(report.classes[i], report.window, &row);
    classes.push_back(std::move(row));
  }
  json["classes"] = std::move(classes);
  return json;
}

std::string FormatLoadProgress(const LoadProgress& progress, int width) {
  return FitWidth(absl::StrCat(FormatTime(progress.elapsed), ", ",
                               FormatCount(progress.sent), " sent, ",
                               FormatCount(progress.ended), " ended, ",
                               FormatCount(progress.outstanding), " under way"),
                  width);
}

}  // namespace longhand::client
