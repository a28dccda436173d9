#include "server/log_limiter.h"

#include <algorithm>
#include <utility>

namespace longhand {

std::optional<uint64_t> LogLimiter::Admit(std::string_view event,
                                          absl::Time now) {
  absl::MutexLock lock(&mu_);
  auto [found, is_new] = buckets_.try_emplace(std::string(event));
  Bucket& bucket = found->second;
  if (!is_new && now > bucket.filled) {
    bucket.lines = std::min(
        kBurst, bucket.lines + absl::ToDoubleSeconds(now - bucket.filled) *
                                   kLinesPerSecond);
  }
  bucket.filled = now;  // a clock that was set back begins anew
  if (bucket.lines < 1) {
    ++bucket.suppressed;
    return std::nullopt;
  }
  bucket.lines -= 1;
  return std::exchange(bucket.suppressed, 0);
}

}  // namespace longhand
