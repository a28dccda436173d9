// LoadSchedule: when a load sends its requests. Times are since the load began
// and are given by the caller, so a test can make them up. Belongs to one
// thread.
#ifndef LONGHAND_CLIENT_LOAD_SCHEDULE_H_
#define LONGHAND_CLIENT_LOAD_SCHEDULE_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <queue>
#include <vector>

#include "absl/time/time.h"
#include "client/load_random.h"

namespace longhand::client {

enum class Arrivals { kConstant, kPoisson };

// What decides when requests are sent.
struct LoadShape {
  // Closed loop: that many clients, each of which sends its next request when
  // its last one has ended. 0: open loop.
  uint64_t clients = 0;
  // Closed loop: the clients begin one after the other, evenly within that
  // time. All at once would be a burst that the load never has again.
  absl::Duration ramp_up;
  // Open loop: requests per second, whatever becomes of them.
  double rate = 0;
  Arrivals arrivals = Arrivals::kPoisson;
  // Open loop: an arrival that finds that many under way is not sent.
  uint64_t max_outstanding = 1000;
  // No requests from then on.
  absl::Duration length = absl::InfiniteDuration();
  uint64_t requests = std::numeric_limits<uint64_t>::max();  // at most
  uint64_t seed = 1;                                         // of the arrivals
};

// The times of an open loop's arrivals.
class ArrivalProcess {
 public:
  // REQUIRES: rate > 0.
  ArrivalProcess(double rate, Arrivals arrivals, uint64_t seed)
      : rate_(rate), arrivals_(arrivals), random_(seed) {}

  // Constant: 0, 1/rate, 2/rate, ... Poisson: gaps of -ln(1 - u) / rate with
  // uniform u in [0, 1).
  absl::Duration Next();

 private:
  const double rate_;
  const Arrivals arrivals_;
  LoadRandom random_;
  uint64_t count_ = 0;
  double seconds_ = 0;
};

struct LoadRequest {
  uint64_t index = 0;       // from 0, each once
  absl::Duration intended;  // when it was to be sent; latency counts from here
  absl::Duration due;       // the same for this attempt
  int attempt = 1;
};

class LoadSchedule {
 public:
  explicit LoadSchedule(const LoadShape& shape);

  // A request whose time has come.
  struct Due {
    LoadRequest request;
    bool send = true;  // false: too many are under way; it does not count as
                       // one of them and has no end
  };
  // nullopt: none at `now`.
  std::optional<Due> Pop(absl::Duration now);
  // When Pop will have one, if nothing ends before. InfiniteDuration: never.
  absl::Duration NextDue() const;

  // A request that Pop gave out has ended; a closed loop's client sends its
  // next one at `next`.
  void OnEnd(absl::Duration next);
  // It is to be sent again at `due`: it has not ended.
  void Retry(LoadRequest request, absl::Duration due);

  // Nothing more is sent. Returns those that waited to be sent again; they have
  // ended.
  std::vector<LoadRequest> Stop();

  // Sent, or waiting to be sent again.
  uint64_t outstanding() const { return outstanding_; }
  // Nothing is under way and nothing will be.
  bool done() const { return outstanding_ == 0 && waiting_.empty(); }

 private:
  struct Later {
    bool operator()(const LoadRequest& a, const LoadRequest& b) const {
      return a.due != b.due ? a.due > b.due : a.index > b.index;
    }
  };
  void Add(absl::Duration due);

  const LoadShape shape_;
  std::optional<ArrivalProcess> arrivals_;  // of an open loop
  // Earliest first. New ones (attempt 1) are not outstanding yet.
  std::priority_queue<LoadRequest, std::vector<LoadRequest>, Later> waiting_;
  uint64_t issued_ = 0;
  uint64_t outstanding_ = 0;
  bool stopped_ = false;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_LOAD_SCHEDULE_H_
