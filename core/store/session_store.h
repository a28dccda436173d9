// SessionStore: where sessions are kept beyond the memory of the process that
// works on them, and who may write them. Every implementation runs through the
// shared conformance suite. Thread-safe; calls may block on I/O.
//
// A session has one owner at a time: the holder of its lease. Taking a session
// over gives it a new generation, and every write says which generation it
// belongs to; the store itself refuses a write of an old one, so that an owner
// that was paused past its lease cannot do harm.
#ifndef LONGHAND_CORE_STORE_SESSION_STORE_H_
#define LONGHAND_CORE_STORE_SESSION_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/registry.h"
#include "core/store/chunk_record.h"
#include "core/store/session_head.h"
#include "core/store/session_key.h"

namespace longhand {

// Who asks for a lease.
struct LeaseRequest {
  // Names this process for other replicas: what a client should send its call
  // to. At most 255 bytes, printable.
  std::string owner;
  absl::Duration duration;
  // Of the caller; stores with their own clock use that instead.
  absl::Time now;
};

struct Lease {
  uint64_t generation = 0;
  SessionHead head;
};

// Turns stored bytes back into a chunk state; knows its layout and codec.
class StateDecoder {
 public:
  virtual ~StateDecoder() = default;
  // own_tokens: of the chunk. DATA_LOSS (STATE_CORRUPT) if the bytes are not
  // such a state.
  virtual absl::StatusOr<std::shared_ptr<const ChunkState>> DecodeState(
      int own_tokens, std::string_view bytes) const = 0;
};

// One atomic change of a session.
struct SessionCommit {
  // That of the lease.
  uint64_t generation = 0;
  // The generation from now on: the same, or higher by one where offsets went
  // back.
  uint64_t new_generation = 0;
  // What the store must hold before: a store that lost a write is noticed.
  uint64_t expected_offset = 0;
  SessionHead head;
  // Chunks [first_chunk, head.num_chunks) are `chunks`; those before stay.
  uint64_t first_chunk = 0;
  std::vector<std::shared_ptr<const ChunkRecord>> chunks;
};

struct StoredSession {
  SessionId id{};
  uint64_t generation = 0;
  SessionHead head;
};

struct SessionStoreStats {
  uint64_t sessions = 0;
  uint64_t bytes = 0;      // held, as far as the store knows
  uint64_t evictions = 0;  // since the start
};

// Errors of all calls: UNAVAILABLE (STORE_UNAVAILABLE) if the store cannot be
// reached or refuses to write: try again later; DATA_LOSS (STORE_CORRUPT) if
// what it holds fails its checksum or cannot be parsed.
class SessionStore {
 public:
  virtual ~SessionStore() = default;

  virtual std::string_view name() const = 0;
  // What a successful Commit means.
  virtual Durability durability() const = 0;

  // A new session, leased, of generation 1. ALREADY_EXISTS (SESSION_EXISTS).
  // REQUIRES: head.num_chunks == 0; chunks come with the first commit.
  virtual absl::StatusOr<Lease> Create(const SessionKey& key,
                                       const SessionHead& head,
                                       const LeaseRequest& request) = 0;
  // Takes the lease, with a new generation, or renews the owner's own without
  // one. NOT_FOUND (SESSION_NOT_FOUND); ABORTED (WRONG_REPLICA, metadata
  // "owner") while another's lease is valid.
  virtual absl::StatusOr<Lease> Acquire(const SessionKey& key,
                                        const LeaseRequest& request) = 0;
  // Prolongs it. ABORTED (STALE_GENERATION) if it is not this generation's and
  // owner's any more, or the session is gone.
  virtual absl::Status Renew(const SessionKey& key, uint64_t generation,
                             const LeaseRequest& request) = 0;
  // Gives it back, so that others need not wait for its end. OK if it was lost.
  virtual absl::Status Release(const SessionKey& key, uint64_t generation) = 0;

  // Chunks [begin, end), all of which the head must have. `decoder` makes their
  // states; their `charge` is null.
  virtual absl::StatusOr<std::vector<std::shared_ptr<const ChunkRecord>>>
  ReadChunks(const SessionKey& key, uint64_t begin, uint64_t end,
             const StateDecoder& decoder) = 0;

  // All or nothing. Once it returns, the change is as durable as durability()
  // says. ABORTED (STALE_GENERATION); DATA_LOSS (STORE_LOST_WRITES) if
  // expected_offset is not what the store holds. After UNAVAILABLE the change
  // may or may not be there; the same commit may be tried again and is then
  // applied once (a store that finds new_generation and head.digest in place
  // answers OK). A session that is gone counts as taken over by another.
  virtual absl::Status Commit(const SessionKey& key,
                              const SessionCommit& commit) = 0;

  // Removes everything. ABORTED (STALE_GENERATION). OK if there is nothing. A
  // session whose head is damaged is removed whatever its generation.
  virtual absl::Status Delete(const SessionKey& key, uint64_t generation) = 0;

  // The next sessions of a tenant after `after` by id, gravestones included,
  // `limit` at most; without a lease.
  virtual absl::StatusOr<std::vector<StoredSession>> List(
      const std::string& tenant, const SessionId* after, size_t limit) = 0;
  // The head without a lease. NOT_FOUND (SESSION_NOT_FOUND).
  virtual absl::StatusOr<StoredSession> ReadHead(const SessionKey& key) = 0;
  // Of all tenants: sessions whose expire_time lies before `time`, `limit` at
  // most. To the millisecond. May name damaged ones.
  virtual absl::StatusOr<std::vector<SessionKey>> ListExpired(absl::Time time,
                                                              size_t limit) = 0;

  // OK if writes work now. Tries to recover: a store whose background work
  // stopped (a full disk) is opened again here.
  virtual absl::Status CheckHealth() = 0;
  virtual SessionStoreStats stats() const = 0;
};

struct SessionStoreOptions {
  // rocksdb: the directory, made if it is missing.
  std::string path;
  // rocksdb: what to do with a database that cannot be opened: refuse to start,
  // or move it aside and start empty.
  bool quarantine_corrupt = false;
  // redis: HOST:PORT or an absolute path of a Unix socket.
  std::string address;
  std::string username;
  std::string password;
  std::string tls_ca_file;  // redis: "" for no TLS
  std::string tls_cert_file, tls_key_file;
  // Prefix of all keys in a shared store.
  std::string key_prefix = "longhand:";
  absl::Duration timeout = absl::Seconds(2);
  // memory: bytes of sessions that are not leased; the least recently used ones
  // go first. 0: none is kept.
  uint64_t max_bytes = 0;
};

// What a line of session_stores.def names. FAILED_PRECONDITION (STORE_OPEN)
// with what to do.
using SessionStoreFactory =
    absl::StatusOr<std::unique_ptr<SessionStore>>(const SessionStoreOptions&);

const Registry<SessionStoreFactory>& SessionStoreRegistry();

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_SESSION_STORE_H_
