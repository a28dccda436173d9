// SessionOracle: what one session may be, known from what was asked of it and
// answered. Every digest that is seen must be that of some order of the asked
// changes, each applied at most once and where it fits; every content must be
// the one of its digest; and what was acknowledged must be in what is seen
// afterwards. A plain object, used under a Baton. Failures are counted and
// described, and are those of the test.
#ifndef LONGHAND_TESTS_CORE_SESSION_SIMULATION_SESSION_ORACLE_H_
#define LONGHAND_TESTS_CORE_SESSION_SIMULATION_SESSION_ORACLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/session/append_protocol.h"
#include "core/session/session_manager.h"
#include "tests/core/session/simulation/sim_store.h"

namespace longhand::testing {

// A content, and how it came to be.
struct OracleState {
  std::vector<int32_t> ids;
  bool closed = false;
  SessionDigest digest{};
  std::vector<int> changes;  // applied, in order
};

// A change that was asked for, any number of times.
struct OracleChange {
  int number = 0;
  bool is_edit = false;
  AppendArgs append;
  EditArgs edit;
  int running = 0;
  // An answer left open whether it was applied, or said that it was.
  bool maybe_applied = false;
  bool acknowledged = false;
};

class SessionOracle {
 public:
  // What was known when a call began.
  struct Before {
    std::map<uint64_t, SessionPlace> places;  // by generation: the furthest
    std::vector<std::vector<int>> kept;
    int losses = 0;
    bool gone = false;
  };

  // `failures` takes descriptions.
  SessionOracle(SessionKey key, OracleState first, const absl::Time* now,
                std::vector<std::string>* failures);

  const SessionKey& key() const { return key_; }
  OracleChange& AddChange(OracleChange change, int number);
  OracleChange* AnyChange(uint64_t random);

  Before Begin() const { return {places_, kept_, losses_, gone_}; }
  // An answer that shows the session as it was at one time of the call. Null,
  // and a failure, if it cannot be.
  const OracleState* Saw(const Before& before, const SessionPlace& place,
                         const char* what);
  // The same for one that repeats what was answered before.
  const OracleState* SawOld(const SessionDigest& digest, const char* what);
  // A change was acknowledged so that it must stay.
  void MustKeep(const Before& before, const OracleState& state);
  // Whether what is stored has all changes of the state.
  bool Holds(const SimStore::Session& stored, const OracleState& state);
  int losses() const { return losses_; }
  // Whether what was known then still is.
  bool IsSettled(const Before& before) const {
    return before.losses == losses_ && *now_ >= unsettled_until_;
  }
  // What is in the store.
  void SawStored(const SimStore::Session& stored);
  // The chunks of an answer, [first, ...) of the state's.
  void CheckChunks(const OracleState& state,
                   const std::vector<ChunkResult>& chunks, bool with_tail);
  // A whole content.
  void CheckContent(const OracleState& state, const ChunkRecords& chunks,
                    const std::string& tail);

  // Sessions end.
  void NoteGone() { gone_ = may_be_gone_ = true; }
  void NoteMayBeGone() { may_be_gone_ = true; }
  bool gone() const { return may_be_gone_; }
  // The store forgot its last writes. Should it have forgotten the lease too,
  // two replicas may answer until `end`, when the old one has run out.
  void NoteLoss(absl::Time end);

  void Fail(const std::string& what);

 private:
  const OracleState* Find(const SessionDigest& digest);
  std::vector<OracleState> After(const OracleState& state) const;

  const SessionKey key_;
  const absl::Time* const now_;
  std::vector<std::string>* const failures_;
  std::vector<std::unique_ptr<OracleChange>> changes_;
  std::map<SessionDigest, OracleState> known_;
  std::map<uint64_t, SessionPlace> places_;
  std::vector<std::vector<int>> kept_;
  int losses_ = 0;
  absl::Time unsettled_until_ = absl::InfinitePast();
  bool gone_ = false;
  bool may_be_gone_ = false;
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_SIMULATION_SESSION_ORACLE_H_
