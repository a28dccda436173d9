// DocumentSlot: the place where a call keeps its document, first as a ticket
// and then open. It settles the race between a document that is just being
// opened and a call that is just being aborted. Thread-safe; never calls the
// document under its lock.
#ifndef LONGHAND_SERVER_DOCUMENT_SLOT_H_
#define LONGHAND_SERVER_DOCUMENT_SLOT_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/encoder.h"
#include "server/admit.h"

namespace longhand {

class DocumentSlot {
 public:
  void SetTicket(std::shared_ptr<Admission::Ticket> ticket) {
    ticket_.Set(std::move(ticket));
  }

  // Keeps `document`; cancels it if Cancel came before. Dropped at once if
  // Release came before.
  void Set(std::shared_ptr<Document> document) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::Status why;
    {
      absl::MutexLock lock(&mu_);
      why = cancelled_;
      if (!released_) document_ = document;
    }
    if (!why.ok()) document->Cancel(why);
  }

  // Null before Set and after Release.
  std::shared_ptr<Document> Get() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return document_;
  }

  // Cancels the document that is here or that comes later.
  void Cancel(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_) {
    std::shared_ptr<Document> document;
    {
      absl::MutexLock lock(&mu_);
      if (cancelled_.ok()) cancelled_ = why;
      document = document_;
    }
    if (document != nullptr) document->Cancel(why);
    ticket_.Cancel(why);
  }

  // Drops the document, which cancels it if it is unfinished.
  void Release() ABSL_LOCKS_EXCLUDED(mu_) {
    std::shared_ptr<Document> document;
    absl::MutexLock lock(&mu_);
    released_ = true;
    document.swap(document_);
  }

 private:
  TicketSlot ticket_;
  mutable absl::Mutex mu_;
  bool released_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status cancelled_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Document> document_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_DOCUMENT_SLOT_H_
