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

std::shared_ptr<Admission::Ticket> EnterAdmission(
    const ServiceContext& service, Admission::Request request,
    absl::AnyInvocable<absl::Status(std::shared_ptr<Admission::Permit>)> begin,
    absl::AnyInvocable<void(const absl::Status&)> failed) {
  return service.admission.Enter(
      std::move(request),
      [begin = std::move(begin), failed = std::move(failed)](
          absl::StatusOr<std::shared_ptr<Admission::Permit>> permit) mutable {
        absl::Status status = permit.status();
        if (status.ok()) {
          const absl::Status beginning =
              CatchOutOfMemory([&] { status = begin(*std::move(permit)); });
          if (!beginning.ok()) status = beginning;
        }
        if (!status.ok()) failed(status);
      });
}

void RunAdmitted(const ServiceContext& service, Admission::Request request,
                 TicketSlot& slot,
                 absl::AnyInvocable<void(Admission::Permit&)> work,
                 absl::AnyInvocable<void(const absl::Status&)> failed) {
  // Run destroys what it refuses, and somebody must still be told.
  auto fail = std::make_shared<absl::AnyInvocable<void(const absl::Status&)>>(
      std::move(failed));
  slot.Set(EnterAdmission(
      service, std::move(request),
      [&service, work = std::move(work),
       fail](std::shared_ptr<Admission::Permit> permit) mutable {
        return service.sessions->Run([permit = std::move(permit),
                                      work = std::move(work), fail]() mutable {
          const absl::Status done = CatchOutOfMemory([&] { work(*permit); });
          if (!done.ok()) (*fail)(done);
        });
      },
      [fail](const absl::Status& why) { (*fail)(why); }));
}

}  // namespace longhand
