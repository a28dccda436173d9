// ProcessMetrics: what Prometheus client libraries report about their process,
// and how many documents are open, read at the moment of the scrape.
// Thread-safe.
#ifndef LONGHAND_SERVER_PROCESS_METRICS_H_
#define LONGHAND_SERVER_PROCESS_METRICS_H_

#include <functional>
#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace longhand {

class ProcessMetrics : public prometheus::Collectable {
 public:
  // `open_documents` is called from scraping threads.
  explicit ProcessMetrics(std::function<int()> open_documents);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<int()> open_documents_;
  const double start_time_seconds_;  // since the Unix epoch
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_PROCESS_METRICS_H_
