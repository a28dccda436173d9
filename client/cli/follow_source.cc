#include "client/cli/follow_source.h"

#include "client/status_macros.h"

namespace longhand::client {

absl::StatusOr<size_t> FollowSource::Read(absl::Span<char> buffer) {
  for (;;) {
    absl::StatusOr<size_t> count = file_->Read(buffer);
    absl::MutexLock lock(&mutex_);
    // Stop ends a read that waits with an error.
    if (!count.ok() && stopped_) return size_t{0};
    if (!count.ok() || *count > 0) return count;
    LH_CLIENT_RETURN_IF_ERROR(file_->CheckNotTruncated());
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), interval_)) {
      return size_t{0};
    }
  }
}

void FollowSource::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  file_->Stop();
}

}  // namespace longhand::client
