// SessionMemory: the budget that all sessions and the content cache share, and
// reservations from it that may outlive it (a store may keep chunks longer than
// the manager lives). Thread-safe.
#ifndef LONGHAND_CORE_SESSION_SESSION_MEMORY_H_
#define LONGHAND_CORE_SESSION_SESSION_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/engine/working_memory.h"

namespace longhand {

class SessionMemory {
  struct Budget {
    explicit Budget(uint64_t limit_bytes) : memory(limit_bytes) {}

    WorkingMemory memory;
    std::atomic<uint64_t> used_bytes{0};
  };

 public:
  // A part of the budget. One thread at a time.
  class Part {
   public:
    ~Part() { budget_->used_bytes -= bytes_; }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;

    // As MemoryReservation::Resize.
    bool Resize(uint64_t bytes) {
      if (!reservation_.Resize(bytes)) return false;
      budget_->used_bytes += bytes - bytes_;
      bytes_ = bytes;
      return true;
    }
    uint64_t bytes() const { return bytes_; }

    // The reservation of a part whose size is final.
    static std::shared_ptr<const MemoryReservation> Seal(
        std::shared_ptr<Part> part) {
      const MemoryReservation* const reservation = &part->reservation_;
      return {std::move(part), reservation};
    }

   private:
    friend class SessionMemory;
    explicit Part(std::shared_ptr<Budget> budget)
        : budget_(std::move(budget)), reservation_(&budget_->memory) {}

    const std::shared_ptr<Budget> budget_;
    MemoryReservation reservation_;
    uint64_t bytes_ = 0;
  };

  explicit SessionMemory(uint64_t limit_bytes)
      : budget_(std::make_shared<Budget>(limit_bytes)) {}

  // Of 0 bytes.
  std::shared_ptr<Part> MakePart() const {
    return std::shared_ptr<Part>(new Part(budget_));
  }

  uint64_t used_bytes() const { return budget_->used_bytes; }
  uint64_t limit_bytes() const { return budget_->memory.limit_bytes(); }

 private:
  const std::shared_ptr<Budget> budget_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_MEMORY_H_
