// ChunkCache: encoded chunks by their keys, so that content which a tenant sent
// before is not computed again. It knows every chunk that somebody still holds,
// and holds the most recently used ones itself. Tenants never see each other's
// chunks: each has a table of its own. Thread-safe.
#ifndef LONGHAND_CORE_SESSION_CHUNK_CACHE_H_
#define LONGHAND_CORE_SESSION_CHUNK_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/store/chunk_record.h"
#include "core/store/session_key.h"

namespace longhand {

class ChunkCache {
 public:
  // Holds at most so many bytes itself. 0: none.
  explicit ChunkCache(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // Null if there is none.
  std::shared_ptr<const EncodedChunk> Find(const std::string& tenant,
                                           const ChunkKey& key);
  void Keep(const std::string& tenant,
            std::shared_ptr<const EncodedChunk> chunk);

  // Lets go of chunks that nobody else holds, least recently used first, until
  // they are `bytes` or none is left. Returns their bytes.
  uint64_t Shrink(uint64_t bytes);

  // Of chunks that nobody else holds.
  uint64_t own_bytes() const;
  uint64_t hits() const;
  uint64_t misses() const;

 private:
  struct Held {
    std::string tenant;
    std::shared_ptr<const EncodedChunk> chunk;
  };
  struct Known {
    std::weak_ptr<const EncodedChunk> chunk;
    // In held_, or its end.
    std::list<Held>::iterator place;
  };
  using Table = std::map<ChunkKey, Known>;

  // Puts the chunk first; makes room for it.
  void Hold(const std::string& tenant, Known& known,
            const std::shared_ptr<const EncodedChunk>& chunk)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<const EncodedChunk> LetGo(std::list<Held>::iterator place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets chunks that are gone, once there may be many.
  void Sweep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t max_bytes_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Table> tables_ ABSL_GUARDED_BY(mutex_);
  size_t known_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = 1024;
  // Most recently used first.
  std::list<Held> held_ ABSL_GUARDED_BY(mutex_);
  uint64_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t misses_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_CHUNK_CACHE_H_
