// OpenCalls: how many calls of our services are open, those of gRPC's own
// services (health, reflection) left out. Owned by the Server, outlives every
// call. Thread-safe; takes no lock.
#ifndef LONGHAND_SERVER_OPEN_CALLS_H_
#define LONGHAND_SERVER_OPEN_CALLS_H_

#include <atomic>
#include <cstdint>

namespace longhand {

class OpenCalls {
 public:
  OpenCalls() = default;
  OpenCalls(const OpenCalls&) = delete;
  OpenCalls& operator=(const OpenCalls&) = delete;

  void Begin() { begun_.fetch_add(1); }
  // gRPC is done with a call that has begun.
  void End() { ended_.fetch_add(1); }

  uint64_t begun() const { return begun_.load(); }
  bool none() const {
    // In this order, so that a call that begins in between counts as open.
    const uint64_t ended = ended_.load();
    return ended == begun_.load();
  }

 private:
  std::atomic<uint64_t> begun_{0};
  std::atomic<uint64_t> ended_{0};
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_OPEN_CALLS_H_
