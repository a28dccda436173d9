#include "core/session/session_table.h"

#include <algorithm>

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

void SessionTable::NoteRested(const SessionKey& key) {
  absl::MutexLock lock(&mutex_);
  ForgetRested(key);
  rested_places_[key] = rested_.insert(rested_.end(), key);
}

std::optional<SessionKey> SessionTable::TakeRested(
    absl::FunctionRef<bool(const SessionKey&)> may_go) {
  absl::MutexLock lock(&mutex_);
  const auto found = std::find_if(rested_.begin(), rested_.end(), may_go);
  if (found == rested_.end()) return std::nullopt;
  SessionKey key = *found;
  ForgetRested(key);
  return key;
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
  if (is_user) {
    ++slot.entry->users;
    ForgetRested(key);
  }
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

void SessionTable::ForgetRested(const SessionKey& key) {
  const auto found = rested_places_.find(key);
  if (found == rested_places_.end()) return;
  rested_.erase(found->second);
  rested_places_.erase(found);
}

}  // namespace longhand
