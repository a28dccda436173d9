// Cancellation: ends calls from another thread. Give the same object to every
// call that shall end together; it must outlive them. Thread-safe.
#ifndef LONGHAND_CLIENT_CANCELLATION_H_
#define LONGHAND_CLIENT_CANCELLATION_H_

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace grpc {
class ClientContext;
}  // namespace grpc

namespace longhand::client {

class Cancellation {
 public:
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  // Ends the calls in flight and every later one with CANCELLED. Takes locks:
  // not for signal handlers.
  void Cancel();
  bool cancelled() const;

  // For the client library. Sleep returns false at once when cancelled. Add
  // cancels `context` if Cancel was called before; Remove comes before its end.
  bool Sleep(absl::Duration duration);
  void Add(grpc::ClientContext* context);
  void Remove(grpc::ClientContext* context);

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CANCELLATION_H_
