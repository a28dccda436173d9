// How calls come to their place in Admission. Thread-safe.
#ifndef LONGHAND_SERVER_ADMIT_H_
#define LONGHAND_SERVER_ADMIT_H_

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/session/session_document.h"
#include "server/access.h"
#include "server/admission.h"
#include "server/service_context.h"

namespace longhand {

// What is known of the cost before any work is done.
struct ContentSize {
  uint64_t bytes = 0;
  double tokens = 0;
};
ContentSize SizeOf(const Content& content, const Admission& admission);

Admission::Request AdmissionRequest(const Caller& caller, absl::Time deadline,
                                    const ContentSize& size);

// TicketSlot: where a call keeps its ticket. Settles the race between a call
// that is just entering and one that is just being aborted.
class TicketSlot {
 public:
  // Cancels `ticket` if Cancel came before.
  void Set(std::shared_ptr<Admission::Ticket> ticket) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes the ticket that is here or that comes later out of the queue.
  void Cancel(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Mutex mu_;
  absl::Status cancelled_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Admission::Ticket> ticket_ ABSL_GUARDED_BY(mu_);
};

// Enters `service.admission`. Calls one of these or, if `begin` gives an error
// or runs out of memory, both: `begin` with the request's place, and `failed`.
// As Admission::Enter, before this returns or later from any thread.
std::shared_ptr<Admission::Ticket> EnterAdmission(
    const ServiceContext& service, Admission::Request request,
    absl::AnyInvocable<absl::Status(std::shared_ptr<Admission::Permit>)> begin,
    absl::AnyInvocable<void(const absl::Status&)> failed);

// Calls one of these once, at some time: `work` on a thread of the session host
// when the request has its place, which it keeps until `work` returns, or
// `failed`, on any thread. REQUIRES: service.sessions.
void RunAdmitted(const ServiceContext& service, Admission::Request request,
                 TicketSlot& slot,
                 absl::AnyInvocable<void(Admission::Permit&)> work,
                 absl::AnyInvocable<void(const absl::Status&)> failed);

}  // namespace longhand

#endif  // LONGHAND_SERVER_ADMIT_H_
