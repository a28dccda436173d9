// AdmissionMetrics: what Admission tells, as Prometheus series, and its state,
// read at the moment of the scrape. Thread-safe.
#ifndef LONGHAND_SERVER_ADMISSION_METRICS_H_
#define LONGHAND_SERVER_ADMISSION_METRICS_H_

#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/admission.h"
#include "server/metrics.h"

namespace longhand {

// `metrics` outlives it.
class AdmissionRecorder : public AdmissionObserver {
 public:
  explicit AdmissionRecorder(Metrics& metrics) : metrics_(metrics) {}

  void OnBegin(RequestClass request_class, absl::Duration waited) override;
  void OnRefusal(Refusal refusal) override;

 private:
  Metrics& metrics_;
};

class AdmissionMetrics : public prometheus::Collectable {
 public:
  // `stats` is called from scraping threads.
  explicit AdmissionMetrics(std::function<Admission::Stats()> stats);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<Admission::Stats()> stats_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ADMISSION_METRICS_H_
