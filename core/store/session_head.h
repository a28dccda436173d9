// SessionHead: everything of a session but its final chunks; small, and written
// anew with every commit. A plain value.
#ifndef LONGHAND_CORE_STORE_SESSION_HEAD_H_
#define LONGHAND_CORE_STORE_SESSION_HEAD_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/engine/encode_types.h"
#include "core/store/session_key.h"

namespace longhand {

enum class SessionState {
  kOpen = 0,
  kClosed = 1,  // its document has ended; it can be read
  // Gravestones: no chunks, kept for a while so that the answer is better than
  // "not found".
  kExpired = 2,
  kEvicted = 3,
};

enum class ContentKind { kUnknown = 0, kText = 1, kIds = 2 };

// One field of what a session's states depend on, such as {"model", "3f..."};
// sessions are refused where any differs, and the field is named.
struct FingerprintField {
  std::string name;
  std::string value;

  bool operator==(const FingerprintField&) const = default;
};

// An append that was applied, to tell a repeated one.
struct AppendRecord {
  std::array<uint8_t, 16> append_id{};
  uint64_t expected_offset = 0;
  uint64_t length = 0;
  std::array<uint8_t, 32> payload_hash{};  // SHA-256
  // What was answered.
  uint64_t committed_offset = 0;
  uint64_t encoded_offset = 0;
  SessionDigest digest{};

  bool operator==(const AppendRecord&) const = default;
};

struct SessionHead {
  // Append records that are kept.
  static constexpr size_t kMaxAppendRecords = 64;

  SessionState state = SessionState::kOpen;
  EncodeOptions options;  // resolved
  std::vector<FingerprintField> fingerprint;
  ContentKind kind = ContentKind::kUnknown;
  // Bytes of text, or tokens for documents of token ids.
  uint64_t committed_offset = 0;
  uint64_t num_chunks = 0;  // final ones
  uint64_t num_tokens = 0;  // in them
  // Content behind the last final chunk: bytes of text, or little-endian int32.
  std::string tail;
  SessionDigest digest{};
  std::vector<AppendRecord> appends;  // oldest first
  absl::Time create_time;
  absl::Time expire_time;
  absl::Duration ttl;
  std::string parent;  // the session that it was forked from, or ""
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_SESSION_HEAD_H_
