// SessionManager: sessions as a resource: who may do what to which one, exactly
// once, within a memory budget, kept in a store. One per server. Thread-safe.
// Calls block on computation and on the store; run them on threads that may
// block (BlockingPool), never on the encoder's workers or on the network
// library's.
//
// Protocol and reasons: docs/sessions.md. The error table there is evaluated in
// its order. Every error about a session that exists carries the metadata
// current_offset, durable_offset, state_digest (hexadecimal) and generation.
#ifndef LONGHAND_CORE_SESSION_SESSION_MANAGER_H_
#define LONGHAND_CORE_SESSION_SESSION_MANAGER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/encode_types.h"
#include "core/session/document_encoder.h"
#include "core/session/session_document.h"
#include "core/store/session_head.h"
#include "core/store/session_key.h"
#include "core/store/session_store.h"
#include "core/store/snapshot.h"

namespace longhand {

// Time, randomness, and the places where another thread may go first. The
// simulation puts its own here.
class SessionEnvironment {
 public:
  virtual ~SessionEnvironment() = default;
  virtual absl::Time Now() = 0;  // monotonic within a process
  virtual void RandomBytes(uint8_t* bytes, size_t size) = 0;
  // Called without locks held wherever a call is about to block.
  virtual void Yield() {}
  // Waits until `condition` holds, at most about `patience`; says whether it
  // does. `mutex` is held before and after, but not in between.
  virtual bool Await(absl::Mutex& mutex, const absl::Condition& condition,
                     absl::Duration patience)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // As stop.Check(), by this environment's clock.
  virtual absl::Status CheckStop(const StopCondition& stop);
  // Await until `condition` holds; an error of CheckStop ends it as well.
  absl::Status WaitUntil(absl::Mutex& mutex, const absl::Condition& condition,
                         const StopCondition& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  // getrandom(2), the steady clock.
  static SessionEnvironment* Real();
};

struct SessionManagerOptions {
  // Bytes of chunk states, text and tokens that all sessions in memory and the
  // content cache may hold.
  uint64_t max_memory_bytes = 0;
  // Of which the content cache keeps at most so much beyond what sessions hold
  // themselves. 0: it keeps nothing by itself.
  uint64_t max_cache_bytes = 0;
  uint64_t max_document_bytes = uint64_t{64} << 20;
  // Of one append: bytes of text, or four bytes a token.
  uint64_t max_append_bytes = uint64_t{1} << 20;
  int max_sessions_per_tenant = 10000;
  absl::Duration default_ttl = absl::Hours(1);
  absl::Duration max_ttl = absl::Hours(24 * 30);
  // How long an expired or evicted session is told from an unknown one.
  absl::Duration gravestone_ttl = absl::Minutes(10);
  absl::Duration lease_duration = absl::Seconds(30);
  // A session that is not used for so long gives its memory and lease back to
  // the store.
  absl::Duration idle_release = absl::Minutes(1);
  // Changes that were acknowledged as kMemory reach the store after so long.
  absl::Duration write_behind = absl::Seconds(5);
  std::string owner = "local";  // see LeaseRequest
  std::string snapshot_key;     // see SnapshotOptions
  uint64_t max_snapshot_bytes = uint64_t{16} << 30;
};

// Who calls and until when.
struct SessionCall {
  std::string tenant;
  // Of the tenant, if lower than max_sessions_per_tenant. 0: that.
  int max_sessions = 0;
  StopCondition stop;
};

struct SessionInfo {
  SessionKey key;
  SessionState state = SessionState::kOpen;
  EncodeOptions options;
  ContentKind kind = ContentKind::kUnknown;
  uint64_t committed_offset = 0;
  uint64_t durable_offset = 0;
  uint64_t encoded_offset = 0;
  uint64_t num_chunks = 0;
  uint64_t num_tokens = 0;
  uint64_t state_bytes = 0;  // in memory; 0 for a session that is only stored
  bool resident = false;
  SessionDigest digest{};
  uint64_t generation = 0;
  absl::Time create_time;
  absl::Time expire_time;
  std::string parent;
};

struct AppendArgs {
  std::optional<uint64_t> expected_offset;
  std::string append_id;  // 16 bytes
  Content content;
  std::optional<uint32_t> payload_crc32c;
  Durability min_durability = Durability::kMemory;
  std::optional<SessionDigest> if_state_digest;
  // Also the chunks of the unfinished tail, as if the document ended here.
  bool provisional = false;
  // Ends the document after this append, whose content may then be empty.
  bool close = false;
};

struct AppendResult {
  uint64_t committed_offset = 0;
  uint64_t durable_offset = 0;
  uint64_t encoded_offset = 0;
  bool duplicate = false;
  SessionDigest digest{};
  uint64_t generation = 0;
  uint64_t computed_tokens = 0;
  uint64_t reused_tokens = 0;
  // Chunks that became final; none for a duplicate. Without vectors where they
  // come from a second look (two_pass).
  std::vector<ChunkResult> chunks;
  // Asked for with `provisional`: the tail's; all of them in two_pass.
  std::vector<ChunkResult> provisional_chunks;
};

// A rewind is an edit that replaces everything from `begin` on by nothing.
struct EditArgs {
  uint64_t begin = 0;
  uint64_t end = UINT64_MAX;  // UINT64_MAX: the end
  Content content = std::string();
  std::optional<SessionDigest> if_state_digest;
  Durability min_durability = Durability::kMemory;
};

struct EditResult {
  SessionInfo info;
  uint64_t old_chunks = 0;
  // Results of the final chunks that changed, in order. In two_pass all chunks,
  // the tail's included, as if the document ended here.
  std::vector<ChunkResult> changed;
  uint64_t computed_tokens = 0;
  uint64_t reused_tokens = 0;
};

struct QueryArgs {
  // Each UTF-8 text or token ids.
  std::vector<Content> questions;
  int max_attended = 10;  // chunks by retrieval weight
  int max_similar = 10;   // chunks by cosine of vectors
  bool texts = false;     // the chunks' texts as well
  // Taken away or added for the comparison, see EncodeOptions.
  float document_weight = 0;
};

struct ScoredChunk {
  uint64_t index = 0;
  uint64_t begin_byte = 0, end_byte = 0;
  uint64_t begin_token = 0, end_token = 0;
  float score = 0;  // weight or cosine
  std::string text;
};

struct QueryAnswer {
  std::vector<float> vector;          // [hidden], in the document's context
  std::vector<float> own_vector;      // [hidden], of the question alone
  std::vector<ScoredChunk> attended;  // descending
  std::vector<ScoredChunk> similar;   // descending; by own_vector
};

struct QueryResult {
  std::vector<QueryAnswer> answers;
  uint64_t committed_offset = 0;
  uint64_t num_chunks = 0;  // that were searched, the tail's included
  SessionDigest digest{};
};

struct SessionPage {
  std::vector<SessionInfo> sessions;
  std::string next_page_token;  // "": the end
};

struct SessionManagerStats {
  uint64_t resident_sessions = 0;
  uint64_t memory_bytes = 0;  // charged, the cache included
  uint64_t memory_limit_bytes = 0;
  uint64_t cache_bytes = 0;                   // held by the cache alone
  uint64_t cache_hits = 0, cache_misses = 0;  // chunks
  uint64_t evictions = 0;                     // sessions put out of memory
  uint64_t restores = 0;                      // sessions loaded from the store
  uint64_t fencing_rejected = 0;
  uint64_t checksum_failures = 0;
  uint64_t store_errors = 0;
  uint64_t expired = 0;
  uint64_t dirty_sessions = 0;
  bool store_healthy = true;
};

class SessionManager {
 public:
  // All of these outlive the manager. INVALID_ARGUMENT (CONFIG_INVALID).
  static absl::StatusOr<std::unique_ptr<SessionManager>> Create(
      SessionModel* model, SessionStore* store, SessionEnvironment* environment,
      const SessionManagerOptions& options);

  // Flushes what it can (Drain).
  virtual ~SessionManager() = default;

  // Without a ttl: the default. TTL_OUT_OF_RANGE.
  virtual absl::StatusOr<SessionInfo> CreateSession(
      const SessionCall& call, const EncodeOptions& options,
      std::optional<absl::Duration> ttl) = 0;
  virtual absl::StatusOr<SessionInfo> GetSession(const SessionCall& call,
                                                 const SessionId& id) = 0;
  // Newest state; page_token as it was given. INVALID_ARGUMENT
  // (PAGE_TOKEN_INVALID).
  virtual absl::StatusOr<SessionPage> ListSessions(
      const SessionCall& call, int page_size,
      const std::string& page_token) = 0;
  // OK as well if it expired; NOT_FOUND if it never was.
  virtual absl::Status DeleteSession(const SessionCall& call,
                                     const SessionId& id) = 0;

  virtual absl::StatusOr<AppendResult> Append(const SessionCall& call,
                                              const SessionId& id,
                                              const AppendArgs& args) = 0;
  virtual absl::StatusOr<EditResult> Edit(const SessionCall& call,
                                          const SessionId& id,
                                          const EditArgs& args) = 0;
  virtual absl::StatusOr<QueryResult> Query(const SessionCall& call,
                                            const SessionId& id,
                                            const QueryArgs& args) = 0;
  virtual absl::StatusOr<SessionInfo> Fork(
      const SessionCall& call, const SessionId& id,
      std::optional<absl::Duration> ttl) = 0;

  // `output` may block; it is called without locks held.
  virtual absl::Status Export(
      const SessionCall& call, const SessionId& id,
      absl::FunctionRef<absl::Status(std::string_view)> output) = 0;
  // `input` gives the next bytes, "" at their end. A new session, with a new
  // id, comes of it.
  virtual absl::StatusOr<SessionInfo> Import(
      const SessionCall& call,
      absl::FunctionRef<absl::StatusOr<std::string>()> input,
      std::optional<absl::Duration> ttl) = 0;

  // Refuses new work (UNAVAILABLE, DRAINING), waits for what runs, brings every
  // changed session to the store and gives all leases back. May be called more
  // than once. DEADLINE_EXCEEDED if something is left.
  virtual absl::Status Drain(absl::Time deadline) = 0;
  virtual bool draining() const = 0;

  // What has to be done from time to time (write-behind, lease renewal, idle
  // release, expiry, store recovery): call it every second or so, from one
  // thread.
  virtual void Tick() = 0;

  virtual SessionManagerStats stats() const = 0;
  virtual const SessionManagerOptions& options() const = 0;
  virtual Durability durability() const = 0;  // the store's
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_MANAGER_H_
