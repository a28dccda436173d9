// What the manager knows of one session: its entry in the table, which outlives
// its stay in memory, and the stay itself. Fields are guarded by the entry's
// mutex, which is never held while something is computed, read or written.
#ifndef LONGHAND_CORE_SESSION_SESSION_ENTRY_H_
#define LONGHAND_CORE_SESSION_SESSION_ENTRY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/session/append_protocol.h"
#include "core/session/session_document.h"
#include "core/session/session_manager.h"
#include "core/session/session_memory.h"
#include "core/store/session_store.h"

namespace longhand {

// A commit on its way, and the version of the session that it carries.
struct SessionWrite {
  SessionCommit commit;
  uint64_t version = 0;
};

// A session while it is in memory and this replica has its lease. Whoever works
// on it keeps a pointer; once `lost` is set, the session may live on elsewhere
// and nothing of this may be written or acknowledged any more.
struct Resident {
  // Constant.
  std::shared_ptr<const DocumentEncoder> encoder;
  absl::Time create_time;
  absl::Duration ttl;
  std::string parent;
  // Whether all its chunks were computed by servers of this operator: else none
  // that follows from them may be given to other sessions.
  bool trusted = true;

  // The content. The document is replaced, never changed.
  std::shared_ptr<const SessionDocument> document;
  SessionDigest digest{};
  std::vector<AppendRecord> appends;  // oldest first
  // Of the document's own bytes. Resized by the writer, or under the mutex
  // while there is none.
  std::shared_ptr<SessionMemory::Part> own_bytes;
  absl::Time last_use;
  // The change that runs now: its append_id, or "" if it has none.
  std::optional<std::string> writer;
  // Counts changes.
  uint64_t version = 0;
  absl::Time dirty_since = absl::InfiniteFuture();

  // The store's side. One call that depends on the generation at a time.
  bool store_busy = false;
  uint64_t generation = 0;
  absl::Time lease_start;
  absl::Time lease_end;  // by this replica's clock
  // The store may not have the session any more: to be asked before anything is
  // acknowledged.
  bool doubtful = false;
  // A write whose outcome is not known: to be tried again before any other.
  std::shared_ptr<const SessionWrite> unsettled;
  // What the store holds.
  uint64_t stored_version = 0;
  uint64_t stored_offset = 0;
  SessionDigest stored_digest{};
  absl::Time stored_expire_time;
  uint64_t durable_offset = 0;
  // Leading chunks that the store has.
  uint64_t stored_chunks = 0;
  // How far back changes went since the newest write was made up.
  uint64_t changed_offset = UINT64_MAX;
  uint64_t changed_chunk = UINT64_MAX;
  // The last change that does not show as a higher offset: an edit, or the
  // document's end. It takes a new generation, by which clients see that
  // offsets may have gone back, and the store a write from before that comes
  // late. Until the store has it, nobody is told of it.
  uint64_t back_version = 0;

  absl::Status lost;

  bool dirty() const { return stored_version < version; }
  bool went_back() const { return stored_version < back_version; }
  absl::Time expire_time() const { return last_use + ttl; }
  SessionPlace place() const {
    return {document->committed_offset(), durable_offset, digest,
            generation + (went_back() ? 1 : 0)};
  }

  // A change of the document that is complete: `first_chunk` is new.
  void Publish(SessionDocument next, uint64_t first_chunk, absl::Time now);
  // Publish of one that changed the content from `offset` on.
  void PublishEdit(SessionDocument next, uint64_t offset, uint64_t first_chunk,
                   absl::Time now);

  SessionHead MakeHead() const;
  // What brings the store up to date.
  std::shared_ptr<const SessionWrite> MakeWrite();
  // The store has `write`.
  void Settle(const SessionWrite& write, bool survives_crash);
};

struct SessionEntry {
  enum class Stage {
    kEmpty,   // not in memory
    kMoving,  // somebody brings it in or out
    kResident,
  };

  explicit SessionEntry(SessionKey the_key) : key(std::move(the_key)) {}

  const SessionKey key;
  // By who has made it kMoving.
  void EndMove(Stage next) ABSL_LOCKS_EXCLUDED(mutex) {
    absl::MutexLock lock(&mutex);
    stage = next;
  }

  // Calls that use the session now.
  std::atomic<int> users{0};

  absl::Mutex mutex;
  // Written under the mutex, by somebody who has a pin.
  std::atomic<Stage> stage{Stage::kEmpty};
  std::shared_ptr<Resident> resident;
};

// Whether nothing of the session is left but the answer why.
bool IsGravestone(const SessionHead& head);

// Of a session that rests in the store.
SessionInfo MakeInfo(const SessionKey& key, const SessionHead& head,
                     uint64_t generation, Durability durability);
// Of one in memory. REQUIRES: its entry's mutex.
SessionInfo MakeInfo(const SessionKey& key, const Resident& resident);

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_ENTRY_H_
