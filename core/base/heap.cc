#include "core/base/heap.h"

#include <malloc.h>

#include <cstddef>

namespace longhand {

void GiveLargeBlocksTheirOwnPages() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  // Linux lets a process have 65,530 mappings; further blocks come from the
  // heap as they would have before.
  mallopt(M_MMAP_MAX, 32 * 1024);
#endif
}

void TrimHeap() {
#ifdef __GLIBC__
  constexpr size_t kMuch = size_t{64} << 20;
  if (mallinfo2().fordblks > kMuch) malloc_trim(0);
#endif
}

}  // namespace longhand
