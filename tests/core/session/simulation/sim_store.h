// SimStore: a shared store for the simulation: the leases and commits of the
// real ones, over a map, with a clock of its own, calls that take their time,
// answers that get lost, writes that arrive late, and failovers that forget.
// Each replica has a connection of its own. Used under a Baton.
#ifndef LONGHAND_TESTS_CORE_SESSION_SIMULATION_SIM_STORE_H_
#define LONGHAND_TESTS_CORE_SESSION_SIMULATION_SIM_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/session/session_document.h"
#include "core/store/lease_rules.h"
#include "core/store/session_store.h"
#include "tests/core/session/simulation/baton.h"

namespace longhand::testing {

struct SimFaults {
  // One call in so many; 0: none.
  uint64_t fail_before = 0;
  uint64_t fail_after = 0;  // done, but the answer is lost
  uint64_t late = 0;        // a commit that arrives after its call failed
  uint64_t slow = 0;
  bool down = false;
};

class SimStore {
 public:
  struct Session {
    uint64_t generation = 0;
    LeaseHolder holder;
    SessionHead head;
    ChunkRecords chunks;
  };

  SimStore(Baton* baton, const absl::Time* now) : baton_(baton), now_(now) {}

  SimFaults faults;
  // Sees everything that a commit left in place.
  std::function<void(const SessionKey&, const Session&)> on_commit;

  // Another way in. Once `*crashed`, it only fails.
  std::unique_ptr<SessionStore> Connect(const bool* crashed);

  // A replica took the place of the main store, and lacks the last writes of
  // some sessions, whose names it returns.
  std::set<SessionKey> FailOver();
  // One of the writes that are late arrives. False if there is none.
  bool DeliverLate();

  const std::map<SessionKey, Session>& sessions() const { return sessions_; }

 private:
  class Connection;
  struct Late {
    SessionKey key;
    SessionCommit commit;
  };

  absl::Status Apply(const SessionKey& key, const SessionCommit& commit);

  Baton* const baton_;
  const absl::Time* const now_;
  std::map<SessionKey, Session> sessions_;
  // What the other node may still have.
  std::map<SessionKey, std::vector<Session>> earlier_;
  std::map<SessionKey, uint64_t> generations_;  // the highest given
  std::vector<Late> late_;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_SIMULATION_SIM_STORE_H_
