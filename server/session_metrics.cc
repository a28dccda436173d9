#include "server/session_metrics.h"

#include <utility>

namespace longhand {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Gauge(const char* name, const char* help, double value,
                   std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  return {name, help, MetricType::Gauge, {metric}};
}

MetricFamily Counter(const char* name, const char* help, uint64_t value) {
  ClientMetric metric;
  metric.counter.value = static_cast<double>(value);
  return {name, help, MetricType::Counter, {metric}};
}

}  // namespace

SessionMetrics::SessionMetrics(std::function<SessionManagerStats()> stats)
    : stats_(std::move(stats)) {}

std::vector<MetricFamily> SessionMetrics::Collect() const {
  const SessionManagerStats stats = stats_();
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  return {
      Gauge("longhand_sessions", "Sessions, by where they are.",
            number(stats.resident_sessions), {{"state", "resident"}}),
      Gauge("longhand_session_dirty",
            "Sessions with changes that the store does not have yet.",
            number(stats.dirty_sessions)),
      Gauge("longhand_session_memory_bytes",
            "Chunk states, text and tokens of sessions in memory, the cache "
            "included.",
            number(stats.memory_bytes)),
      Gauge("longhand_session_memory_limit_bytes",
            "What the above may grow to.", number(stats.memory_limit_bytes)),
      Gauge("longhand_session_cache_bytes",
            "Chunks that the cache alone keeps.", number(stats.cache_bytes)),
      Gauge("longhand_session_store_up",
            "1 if the session store works, else 0.",
            stats.store_healthy ? 1 : 0),
      Counter("longhand_session_cache_hits_total",
              "Chunks that were taken from the cache.", stats.cache_hits),
      Counter("longhand_session_cache_misses_total",
              "Chunks that the cache did not have.", stats.cache_misses),
      Counter("longhand_session_evictions_total", "Sessions put out of memory.",
              stats.evictions),
      Counter("longhand_session_restores_total",
              "Sessions loaded from the store.", stats.restores),
      Counter("longhand_session_expired_total",
              "Sessions removed at the end of their time.", stats.expired),
      Counter("longhand_session_store_errors_total",
              "Calls to the session store that failed.", stats.store_errors),
      Counter("longhand_fencing_rejected_total",
              "Writes to the session store that were refused because another "
              "server had taken the session over.",
              stats.fencing_rejected),
      Counter("longhand_checksum_failures_total",
              "Stored records that did not match their checksum.",
              stats.checksum_failures),
  };
}

}  // namespace longhand
