// What becomes of a memory allocation that fails in the middle of work: that
// work ends with an error, and the process goes on. Pure functions; safe from
// any thread.
#ifndef LONGHAND_CORE_BASE_OUT_OF_MEMORY_H_
#define LONGHAND_CORE_BASE_OUT_OF_MEMORY_H_

#include <new>
#include <utility>

#include "absl/status/status.h"

namespace longhand {

// RESOURCE_EXHAUSTED (OUT_OF_MEMORY). Needs no memory itself.
const absl::Status& OutOfMemoryError();

// OK, or OutOfMemoryError() if `work` throws std::bad_alloc.
template <typename Work>
absl::Status CatchOutOfMemory(Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError();
  }
  return absl::OkStatus();
}

}  // namespace longhand

#endif  // LONGHAND_CORE_BASE_OUT_OF_MEMORY_H_
