#include "server/admit.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/out_of_memory.h"

namespace longhand {

ContentSize SizeOf(const Content& content, const Admission& admission) {
  if (const auto* text = std::get_if<std::string>(&content)) {
    return {text->size(), admission.EstimateTokens(text->size())};
  }
  const auto& ids = std::get<std::vector<int32_t>>(content);
  return {ids.size() * sizeof(int32_t), double(ids.size())};
}

Admission::Request AdmissionRequest(const Caller& caller, absl::Time deadline,
                                    const ContentSize& size) {
  return {.tenant = caller.tenant,
          .policy = caller.policy,
          .bytes = size.bytes,
          .tokens = size.tokens,
          .deadline = deadline};
}

void TicketSlot::Set(std::shared_ptr<Admission::Ticket> ticket) {
  absl::Status why;
  {
    absl::MutexLock lock(&mu_);
    why = cancelled_;
    ticket_ = ticket;
  }
  if (!why.ok()) ticket->Cancel(why);
}

void TicketSlot::Cancel(const absl::Status& why) {
  std::shared_ptr<Admission::Ticket> ticket;
  {
    absl::MutexLock lock(&mu_);
    if (cancelled_.ok()) cancelled_ = why;
    ticket = ticket_;
  }
  if (ticket != nullptr) ticket->Cancel(why);
}

void RunAdmitted(const ServiceContext& service, Admission::Request request,
                 TicketSlot& slot,
                 absl::AnyInvocable<void(Admission::Permit&)> work,
                 absl::AnyInvocable<void(const absl::Status&)> failed) {
  // Run destroys what it refuses, and somebody must still be told.
  auto fail = std::make_shared<absl::AnyInvocable<void(const absl::Status&)>>(
      std::move(failed));
  slot.Set(service.admission.Enter(
      std::move(request),
      [&service, work = std::move(work), fail](
          absl::StatusOr<std::shared_ptr<Admission::Permit>> permit) mutable {
        absl::Status status = permit.status();
        if (status.ok()) {
          const absl::Status handing = CatchOutOfMemory([&] {
            status =
                service.sessions->Run([permit = *std::move(permit),
                                       work = std::move(work), fail]() mutable {
                  const absl::Status done =
                      CatchOutOfMemory([&] { work(*permit); });
                  if (!done.ok()) (*fail)(done);
                });
          });
          if (!handing.ok()) status = handing;
        }
        if (!status.ok()) (*fail)(status);
      }));
}

}  // namespace longhand
