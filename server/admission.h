// Admission: who may begin to compute, and when. Every request says what it
// will cost before any work is done for it. It begins at once while a place is
// free, waits in a bounded queue that is fair between tenants, or is refused at
// once with advice on when to come again. Owned by the Server, outlives every
// call. Thread-safe; never blocks.
//
// Places are counted by class: short requests do not wait for places that long
// ones hold, nor these for streams whose clients may be slow. The encoder's
// scheduler shares the CPU among those that have begun.
//
// Refused are: who has used up its quota; who would wait for too long, or until
// its deadline cannot be met any more, as far as the learnt throughput says; a
// full queue's newest request of the tenant that has most in it. What has
// waited until its deadline cannot be met is dropped when its turn comes.
#ifndef LONGHAND_SERVER_ADMISSION_H_
#define LONGHAND_SERVER_ADMISSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/fair_queue.h"
#include "server/tenant_policy.h"
#include "server/throughput.h"

namespace longhand {

// What decides on a request's place in Admission.
enum class RequestClass { kShort, kLong, kStream };
inline constexpr std::array<RequestClass, 3> kRequestClasses = {
    RequestClass::kShort, RequestClass::kLong, RequestClass::kStream};
std::string_view RequestClassName(RequestClass request_class);

// Why a request was refused.
enum class Refusal { kQueueFull, kInfeasible, kExpired, kQuota };
inline constexpr std::array<Refusal, 4> kRefusals = {
    Refusal::kQueueFull, Refusal::kInfeasible, Refusal::kExpired,
    Refusal::kQuota};
std::string_view RefusalName(Refusal refusal);

struct AdmissionOptions {
  // Requests of no more tokens are short.
  uint64_t short_tokens = 2048;
  // Places by class, in the order of kRequestClasses.
  std::array<int, 3> places = {16, 8, 64};
  // Running requests from which on all workers have something to do.
  int workers = 1;
  // What may wait in each class, all tenants together.
  size_t max_queued = 1024;
  uint64_t max_queued_bytes = uint64_t{64} << 20;
  // A request that would probably wait for longer is refused at once.
  absl::Duration max_wait = absl::Seconds(10);
};

// What Admission tells whoever counts. Called without locks, from any thread.
class AdmissionObserver {
 public:
  virtual ~AdmissionObserver() = default;
  virtual void OnBegin(RequestClass request_class, absl::Duration waited) = 0;
  virtual void OnRefusal(Refusal refusal) = 0;
};

class Admission {
 public:
  struct Request {
    std::string tenant;
    std::shared_ptr<const TenantPolicy> policy;  // null: no limits
    // Of the content: text, or four bytes a token.
    uint64_t bytes = 0;
    // Of the content; for text see EstimateTokens.
    double tokens = 0;
    bool is_stream = false;  // its content comes later, `bytes` and all
    absl::Time deadline = absl::InfiniteFuture();
  };

  // A place. Destroying it gives it back. Thread-safe.
  class Permit {
   public:
    ~Permit();
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;

    // So much of the content has been received and encoded so far; never less
    // than before.
    void OnProgress(uint64_t received_bytes, uint64_t received_tokens,
                    uint64_t encoded_tokens);

   private:
    friend class Admission;
    struct Seen {
      uint64_t bytes = 0, received = 0, encoded = 0;
    };
    Permit(Admission* admission, RequestClass request_class,
           const Request& request, double cost)
        : admission_(admission),
          class_(request_class),
          tenant_(request.tenant),
          left_(cost),
          charged_(request.tokens) {}

    Admission* const admission_;
    const RequestClass class_;
    const std::string tenant_;
    // Guarded by the admission's lock.
    absl::Time begin_;
    absl::Duration predicted_;  // from its place to its end; 0: nobody knows
    double left_;               // of what it will probably take, in tokens
    double charged_;            // to its tenant, in tokens
    Seen seen_;
  };
  using Ready =
      absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<Permit>>)>;

  // A request that may still wait. Thread-safe.
  class Ticket {
   public:
    // If it still waits it leaves the queue and `ready` gets `why`.
    void Cancel(const absl::Status& why);

   private:
    friend class Admission;
    struct Waiting {
      Request request;
      absl::Time since;
      Ready ready;
    };
    Ticket(Admission* admission, std::string tenant, RequestClass request_class)
        : admission_(admission),
          tenant_(std::move(tenant)),
          class_(request_class) {}

    Admission* const admission_;
    const std::string tenant_;
    const RequestClass class_;
    // Guarded by the admission's lock; null once it waits no more.
    std::unique_ptr<Waiting> waiting_;
  };

  // `observer` may be null; `now` is for tests.
  explicit Admission(const AdmissionOptions& options,
                     AdmissionObserver* observer = nullptr,
                     std::function<absl::Time()> now = &absl::Now);
  // REQUIRES: no ticket waits and no permit is out.
  ~Admission();

  // Calls `ready` exactly once, without locks: with a permit or an error,
  // before this returns or later from any thread. It must not block, and must
  // answer its call itself if it runs out of memory.
  // UNAVAILABLE: OVERLOADED, DEADLINE_INFEASIBLE; DEADLINE_EXCEEDED
  // (QUEUE_TIMEOUT); RESOURCE_EXHAUSTED: TENANT_QUOTA, TENANT_DOCUMENTS. All
  // but the last two and QUEUE_TIMEOUT are worth another try; they say when in
  // the metadata retry_after_ms.
  std::shared_ptr<Ticket> Enter(Request request, Ready ready)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Of a text, by what texts so far had.
  double EstimateTokens(uint64_t text_bytes) const ABSL_LOCKS_EXCLUDED(mu_);

  struct ClassStats {
    size_t queued = 0;
    double queued_tokens = 0;  // what they cost, as estimated
    int running = 0;
  };
  struct Stats {
    std::array<ClassStats, 3> classes;  // in the order of kRequestClasses
    double tokens_per_second = 0;       // 0: not known yet
  };
  Stats stats() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Lane {
    FairQueue<std::shared_ptr<Ticket>> queue;
    uint64_t queued_bytes = 0;
    int running = 0;
    double tokens_left = 0;  // of what runs, as estimated
  };
  struct Tenant {
    int documents = 0;  // that wait or run
    // Tokens that may be used at once, as of `since`; below 0: debt.
    double allowance = 0;
    absl::Time since;
    std::shared_ptr<const TenantPolicy> policy;
  };
  // What is to be told once the lock is gone.
  struct Outcome {
    Ready ready;
    absl::StatusOr<std::shared_ptr<Permit>> result;
    RequestClass request_class;
    absl::Duration waited;
    std::optional<Refusal> refusal;
  };
  using Outcomes = std::vector<Outcome>;

  Lane& lane(RequestClass request_class) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return lanes_[static_cast<size_t>(request_class)];
  }
  int places(RequestClass request_class) const {
    return options_.places[static_cast<size_t>(request_class)];
  }
  RequestClass ClassOf(const Request& request) const;

  struct Refused {
    absl::Status why;
    Refusal refusal;
  };
  std::optional<Refused> CheckQuota(const Request& request, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of a request that would have to wait.
  std::optional<Refused> CheckWait(const Request& request,
                                   RequestClass request_class, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of one whose turn has come.
  std::optional<Refused> CheckTurn(const Request& request,
                                   RequestClass request_class, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Room in the queue, at another tenant's cost if it must be.
  bool MakeRoom(const Request& request, RequestClass request_class,
                Outcomes* outcomes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Seconds until the request probably gets its place.
  double PredictWait(const Request& request, RequestClass request_class)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Seconds from its place to its end, beside what runs already.
  double PredictWork(const Request& request, RequestClass request_class)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // To the queue, or with an error to `outcomes`.
  void Wait(const std::shared_ptr<Ticket>& ticket, Request request, Ready ready,
            absl::Time now, Outcomes* outcomes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<Permit> Grant(const Request& request,
                                RequestClass request_class)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Gives free places to those that wait.
  void Fill(RequestClass request_class, absl::Time now, Outcomes* outcomes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of a ticket that has left the queue.
  std::unique_ptr<Ticket::Waiting> TakeWaiting(Ticket& ticket)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LearnBytesPerToken(const Permit::Seen& seen)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // One that leaves the queue without a place gives its tenant back what it
  // has taken.
  void GiveUp(const Request& request, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Tenant& FindTenant(const Request& request, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // With its allowance as of `now`.
  void Refresh(Tenant& tenant, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveTenant(const std::string& name, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UpdateBusy(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void Cancel(Ticket& ticket, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);
  void OnProgress(Permit& permit, const Permit::Seen& now_seen)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Release(Permit& permit) ABSL_LOCKS_EXCLUDED(mu_);
  void LearnMargin(const Permit& permit, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Tell(Outcomes outcomes) ABSL_LOCKS_EXCLUDED(mu_);

  static constexpr size_t kSweepAt = 1024;

  const AdmissionOptions options_;
  AdmissionObserver* const observer_;
  const std::function<absl::Time()> now_;

  mutable absl::Mutex mu_;
  std::array<Lane, 3> lanes_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Tenant> tenants_ ABSL_GUARDED_BY(mu_);
  // Tenants from which on those at rest are forgotten.
  size_t sweep_at_ ABSL_GUARDED_BY(mu_) = kSweepAt;
  Throughput throughput_ ABSL_GUARDED_BY(mu_);
  // By which predicted times are multiplied.
  double margin_ ABSL_GUARDED_BY(mu_) = 1.3;
  double bytes_per_token_ ABSL_GUARDED_BY(mu_) = 4;
};

}  // namespace longhand

#endif  // LONGHAND_SERVER_ADMISSION_H_
