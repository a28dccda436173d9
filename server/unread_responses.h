// UnreadResponses: how many bytes of responses wait for clients to read them,
// on all streams together, against one limit. Owned by the Server, outlives
// every call. Thread-safe; takes no lock.
#ifndef LONGHAND_SERVER_UNREAD_RESPONSES_H_
#define LONGHAND_SERVER_UNREAD_RESPONSES_H_

#include <atomic>
#include <cstdint>

#include "prometheus/gauge.h"

namespace longhand {

class UnreadResponses {
 public:
  // `gauge` shows the bytes and outlives this.
  UnreadResponses(uint64_t limit_bytes, prometheus::Gauge& gauge)
      : limit_bytes_(limit_bytes), gauge_(gauge) {}
  UnreadResponses(const UnreadResponses&) = delete;
  UnreadResponses& operator=(const UnreadResponses&) = delete;

  uint64_t limit_bytes() const { return limit_bytes_; }

  // Who has a part in it should begin nothing new.
  bool full() const {
    return bytes_.load(std::memory_order_relaxed) > limit_bytes_;
  }

  // Counts so many bytes more, but never more than twice the limit: what was
  // in work when the limit was reached may still come. False if refused.
  bool Add(uint64_t bytes) {
    uint64_t before = bytes_.load(std::memory_order_relaxed);
    do {
      if (before + bytes > 2 * limit_bytes_) return false;
    } while (!bytes_.compare_exchange_weak(before, before + bytes,
                                           std::memory_order_relaxed));
    gauge_.Increment(static_cast<double>(bytes));
    return true;
  }

  // Of bytes that were added.
  void Remove(uint64_t bytes) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    gauge_.Decrement(static_cast<double>(bytes));
  }

 private:
  const uint64_t limit_bytes_;
  prometheus::Gauge& gauge_;
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_UNREAD_RESPONSES_H_
