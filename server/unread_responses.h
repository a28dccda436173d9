// UnreadResponses: how many bytes of responses wait for clients to read them,
// on all streams together, against one limit. Owned by the Server, outlives
// every call. Thread-safe; takes no lock.
#ifndef LONGHAND_SERVER_UNREAD_RESPONSES_H_
#define LONGHAND_SERVER_UNREAD_RESPONSES_H_

#include <cstdint>

#include "core/engine/working_memory.h"
#include "prometheus/gauge.h"

namespace longhand {

class UnreadResponses {
 public:
  // `gauge` shows the bytes and outlives this.
  UnreadResponses(uint64_t limit_bytes, prometheus::Gauge& gauge)
      : limit_bytes_(limit_bytes), memory_(2 * limit_bytes), gauge_(gauge) {}
  UnreadResponses(const UnreadResponses&) = delete;
  UnreadResponses& operator=(const UnreadResponses&) = delete;

  // Twice the limit: what was in work when it was reached may still come.
  uint64_t most_bytes() const { return memory_.limit_bytes(); }

  // Who has a part in it should begin nothing new.
  bool full() const { return memory_.used_bytes() > limit_bytes_; }

  // Counts so many bytes more. False, and nothing counted, past most_bytes.
  bool Add(uint64_t bytes) {
    if (!memory_.TryTake(bytes)) return false;
    gauge_.Increment(static_cast<double>(bytes));
    return true;
  }

  // Of bytes that were added.
  void Remove(uint64_t bytes) {
    memory_.GiveBack(bytes);
    gauge_.Decrement(static_cast<double>(bytes));
  }

 private:
  const uint64_t limit_bytes_;
  WorkingMemory memory_;
  prometheus::Gauge& gauge_;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_UNREAD_RESPONSES_H_
