// WorkingMemory: a budget of bytes, above all that for chunk states and
// activations which all open documents share, and one holder's part of it.
// Taking comes before allocating, so that no request can take more than the
// operator gave. WorkingMemory is thread-safe and outlives its reservations; a
// MemoryReservation belongs to one holder, such as a document.
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

  // False, and nothing taken, if there is not that much left.
  bool TryTake(uint64_t bytes) {
    uint64_t used = used_bytes_.load();
    do {
      if (bytes > limit_bytes_ || used > limit_bytes_ - bytes) return false;
    } while (!used_bytes_.compare_exchange_weak(used, used + bytes));
    return true;
  }
  // Of bytes that were taken.
  void GiveBack(uint64_t bytes) { used_bytes_ -= bytes; }

 private:
  const uint64_t limit_bytes_;
  std::atomic<uint64_t> used_bytes_{0};
};

class MemoryReservation {
 public:
  explicit MemoryReservation(WorkingMemory* memory) : memory_(memory) {}
  ~MemoryReservation() { memory_->GiveBack(bytes_); }
  MemoryReservation(const MemoryReservation&) = delete;
  MemoryReservation& operator=(const MemoryReservation&) = delete;

  // Changes the reservation to `bytes`. False, and nothing changed, if the
  // budget does not have that much left; shrinking always works.
  bool Resize(uint64_t bytes) {
    if (bytes <= bytes_) {
      memory_->GiveBack(bytes_ - bytes);
    } else if (!memory_->TryTake(bytes - bytes_)) {
      return false;
    }
    bytes_ = bytes;
    return true;
  }

  uint64_t bytes() const { return bytes_; }
  uint64_t limit_bytes() const { return memory_->limit_bytes(); }

 private:
  WorkingMemory* const memory_;
  uint64_t bytes_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_WORKING_MEMORY_H_
