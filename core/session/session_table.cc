#include "core/session/session_table.h"

#include <utility>

namespace longhand {

SessionTable::Pin SessionTable::Use(const SessionKey& key) {
  return MakePin(key, /*is_user=*/true);
}

SessionTable::Pin SessionTable::Visit(const SessionKey& key) {
  return MakePin(key, /*is_user=*/false);
}

std::vector<SessionKey> SessionTable::Keys() const {
  absl::MutexLock lock(&mutex_);
  return {order_.begin(), order_.end()};
}

size_t SessionTable::size() const {
  absl::MutexLock lock(&mutex_);
  return slots_.size();
}

void SessionTable::NoteRested(const SessionKey& key,
                              std::shared_ptr<SessionMemory::Part> own_bytes) {
  std::list<Rested> added = {{key, std::move(own_bytes)}};
  // A charge that ends takes locks of its own.
  std::list<Rested> gone;
  absl::MutexLock lock(&mutex_);
  const auto [place, is_new] = rested_places_.try_emplace(key);
  if (!is_new) gone.splice(gone.end(), rested_, place->second);
  place->second = added.begin();
  rested_.splice(rested_.end(), added);
}

void SessionTable::ForgetRested(const SessionKey& key) {
  std::list<Rested> gone;
  absl::MutexLock lock(&mutex_);
  const auto found = rested_places_.find(key);
  if (found == rested_places_.end()) return;
  gone.splice(gone.end(), rested_, found->second);
  rested_places_.erase(found);
}

std::shared_ptr<SessionMemory::Part> SessionTable::RestedBytes(
    const SessionKey& key) const {
  absl::MutexLock lock(&mutex_);
  const auto found = rested_places_.find(key);
  return found == rested_places_.end() ? nullptr : found->second->own_bytes;
}

std::optional<SessionKey> SessionTable::FindRested(
    absl::FunctionRef<bool(const SessionKey&)> may_go) const {
  absl::MutexLock lock(&mutex_);
  for (const Rested& rested : rested_) {
    if (may_go(rested.key)) return rested.key;
  }
  return std::nullopt;
}

SessionTable::Pin SessionTable::MakePin(const SessionKey& key, bool is_user) {
  absl::MutexLock lock(&mutex_);
  auto found = slots_.find(key);
  if (found == slots_.end()) {
    // What can fail for want of memory comes before anything is changed.
    auto entry = std::make_shared<SessionEntry>(key);
    std::list<SessionKey> place = {key};
    found = slots_.try_emplace(key).first;
    found->second.entry = std::move(entry);
    found->second.place = place.begin();
    order_.splice(order_.end(), place);
  } else if (is_user) {
    order_.splice(order_.end(), order_, found->second.place);
  }
  Slot& slot = found->second;
  if (is_user) ++slot.entry->users;
  ++slot.pins;
  return Pin(this, slot.entry, is_user);
}

void SessionTable::Unpin(const std::shared_ptr<SessionEntry>& entry,
                         bool is_user) {
  absl::MutexLock lock(&mutex_);
  const auto found = slots_.find(entry->key);
  Slot& slot = found->second;
  if (is_user) --entry->users;
  // With no pin left nobody changes the stage.
  if (--slot.pins == 0 && entry->stage == SessionEntry::Stage::kEmpty) {
    order_.erase(slot.place);
    slots_.erase(found);
  }
}

}  // namespace longhand
