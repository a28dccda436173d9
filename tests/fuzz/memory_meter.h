// MemoryMeter: the most memory that this thread held at once since the meter
// was made, by what it allocated and freed through operator new (with
// AddressSanitizer: through malloc as well). One at a time on a thread.
#ifndef LONGHAND_TESTS_FUZZ_MEMORY_METER_H_
#define LONGHAND_TESTS_FUZZ_MEMORY_METER_H_

#include <cstddef>
#include <cstdint>

namespace longhand::testing {

class MemoryMeter {
 public:
  MemoryMeter();
  ~MemoryMeter();
  MemoryMeter(const MemoryMeter&) = delete;
  MemoryMeter& operator=(const MemoryMeter&) = delete;

  // Bytes.
  uint64_t peak() const;

  // Aborts unless the peak is at most `fixed` + `factor` * `input` bytes.
  void CheckProportional(uint64_t input, uint64_t factor,
                         uint64_t fixed = 64 << 10) const;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_FUZZ_MEMORY_METER_H_
