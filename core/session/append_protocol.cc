#include "core/session/append_protocol.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/strings.h"

namespace longhand {
namespace {

using absl::StatusCode;

constexpr size_t kAppendIdBytes = 16;

void UpdateInteger(Sha256& hash, uint64_t value) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = uint8_t(value >> (8 * i));
  hash.Update(bytes);
}

void Begin(Sha256& hash, const SessionDigest& digest, char operation) {
  hash.Update(digest);
  hash.Update(std::string_view(&operation, 1));
}

AppendDecision Refuse(absl::Status status) {
  return {AppendVerdict::kRefuse, std::move(status), nullptr};
}

absl::Status BadAppend(std::string_view message,
                       std::map<std::string, std::string> metadata = {}) {
  return MakeError(StatusCode::kInvalidArgument, "BAD_APPEND", message,
                   std::move(metadata));
}

// Row 8: what is wrong with the request by itself.
absl::Status CheckForm(const AppendSituation& s) {
  if (!s.expected_offset) {
    return BadAppend(
        "expected_offset is missing: say how much the session "
        "must have before this append");
  }
  if (s.append_id.size() != kAppendIdBytes) {
    return BadAppend(
        "append_id must be 16 random bytes, the same when an append is sent "
        "again",
        {{"length_bytes", absl::StrCat(s.append_id.size())}});
  }
  if (s.given_crc32c && *s.given_crc32c != s.crc32c) {
    return MakeError(StatusCode::kInvalidArgument, "CHECKSUM",
                     "the content does not fit payload_crc32c: it was damaged "
                     "on its way, or counted otherwise (CRC-32C of the text, "
                     "or of little-endian int32 ids); send it again");
  }
  if (s.length == 0 && !s.close) {
    return BadAppend("the append has no content; send some, or set close");
  }
  if (s.bytes > s.max_append_bytes) {
    return BadAppend("the append is too long; send it as several",
                     {{"limit_bytes", absl::StrCat(s.max_append_bytes)},
                      {"length_bytes", absl::StrCat(s.bytes)}});
  }
  if (s.length > 0 && s.kind != ContentKind::kUnknown &&
      s.kind != s.content_kind) {
    return BadAppend(
        "the session holds the other kind of content: a session "
        "takes either text or token ids");
  }
  return absl::OkStatus();
}

const AppendRecord* FindRecord(const AppendSituation& s) {
  if (s.appends == nullptr || s.append_id.size() != kAppendIdBytes) {
    return nullptr;
  }
  const auto found = std::find_if(
      s.appends->begin(), s.appends->end(), [&](const AppendRecord& record) {
        return std::equal(record.append_id.begin(), record.append_id.end(),
                          reinterpret_cast<const uint8_t*>(s.append_id.data()));
      });
  return found == s.appends->end() ? nullptr : &*found;
}

// Rows 13 and 14.
absl::Status CheckOffset(const AppendSituation& s) {
  const uint64_t current = s.place.committed_offset;
  if (*s.expected_offset > current) {
    return MakeError(
        StatusCode::kOutOfRange, "OFFSET_GAP",
        absl::StrCat("the session has ", current, ", not ", *s.expected_offset,
                     ": append from current_offset on"));
  }
  if (*s.expected_offset < current) {
    return MakeError(StatusCode::kAlreadyExists, "OFFSET_ALREADY_WRITTEN",
                     absl::StrCat("the session has ", current,
                                  " already, this append would begin at ",
                                  *s.expected_offset,
                                  ": compare state_digest, and append from "
                                  "current_offset on"));
  }
  return absl::OkStatus();
}

AppendDecision Decide(const AppendSituation& s) {
  // Rows 2 and 3.
  if (absl::IsNotFound(s.lookup)) return Refuse(s.lookup);
  const AppendRecord* const record = FindRecord(s);
  // Row 4.
  if (s.closed && record == nullptr && s.in_flight != s.append_id) {
    return Refuse(ClosedError());
  }
  // Rows 5 to 7.
  if (!s.lookup.ok()) return Refuse(s.lookup);
  // Row 8.
  if (absl::Status form = CheckForm(s); !form.ok()) return Refuse(form);
  // Rows 9 and 10.
  if (record != nullptr) {
    if (record->expected_offset == *s.expected_offset &&
        record->length == s.length && record->payload_hash == s.payload_hash) {
      return {AppendVerdict::kDuplicate, absl::OkStatus(), record};
    }
    return Refuse(MakeError(StatusCode::kInvalidArgument, "APPEND_ID_REUSED",
                            "append_id was used for another append; make "
                            "a new random one for each append"));
  }
  // Rows 11 and 12.
  if (s.in_flight) {
    if (*s.in_flight == s.append_id) return {AppendVerdict::kWait};
    return Refuse(ConcurrentChangeError());
  }
  if (absl::Status offset = CheckOffset(s); !offset.ok()) {
    return Refuse(offset);
  }
  // Row 15.
  if (s.if_state_digest && *s.if_state_digest != s.place.digest) {
    return Refuse(StateDivergedError());
  }
  // Row 16.
  if (s.committed_bytes > s.max_document_bytes ||
      s.bytes > s.max_document_bytes - s.committed_bytes) {
    return Refuse(
        MakeError(StatusCode::kResourceExhausted, "SESSION_TOKEN_LIMIT",
                  "the document would become too long; go on in another "
                  "session",
                  {{"limit_bytes", absl::StrCat(s.max_document_bytes)}}));
  }
  return s.obstacle.ok() ? AppendDecision() : Refuse(s.obstacle);
}

}  // namespace

uint64_t ContentLength(const Content& content) {
  return std::visit(
      [](const auto& values) -> uint64_t { return values.size(); }, content);
}

uint64_t ContentBytes(const Content& content) {
  const bool is_text = std::holds_alternative<std::string>(content);
  return ContentLength(content) * (is_text ? 1 : sizeof(int32_t));
}

ContentKind KindOf(const Content& content) {
  return std::holds_alternative<std::string>(content) ? ContentKind::kText
                                                      : ContentKind::kIds;
}

std::string ContentPayload(const Content& content) {
  if (const auto* text = std::get_if<std::string>(&content)) return *text;
  const auto& ids = std::get<std::vector<int32_t>>(content);
  std::string bytes;
  bytes.reserve(ids.size() * sizeof(int32_t));
  for (const int32_t id : ids) {
    for (int i = 0; i < 4; ++i) bytes.push_back(char(uint32_t(id) >> (8 * i)));
  }
  return bytes;
}

SessionDigest DigestAppend(const SessionDigest& digest,
                           const Content& content) {
  Sha256 hash;
  Begin(hash, digest, KindOf(content) == ContentKind::kText ? 'T' : 'I');
  UpdateInteger(hash, ContentLength(content));
  hash.Update(ContentPayload(content));
  return hash.Digest();
}

SessionDigest DigestClose(const SessionDigest& digest) {
  Sha256 hash;
  Begin(hash, digest, 'C');
  return hash.Digest();
}

SessionDigest DigestEdit(const SessionDigest& digest, uint64_t begin,
                         uint64_t end, const Content& content) {
  const bool has_ids =
      KindOf(content) == ContentKind::kIds && ContentLength(content) > 0;
  Sha256 hash;
  Begin(hash, digest, has_ids ? 'i' : 't');
  UpdateInteger(hash, begin);
  UpdateInteger(hash, end);
  UpdateInteger(hash, ContentLength(content));
  hash.Update(ContentPayload(content));
  return hash.Digest();
}

std::array<uint8_t, 32> HashAppend(const Content& content, bool close) {
  Sha256 hash;
  const char tag[2] = {KindOf(content) == ContentKind::kText ? 'T' : 'I',
                       close ? 'C' : '-'};
  hash.Update(std::string_view(tag, sizeof(tag)));
  hash.Update(ContentPayload(content));
  return hash.Digest();
}

std::map<std::string, std::string> PlaceMetadata(const SessionPlace& place) {
  return {
      {"current_offset", absl::StrCat(place.committed_offset)},
      {"durable_offset", absl::StrCat(place.durable_offset)},
      {"state_digest", absl::BytesToHexString(absl::string_view(
                           reinterpret_cast<const char*>(place.digest.data()),
                           place.digest.size()))},
      {"generation", absl::StrCat(place.generation)},
  };
}

absl::Status WithPlace(const absl::Status& status, const SessionPlace& place) {
  if (status.ok()) return status;
  ErrorDetail detail = GetErrorDetail(status).value_or(
      ErrorDetail{absl::StatusCodeToString(status.code()), {}});
  detail.metadata.merge(PlaceMetadata(place));
  return MakeError(status.code(), detail.reason, ToStd(status.message()),
                   std::move(detail.metadata));
}

AppendDecision DecideAppend(const AppendSituation& situation) {
  AppendDecision decision = Decide(situation);
  // The search says itself what it knows.
  if (situation.lookup.ok()) {
    decision.status = WithPlace(decision.status, situation.place);
  }
  return decision;
}

absl::Status SessionUnknownError() {
  return MakeError(StatusCode::kNotFound, "SESSION_NOT_FOUND",
                   "there is no session of this id; open a new one");
}

absl::Status SessionExpiredError() {
  return MakeError(StatusCode::kNotFound, "SESSION_EXPIRED",
                   "the session was not used for its ttl and is gone; open a "
                   "new one and send the document again");
}

absl::Status SessionEvictedError() {
  return MakeError(StatusCode::kNotFound, "SESSION_EVICTED",
                   "the session had to make room for others and is gone; open "
                   "a new one and send the document again");
}

absl::Status ClosedError() {
  return MakeError(StatusCode::kFailedPrecondition, "SESSION_CLOSED",
                   "the session's document has ended; send what follows to "
                   "another session");
}

absl::Status FingerprintError(std::string_view field) {
  return MakeError(
      StatusCode::kFailedPrecondition, "MODEL_FINGERPRINT_MISMATCH",
      absl::StrCat("the session was made with another ", ToAbsl(field),
                   " than this server's; send the document again "
                   "to a new session"),
      {{"field", std::string(field)}});
}

absl::Status StaleSessionError() {
  return MakeError(StatusCode::kAborted, "STALE_GENERATION",
                   "this replica does not own the session any more; read the "
                   "session again and continue from its offset");
}

absl::Status ConcurrentChangeError() {
  return MakeError(StatusCode::kAborted, "CONCURRENT_APPEND",
                   "another change of this session is running; a session has "
                   "one writer at a time: read the session and continue from "
                   "its offset");
}

absl::Status StateDivergedError() {
  return MakeError(StatusCode::kAborted, "STATE_DIVERGED",
                   "the session's content is not what if_state_digest says; "
                   "compare, rewind, or send the document to a new session");
}

absl::Status QuotaError(int limit) {
  return MakeError(StatusCode::kResourceExhausted, "TENANT_QUOTA",
                   "the tenant has as many sessions as it may; delete some, or "
                   "wait until they expire",
                   {{"limit_sessions", absl::StrCat(limit)}});
}

absl::Status DrainingError() {
  return MakeError(StatusCode::kUnavailable, "DRAINING",
                   "the server is being stopped; go on at another replica, or "
                   "here after its restart");
}

absl::Status StoreDegradedError() {
  return MakeError(StatusCode::kUnavailable, "STORE_DEGRADED",
                   "the session store does not take writes now; send the same "
                   "request again later, or ask for min_durability MEMORY");
}

absl::Status QueueTimeoutError() {
  return MakeError(StatusCode::kDeadlineExceeded, "QUEUE_TIMEOUT",
                   "the deadline passed before the append began; send it again "
                   "with the same append_id and more time");
}

}  // namespace longhand
