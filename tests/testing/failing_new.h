// Makes one allocation fail: the n-th call of operator new on the threads that
// ask for it throws std::bad_alloc. Replaces operator new of the whole program:
// include it in one source file of a test. What libraries allocate by malloc
// does not fail. For one test at a time.
#ifndef LONGHAND_TESTS_TESTING_FAILING_NEW_H_
#define LONGHAND_TESTS_TESTING_FAILING_NEW_H_

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace longhand::testing {

// Whose allocations are counted: of this thread, or of all but this one.
enum class CountedThreads { kThis, kOthers };

inline thread_local bool counted_here = false;
inline thread_local bool spared_here = false;
inline std::atomic<bool> others_counted{false};
inline std::atomic<int64_t> allocations_left{0};
inline std::atomic<bool> allocation_failed{false};

// While it lives, the `n`-th allocation (from 1) fails, and no other.
class FailNthAllocation {
 public:
  FailNthAllocation(int64_t n, CountedThreads threads) {
    allocation_failed = false;
    allocations_left = n;
    counted_here = threads == CountedThreads::kThis;
    spared_here = threads == CountedThreads::kOthers;
    others_counted = threads == CountedThreads::kOthers;
  }
  ~FailNthAllocation() {
    others_counted = false;
    counted_here = false;
    spared_here = false;
  }
  FailNthAllocation(const FailNthAllocation&) = delete;
  FailNthAllocation& operator=(const FailNthAllocation&) = delete;

  // Whether it has happened.
  bool failed() const { return allocation_failed; }
};

inline bool MustFail() {
  const bool counts = counted_here || (others_counted && !spared_here);
  if (!counts || allocations_left.fetch_sub(1) != 1) return false;
  allocation_failed = true;
  return true;
}

inline void* AllocateOrFail(size_t size, size_t alignment) {
  void* block = nullptr;
  if (!MustFail()) {
    block = alignment == 0
                ? std::malloc(size)
                : std::aligned_alloc(alignment, (size + alignment - 1) /
                                                    alignment * alignment);
  }
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace longhand::testing

// The other forms end in these. Not inline: the language forbids it.
void* operator new(size_t size) {
  return longhand::testing::AllocateOrFail(size, 0);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return longhand::testing::AllocateOrFail(size, size_t(alignment));
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete(void* block, size_t, std::align_val_t) noexcept {
  std::free(block);
}

#endif  // LONGHAND_TESTS_TESTING_FAILING_NEW_H_
