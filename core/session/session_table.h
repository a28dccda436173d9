// SessionTable: the sessions that are in memory or on their way, by name and by
// time of last use, and those that rest in a store of this process's memory.
// Thread-safe. No other lock is taken while its own is held, but by
// FindRested's `may_go`.
#ifndef LONGHAND_CORE_SESSION_SESSION_TABLE_H_
#define LONGHAND_CORE_SESSION_SESSION_TABLE_H_

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "core/session/session_entry.h"
#include "core/session/session_memory.h"

namespace longhand {

class SessionTable {
 public:
  // Keeps an entry in the table. Move-only.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept { *this = std::move(other); }
    Pin& operator=(Pin&& other) noexcept {
      std::swap(table_, other.table_);
      std::swap(entry_, other.entry_);
      std::swap(is_user_, other.is_user_);
      std::swap(resident, other.resident);
      return *this;
    }
    ~Pin() {
      if (table_ != nullptr) table_->Unpin(entry_, is_user_);
    }

    SessionEntry& entry() const { return *entry_; }
    // As the pin's owner found it.
    std::shared_ptr<Resident> resident;

   private:
    friend class SessionTable;
    Pin(SessionTable* table, std::shared_ptr<SessionEntry> entry, bool is_user)
        : table_(table), entry_(std::move(entry)), is_user_(is_user) {}

    SessionTable* table_ = nullptr;
    std::shared_ptr<SessionEntry> entry_;
    bool is_user_ = false;
  };

  // For a call: makes the entry if there is none, counts as a user of it and as
  // a use.
  Pin Use(const SessionKey& key);
  // For upkeep: does not count as a use.
  Pin Visit(const SessionKey& key);

  // Names of all entries, those that were used least recently first.
  std::vector<SessionKey> Keys() const;
  size_t size() const;

  // Sessions that were given back to a store of this process's memory, for
  // whoever must make room there, with the charge for what the store keeps of
  // them besides encoded chunks. REQUIRES of what changes one, and of who
  // changes the charge: the caller has made the session's entry kMoving, or the
  // session is gone.
  void NoteRested(const SessionKey& key,
                  std::shared_ptr<SessionMemory::Part> own_bytes);
  // Nothing if it does not rest.
  void ForgetRested(const SessionKey& key);
  // Null if it does not rest.
  std::shared_ptr<SessionMemory::Part> RestedBytes(const SessionKey& key) const;
  // The one that has rested longest among those that `may_go`.
  std::optional<SessionKey> FindRested(
      absl::FunctionRef<bool(const SessionKey&)> may_go) const;

 private:
  struct Slot {
    std::shared_ptr<SessionEntry> entry;
    int pins = 0;
    std::list<SessionKey>::iterator place;  // in order_
  };

  struct Rested {
    SessionKey key;
    std::shared_ptr<SessionMemory::Part> own_bytes;
  };

  Pin MakePin(const SessionKey& key, bool is_user);
  void Unpin(const std::shared_ptr<SessionEntry>& entry, bool is_user);

  mutable absl::Mutex mutex_;
  std::map<SessionKey, Slot> slots_ ABSL_GUARDED_BY(mutex_);
  std::list<SessionKey> order_ ABSL_GUARDED_BY(mutex_);
  std::list<Rested> rested_ ABSL_GUARDED_BY(mutex_);
  std::map<SessionKey, std::list<Rested>::iterator> rested_places_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_TABLE_H_
