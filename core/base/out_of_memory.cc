#include "core/base/out_of_memory.h"

#include "core/base/error.h"

namespace longhand {
namespace {

absl::Status MakeOutOfMemoryError() {
  return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                   "the server ran out of memory while it worked on this; try "
                   "again, or send less at one time");
}

// Made before it is needed.
const absl::Status& made_at_start = OutOfMemoryError();

}  // namespace

const absl::Status& OutOfMemoryError() {
  static const absl::Status* const error =
      new absl::Status(MakeOutOfMemoryError());
  return *error;
}

}  // namespace longhand
