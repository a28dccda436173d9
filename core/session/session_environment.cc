#include <sys/random.h>

#include <chrono>

#include "core/base/status_macros.h"
#include "core/session/session_manager.h"

namespace longhand {
namespace {

// How often somebody who waits looks whether the call was cancelled.
constexpr absl::Duration kPatience = absl::Milliseconds(50);

class RealEnvironment : public SessionEnvironment {
 public:
  // Steps of the system's clock do not reach it.
  absl::Time Now() override {
    return start_ +
           absl::FromChrono(std::chrono::steady_clock::now() - steady_start_);
  }

  void RandomBytes(uint8_t* bytes, size_t size) override {
    while (size > 0) {
      const ssize_t filled = getrandom(bytes, size, 0);
      // Only EINTR can happen, and only to large requests.
      if (filled < 0) continue;
      bytes += filled;
      size -= size_t(filled);
    }
  }

 private:
  const absl::Time start_ = absl::Now();
  const std::chrono::steady_clock::time_point steady_start_ =
      std::chrono::steady_clock::now();
};

}  // namespace

bool SessionEnvironment::Await(absl::Mutex& mutex,
                               const absl::Condition& condition,
                               absl::Duration patience) {
  return mutex.AwaitWithTimeout(condition, patience);
}

absl::Status SessionEnvironment::CheckStop(const StopCondition& stop) {
  return stop.Check();
}

absl::Status SessionEnvironment::WaitUntil(absl::Mutex& mutex,
                                           const absl::Condition& condition,
                                           const StopCondition& stop) {
  while (!Await(mutex, condition, kPatience)) {
    LH_RETURN_IF_ERROR(CheckStop(stop));
  }
  return absl::OkStatus();
}

SessionEnvironment* SessionEnvironment::Real() {
  static RealEnvironment* const environment = new RealEnvironment;
  return environment;
}

}  // namespace longhand
