// Throughput: how many tokens a second the encoder makes while it has enough to
// do, learnt from what is reported. Forgets within seconds, so it follows a CPU
// that is throttled. Owned by one thread at a time.
#ifndef LONGHAND_SERVER_THROUGHPUT_H_
#define LONGHAND_SERVER_THROUGHPUT_H_

#include <cmath>

#include "absl/time/time.h"

namespace longhand {

class Throughput {
 public:
  // Whether there is enough to do, from `now` on.
  void SetBusy(bool busy, absl::Time now) {
    if (busy == busy_) return;
    if (!busy) Sample(now);
    busy_ = busy;
    begin_ = now;
    tokens_ = 0;
  }

  // So many tokens were made since the last call.
  void Add(double tokens, absl::Time now) {
    if (!busy_) return;
    tokens_ += tokens;
    if (now - begin_ >= kInterval) {
      Sample(now);
      begin_ = now;
      tokens_ = 0;
    }
  }

  // 0: not known yet.
  double tokens_per_second() const { return rate_; }

 private:
  static constexpr absl::Duration kInterval = absl::Milliseconds(500);
  // Less says too little.
  static constexpr absl::Duration kLeast = absl::Milliseconds(100);
  static constexpr absl::Duration kMemory = absl::Seconds(3);

  void Sample(absl::Time now) {
    const absl::Duration elapsed = now - begin_;
    if (!busy_ || elapsed < kLeast || tokens_ <= 0) return;
    const double sample = tokens_ / absl::ToDoubleSeconds(elapsed);
    const double share = 1 - std::exp(-absl::FDivDuration(elapsed, kMemory));
    rate_ = rate_ == 0 ? sample : rate_ + share * (sample - rate_);
  }

  bool busy_ = false;
  absl::Time begin_;
  double tokens_ = 0;
  double rate_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_THROUGHPUT_H_
