#include "server/admission_metrics.h"

#include <string>
#include <utility>

namespace longhand {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// One value for each class.
template <typename Value>
MetricFamily ByClass(const char* name, const char* help,
                     const Admission::Stats& stats, Value value) {
  MetricFamily family{name, help, MetricType::Gauge, {}};
  for (size_t i = 0; i < kRequestClasses.size(); ++i) {
    ClientMetric metric;
    metric.label = {
        {"class", std::string(RequestClassName(kRequestClasses[i]))}};
    metric.gauge.value = static_cast<double>(value(stats.classes[i]));
    family.metric.push_back(std::move(metric));
  }
  return family;
}

}  // namespace

void AdmissionRecorder::OnBegin(RequestClass request_class,
                                absl::Duration waited) {
  metrics_.admission_wait_seconds[static_cast<size_t>(request_class)]->Observe(
      absl::ToDoubleSeconds(waited));
}

void AdmissionRecorder::OnRefusal(Refusal refusal) {
  metrics_.admission_refused[static_cast<size_t>(refusal)]->Increment();
}

AdmissionMetrics::AdmissionMetrics(std::function<Admission::Stats()> stats)
    : stats_(std::move(stats)) {}

std::vector<MetricFamily> AdmissionMetrics::Collect() const {
  const Admission::Stats stats = stats_();
  using ClassStats = Admission::ClassStats;
  ClientMetric rate;
  rate.gauge.value = stats.tokens_per_second;
  return {
      ByClass("longhand_admission_queue_entries",
              "Requests that wait for a place.", stats,
              [](const ClassStats& one) { return one.queued; }),
      ByClass("longhand_admission_queue_tokens",
              "What they cost, in tokens, as estimated.", stats,
              [](const ClassStats& one) { return one.queued_tokens; }),
      ByClass("longhand_admission_running", "Requests that have a place.",
              stats, [](const ClassStats& one) { return one.running; }),
      {"longhand_admission_tokens_per_second",
       "What the encoder makes while it is busy, as learnt; 0: not known yet.",
       MetricType::Gauge,
       {rate}},
  };
}

}  // namespace longhand
