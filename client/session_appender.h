// SessionAppender: appends a text of any length to a session, exactly once,
// over lost connections, restarts and moves of the session to another server.
// Made by SessionClient::NewAppender, which must outlive it. Run is called
// once; progress() may be asked from any thread meanwhile.
//
// The content goes out in pieces, each an append of its own with a random id,
// one at a time. One that was not acknowledged is sent again with its id, so
// the server applies it once. Every piece carries its CRC-32C and the digest
// that the session must have, and the digest that comes back must be that of
// the content that was sent, so nobody else's change goes unnoticed. Content
// that the server acknowledged and then lost (it was less durable than the
// failure) is sent again: from a buffer, or, where that is too short, from the
// source, if it can be rewound. One session has one writer at a time; what
// another one did is an error, not something to write over.
#ifndef LONGHAND_CLIENT_SESSION_APPENDER_H_
#define LONGHAND_CLIENT_SESSION_APPENDER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client_options.h"
#include "client/content_source.h"
#include "client/encode_result.h"
#include "longhand/v1/session_service.pb.h"

namespace longhand::client {

struct AppendOptions {
  std::string session_id;
  // Where the source's first byte lies in the document. What the session has
  // from there on is read and skipped, which is how an interrupted append goes
  // on. nullopt: the source follows what the session has.
  std::optional<uint64_t> source_offset;
  // The source gives token ids, four bytes each (little-endian), not text. All
  // offsets then count tokens.
  bool token_ids = false;
  // Ends the document after the source's end.
  bool close = false;
  // An append is acknowledged when it is at least so safe.
  v1::Durability min_durability = v1::DURABILITY_UNSPECIFIED;
  // Also hands out the chunks of the unfinished tail, after each piece.
  bool provisional = false;
  // Bytes in one append at most. The server's limit (GetModel, else 1 MiB)
  // bounds it too.
  size_t piece_bytes = 64 << 10;
  // Bytes of content to keep for sending again. When content beyond this is not
  // yet durable, an append asks for the best durability that the server has and
  // waits for that.
  size_t buffer_bytes = 16 << 20;
};

struct AppendProgress {
  uint64_t committed_offset = 0;  // of the session, as was last heard
  uint64_t durable_offset = 0;
  // Bytes of the source (not tokens) that are in the session, those that were
  // skipped included.
  uint64_t source_bytes = 0;
  uint64_t computed_tokens = 0, reused_tokens = 0;  // by this appender
  uint64_t appends = 0;                             // acknowledged
};

// Called on the thread that called Run. A status that is not OK ends Run with
// that status.
struct AppendCallbacks {
  // Once, before the first append: the session as it is, and how many bytes of
  // the source are skipped because it has them.
  std::function<absl::Status(const v1::Session&, uint64_t skipped_bytes)>
      on_start;
  // Final chunks, each once and in document order, once the append that made
  // them is acknowledged.
  std::function<absl::Status(Chunk)> on_chunk;
  // With `provisional`, after each append.
  std::function<absl::Status(Chunk)> on_provisional_chunk;
  std::function<void(const AppendProgress&)> on_progress;
};

struct AppendSummary {
  v1::Session session;  // after the last append
  AppendProgress progress;
  uint64_t skipped_bytes = 0;
  // Final chunks of this run whose results were lost with a connection: a
  // repeated append does not send them again.
  uint64_t lost_chunks = 0;
};

class SessionAppender {
 public:
  virtual ~SessionAppender() = default;

  // Appends what `source` gives, to its end. Attempts that fail are repeated as
  // RetryOptions says; max_attempts counts those in a row without progress.
  // Errors besides the server's and the source's, domain "client.longhand":
  //   SOURCE_OFFSET       OUT_OF_RANGE: source_offset is beyond what the
  //                       session has
  //   SOURCE_TOO_SHORT    OUT_OF_RANGE: the source ends before what is to be
  //                       skipped does
  //   SESSION_CHANGED     ABORTED: another writer changed the session
  //   CONTENT_GONE        DATA_LOSS: the session lost content that is no longer
  //                       at hand
  //   DIGEST_MISMATCH     DATA_LOSS: the server applied other content than was
  //                       sent
  //   INCOMPLETE_RESULT   DATA_LOSS: the answer makes no sense
  virtual absl::StatusOr<AppendSummary> Run(
      ContentSource* source, const AppendCallbacks& callbacks = {},
      const CallOptions& call = {}) = 0;

  // Also after an error, for going on later.
  virtual AppendProgress progress() const = 0;
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_SESSION_APPENDER_H_
