#include "core/session/chunk_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace longhand {

std::shared_ptr<const EncodedChunk> ChunkCache::Find(const std::string& tenant,
                                                     const ChunkKey& key) {
  absl::MutexLock lock(&mutex_);
  const auto table = tables_.find(tenant);
  if (table != tables_.end()) {
    const auto known = table->second.find(key);
    if (known != table->second.end()) {
      if (auto chunk = known->second.chunk.lock()) {
        ++hits_;
        Hold(tenant, known->second, chunk);
        return chunk;
      }
    }
  }
  ++misses_;
  return nullptr;
}

void ChunkCache::Keep(const std::string& tenant,
                      std::shared_ptr<const EncodedChunk> chunk) {
  absl::MutexLock lock(&mutex_);
  const auto [known, is_new] =
      tables_[tenant].try_emplace(chunk->key, Known{chunk, held_.end()});
  if (is_new) {
    ++known_;
  } else if (known->second.chunk.lock() != chunk) {
    if (known->second.place != held_.end()) LetGo(known->second.place);
    known->second.chunk = chunk;
  }
  Hold(tenant, known->second, chunk);
  if (known_ >= sweep_at_) Sweep();
}

uint64_t ChunkCache::Shrink(uint64_t bytes) {
  // Destroyed after the lock is gone.
  std::vector<std::shared_ptr<const EncodedChunk>> gone;
  uint64_t freed = 0;
  absl::MutexLock lock(&mutex_);
  for (auto place = held_.end(); place != held_.begin() && freed < bytes;) {
    --place;
    if (place->chunk.use_count() > 1) continue;
    freed += place->chunk->bytes();
    const auto next = std::next(place);
    gone.push_back(LetGo(place));
    place = next;
  }
  return freed;
}

uint64_t ChunkCache::own_bytes() const {
  absl::MutexLock lock(&mutex_);
  uint64_t bytes = 0;
  for (const Held& held : held_) {
    if (held.chunk.use_count() == 1) bytes += held.chunk->bytes();
  }
  return bytes;
}

uint64_t ChunkCache::hits() const {
  absl::MutexLock lock(&mutex_);
  return hits_;
}

uint64_t ChunkCache::misses() const {
  absl::MutexLock lock(&mutex_);
  return misses_;
}

void ChunkCache::Hold(const std::string& tenant, Known& known,
                      const std::shared_ptr<const EncodedChunk>& chunk) {
  if (known.place != held_.end()) {
    held_.splice(held_.begin(), held_, known.place);
    return;
  }
  if (chunk->bytes() > max_bytes_) return;
  held_bytes_ += chunk->bytes();
  held_.push_front({tenant, chunk});
  known.place = held_.begin();
  while (held_bytes_ > max_bytes_) LetGo(std::prev(held_.end()));
}

std::shared_ptr<const EncodedChunk> ChunkCache::LetGo(
    std::list<Held>::iterator place) {
  auto chunk = std::move(place->chunk);
  held_bytes_ -= chunk->bytes();
  tables_.at(place->tenant).at(chunk->key).place = held_.end();
  held_.erase(place);
  return chunk;
}

void ChunkCache::Sweep() {
  for (auto table = tables_.begin(); table != tables_.end();) {
    known_ -= std::erase_if(table->second, [](const auto& known) {
      return known.second.chunk.expired();
    });
    table = table->second.empty() ? tables_.erase(table) : std::next(table);
  }
  sweep_at_ = std::max<size_t>(1024, 2 * known_);
}

}  // namespace longhand
