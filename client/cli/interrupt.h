// InterruptHandler: turns SIGINT and SIGTERM into a cancellation. Make one
// before any other thread exists, so that all of them inherit the signal mask;
// it has a thread of its own. A second signal ends the process at once.
#ifndef LONGHAND_CLIENT_CLI_INTERRUPT_H_
#define LONGHAND_CLIENT_CLI_INTERRUPT_H_

#include <atomic>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/cancellation.h"

namespace longhand::client {

class InterruptHandler {
 public:
  InterruptHandler();
  ~InterruptHandler();
  InterruptHandler(const InterruptHandler&) = delete;
  InterruptHandler& operator=(const InterruptHandler&) = delete;

  // Cancelled by the first signal.
  Cancellation* cancellation() { return &cancellation_; }

  // Also called by the first signal, from the handler's thread; at once if it
  // came already. Empty: nothing. No call is running once this has returned.
  void SetCallback(std::function<void()> callback);

  // The signal that came; 0: none.
  int signal_number() const { return signal_; }

 private:
  void Watch();
  void Interrupt(int number);

  Cancellation cancellation_;
  std::atomic<int> signal_{0};
  absl::Mutex mutex_;
  std::function<void()> callback_ ABSL_GUARDED_BY(mutex_);
  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::thread watcher_;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_INTERRUPT_H_
