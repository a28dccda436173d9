// SimWorld: replicas over one store, clients that use them at the same time,
// and everything that can go wrong, all of it chosen by one seed. What the
// replicas answer goes to a SessionOracle each.
#ifndef LONGHAND_TESTS_CORE_SESSION_SIMULATION_SIM_WORLD_H_
#define LONGHAND_TESTS_CORE_SESSION_SIMULATION_SIM_WORLD_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/session/session_manager.h"
#include "tests/core/session/simulation/baton.h"
#include "tests/core/session/simulation/hash_model.h"
#include "tests/core/session/simulation/session_oracle.h"
#include "tests/core/session/simulation/sim_store.h"

namespace longhand::testing {

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed);
  ~SimWorld();

  // Returns what was wrong; empty if nothing was.
  std::vector<std::string> Run();

  // How often each reason was answered ("OK" for none), over all calls.
  const std::map<std::string, int>& answers() const { return answers_; }

 private:
  class Environment;

  // One life of one process.
  struct Replica {
    std::string owner;
    bool crashed = false;
    bool draining = false;
    int calls = 0;
    std::unique_ptr<SessionEnvironment> environment;
    std::unique_ptr<SessionStore> store;
    std::unique_ptr<HashSessionModel> model;
    std::unique_ptr<SessionManager> manager;
  };

  // A session as its client knows it.
  struct Session {
    std::unique_ptr<SessionOracle> oracle;
    uint64_t offset = 0;
    SessionDigest digest{};
    std::string owner;  // where it was last
    absl::Time last_use;
  };

  // A call in progress.
  struct Call {
    Replica* replica = nullptr;
    Session* session = nullptr;
    SessionOracle::Before before;
    absl::Time start;
    std::atomic<bool> cancelled{false};
    SessionCall call;
  };

  // The seed's way of things.
  void ChooseProfile();
  std::unique_ptr<Replica> MakeReplica(const std::string& owner);
  void Step();
  void StartCall();
  void Disturb();
  void Crash(size_t replica);
  void DrainReplica(size_t replica);
  void Heal();
  void CheckAfterwards();
  void CheckEnd(Session& session);

  // Runs on a thread of the call.
  using Action = std::function<void(Call&)>;
  void Run(Session* session, const Action& action);
  void Create(Call& call);
  void Append(Call& call);
  void RunAppend(Call& call, OracleChange& change, Durability durability);
  void Edit(Call& call);
  void RunEdit(Call& call, OracleChange& change);
  // What is called durable is in the store.
  void CheckDurable(Call& call, const SessionPlace& place);
  // A change was acknowledged as stored: so it is there, and stays.
  void MustKeepStored(Call& call, const OracleState& state);
  void Repeat(Call& call);
  void Get(Call& call);
  void List(Call& call);
  void Query(Call& call);
  void Fork(Call& call);
  void ExportImport(Call& call);
  void Delete(Call& call);
  void Intrude(Call& call);
  void ReadWhole(Call& call);

  static std::string ReasonOf(const absl::Status& status);
  // False if the answer is that of a process that is gone.
  bool Arrived(Call& call) const { return !call.replica->crashed; }
  // Checks an error, and whether it leaves open what happened.
  bool CheckError(Call& call, const absl::Status& status, const char* what);
  bool SawPlace(Call& call, const SessionInfo& info, const char* what,
                const OracleState** state);
  void AddSession(Call& call, const SessionInfo& info, OracleState first);
  absl::StatusOr<std::string> ExportBytes(Call& call);
  std::vector<int32_t> SomeIds(uint64_t most, int number);
  std::string AppendId(int number) const;
  bool Chance(uint64_t percent) { return baton_.Below(100) < percent; }

  const uint64_t seed_;
  Baton baton_;
  absl::Time now_;
  std::vector<std::string> failures_;
  std::map<std::string, int> answers_;
  SimStore store_;
  SessionManagerOptions options_;
  bool calm_ = false;  // one replica, and nothing but its store fails
  bool healed_ = false;
  uint64_t compute_failures_ = 0;
  int next_change_ = 1;
  int lives_ = 0;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<std::unique_ptr<Replica>> former_;
  std::deque<Session> sessions_;
  std::map<SessionKey, Session*> by_key_;
  std::vector<Call*> running_;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_SIMULATION_SIM_WORLD_H_
