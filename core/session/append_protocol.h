// The protocol of appends as functions over plain values: which of the error
// table's rows (docs/sessions.md) an append meets, and how contents are hashed.
// Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_SESSION_APPEND_PROTOCOL_H_
#define LONGHAND_CORE_SESSION_APPEND_PROTOCOL_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/session/session_document.h"
#include "core/store/session_head.h"
#include "core/store/session_key.h"

namespace longhand {

// Bytes of text, or tokens: the unit of offsets.
uint64_t ContentLength(const Content& content);
// Bytes of text, or four a token: the unit of limits.
uint64_t ContentBytes(const Content& content);
ContentKind KindOf(const Content& content);
// The text, or the ids as little-endian int32. What checksums and digests are
// taken of.
std::string ContentPayload(const Content& content);

// A session begins with a digest of zeros, and each change makes it
//   SHA-256(digest | operation | fields)
// with the operation one byte and integers 8 bytes, little-endian:
//   'T' text appended: length in bytes, the bytes
//   'I' ids appended: length in tokens, little-endian int32 each
//   'C' document closed: nothing
//   't' text, 'i' ids put for [begin, end): begin, end as the request gave it
//       (2^64 - 1 for the document's end), length, payload; 't' if empty
// so a client that knows its changes can count along.
SessionDigest DigestAppend(const SessionDigest& digest, const Content& content);
SessionDigest DigestClose(const SessionDigest& digest);
SessionDigest DigestEdit(const SessionDigest& digest, uint64_t begin,
                         uint64_t end, const Content& content);

// What a client is told about a session with every error about it.
struct SessionPlace {
  uint64_t committed_offset = 0;
  uint64_t durable_offset = 0;
  SessionDigest digest{};
  uint64_t generation = 0;
};

std::map<std::string, std::string> PlaceMetadata(const SessionPlace& place);
// The same status with the place in its metadata.
absl::Status WithPlace(const absl::Status& status, const SessionPlace& place);

// Everything that the decision depends on.
struct AppendSituation {
  // What the search for the session gave: OK, or rows 2, 3, 5 to 7.
  absl::Status lookup;
  SessionPlace place;
  bool closed = false;
  ContentKind kind = ContentKind::kUnknown;
  uint64_t committed_bytes = 0;  // committed_offset as ContentBytes counts
  const std::vector<AppendRecord>* appends = nullptr;  // may be null: none
  // The id of the change that runs now; "" for one that has none.
  std::optional<std::string> in_flight;

  // The append.
  std::optional<uint64_t> expected_offset;
  std::string append_id;
  ContentKind content_kind = ContentKind::kText;
  uint64_t length = 0;
  uint64_t bytes = 0;
  bool close = false;
  std::array<uint8_t, 32> payload_hash{};  // HashAppend
  std::optional<uint32_t> given_crc32c;
  uint32_t crc32c = 0;
  std::optional<SessionDigest> if_state_digest;

  uint64_t max_append_bytes = UINT64_MAX;
  uint64_t max_document_bytes = UINT64_MAX;
  // What is against starting now, whatever the append: OK, or rows 17 to 19.
  absl::Status obstacle;
};

// What AppendRecord::payload_hash is: of the content, its kind, and whether it
// closes the document.
std::array<uint8_t, 32> HashAppend(const Content& content, bool close);

enum class AppendVerdict {
  kApply,
  kDuplicate,  // done before: answer from `record`
  kWait,       // for the same append, which runs now
  kRefuse,     // with `status`
};

struct AppendDecision {
  AppendVerdict verdict = AppendVerdict::kApply;
  absl::Status status;
  const AppendRecord* record = nullptr;
};

// The rows in their order, but one: an append that closed the document and is
// sent again is a duplicate (row 9), not refused as one to a closed document
// (row 4), for its answer may have been lost.
AppendDecision DecideAppend(const AppendSituation& situation);

// Errors that the table gives outside of appends as well.
absl::Status SessionUnknownError();
absl::Status SessionExpiredError();
absl::Status SessionEvictedError();
absl::Status ClosedError();
absl::Status FingerprintError(std::string_view field);
absl::Status StaleSessionError();
absl::Status ConcurrentChangeError();
absl::Status StateDivergedError();
absl::Status QuotaError(int limit);
absl::Status DrainingError();
absl::Status StoreDegradedError();
absl::Status QueueTimeoutError();

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_APPEND_PROTOCOL_H_
