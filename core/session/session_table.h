// SessionTable: the sessions that are in memory or on their way, by name and by
// time of last use. Thread-safe. No other lock is taken while its own is held,
// but by TakeRested's `may_go`.
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

  // Sessions that were given back to the store of this process's memory, least
  // recently used first, for whoever must make room there; takes the first that
  // `may_go`.
  void NoteRested(const SessionKey& key);
  std::optional<SessionKey> TakeRested(
      absl::FunctionRef<bool(const SessionKey&)> may_go);

 private:
  struct Slot {
    std::shared_ptr<SessionEntry> entry;
    int pins = 0;
    std::list<SessionKey>::iterator place;  // in order_
  };

  Pin MakePin(const SessionKey& key, bool is_user);
  void Unpin(const std::shared_ptr<SessionEntry>& entry, bool is_user);
  void ForgetRested(const SessionKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<SessionKey, Slot> slots_ ABSL_GUARDED_BY(mutex_);
  std::list<SessionKey> order_ ABSL_GUARDED_BY(mutex_);
  std::list<SessionKey> rested_ ABSL_GUARDED_BY(mutex_);
  std::map<SessionKey, std::list<SessionKey>::iterator> rested_places_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_TABLE_H_
