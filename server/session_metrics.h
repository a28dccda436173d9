// SessionMetrics: what a SessionManager says of itself, read at the moment of
// the scrape. Thread-safe.
#ifndef LONGHAND_SERVER_SESSION_METRICS_H_
#define LONGHAND_SERVER_SESSION_METRICS_H_

#include <functional>
#include <vector>

#include "core/session/session_manager.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace longhand {

class SessionMetrics : public prometheus::Collectable {
 public:
  // `stats` is called from scraping threads.
  explicit SessionMetrics(std::function<SessionManagerStats()> stats);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<SessionManagerStats()> stats_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_METRICS_H_
