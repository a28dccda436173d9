// WorkingMemory: the budget for chunk states and activations that all open
// documents share, and one document's part of it. Reserving comes before
// allocating, so that no request can take more than the operator gave.
// WorkingMemory is thread-safe and outlives its reservations; a
// MemoryReservation belongs to one document.
#ifndef LONGHAND_CORE_ENGINE_WORKING_MEMORY_H_
#define LONGHAND_CORE_ENGINE_WORKING_MEMORY_H_

#include <atomic>
#include <cstdint>

namespace longhand {

class WorkingMemory {
 public:
  explicit WorkingMemory(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  uint64_t limit_bytes() const { return limit_bytes_; }
  uint64_t used_bytes() const { return used_bytes_; }

 private:
  friend class MemoryReservation;

  const uint64_t limit_bytes_;
  std::atomic<uint64_t> used_bytes_{0};
};

class MemoryReservation {
 public:
  explicit MemoryReservation(WorkingMemory* memory) : memory_(memory) {}
  ~MemoryReservation() { memory_->used_bytes_ -= bytes_; }
  MemoryReservation(const MemoryReservation&) = delete;
  MemoryReservation& operator=(const MemoryReservation&) = delete;

  // Changes the reservation to `bytes`. False, and nothing changed, if the
  // budget does not have that much left; shrinking always works.
  bool Resize(uint64_t bytes) {
    if (bytes <= bytes_) {
      memory_->used_bytes_ -= bytes_ - bytes;
      bytes_ = bytes;
      return true;
    }
    const uint64_t more = bytes - bytes_;
    uint64_t used = memory_->used_bytes_.load();
    do {
      if (more > memory_->limit_bytes_ || used > memory_->limit_bytes_ - more) {
        return false;
      }
    } while (!memory_->used_bytes_.compare_exchange_weak(used, used + more));
    bytes_ = bytes;
    return true;
  }

  uint64_t limit_bytes() const { return memory_->limit_bytes(); }

 private:
  WorkingMemory* const memory_;
  uint64_t bytes_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_WORKING_MEMORY_H_
