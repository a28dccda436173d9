#include "tests/fuzz/memory_meter.h"

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "core/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define LH_FUZZ_WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LH_FUZZ_WITH_ASAN 1
#endif
#endif

#ifdef LH_FUZZ_WITH_ASAN
#include <sanitizer/allocator_interface.h>
#endif

namespace longhand::testing {
namespace {

thread_local bool metering = false;
thread_local int64_t held_bytes = 0;
thread_local int64_t peak_bytes = 0;

void Took(size_t bytes) {
  if (!metering) return;
  held_bytes += int64_t(bytes);
  peak_bytes = std::max(peak_bytes, held_bytes);
}

void Gave(size_t bytes) {
  if (metering) held_bytes -= int64_t(bytes);
}

#ifdef LH_FUZZ_WITH_ASAN
// The allocator is AddressSanitizer's: it tells.
const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t size) { Took(size); },
    [](const volatile void* block) {
      Gave(__sanitizer_get_allocated_size(const_cast<void*>(block)));
    });
#endif

}  // namespace

MemoryMeter::MemoryMeter() {
#ifdef LH_FUZZ_WITH_ASAN
  LH_CHECK(installed > 0);
#endif
  held_bytes = peak_bytes = 0;
  metering = true;
}

MemoryMeter::~MemoryMeter() { metering = false; }

uint64_t MemoryMeter::peak() const { return uint64_t(peak_bytes); }

void MemoryMeter::CheckProportional(uint64_t input, uint64_t factor,
                                    uint64_t fixed) const {
  if (peak() <= fixed + factor * input) return;
  std::fprintf(stderr, "%llu bytes of input took %llu bytes of memory\n",
               static_cast<unsigned long long>(input),
               static_cast<unsigned long long>(peak()));
  std::abort();
}

}  // namespace longhand::testing

#ifndef LH_FUZZ_WITH_ASAN
namespace {

void* Allocate(size_t size, size_t alignment) {
  void* const block =
      alignment == 0 ? std::malloc(size)
                     : std::aligned_alloc(alignment, (size + alignment - 1) /
                                                         alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
  longhand::testing::Took(malloc_usable_size(block));
  return block;
}

void Free(void* block) {
  if (block == nullptr) return;
  longhand::testing::Gave(malloc_usable_size(block));
  std::free(block);
}

}  // namespace

// The other forms of new and delete end in these.
void* operator new(size_t size) { return Allocate(size, 0); }
void* operator new(size_t size, std::align_val_t alignment) {
  return Allocate(size, size_t(alignment));
}
void operator delete(void* block) noexcept { Free(block); }
void operator delete(void* block, size_t) noexcept { Free(block); }
void operator delete(void* block, std::align_val_t) noexcept { Free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept {
  Free(block);
}
#endif
