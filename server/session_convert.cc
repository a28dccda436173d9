#include "server/session_convert.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/convert.h"

namespace longhand {
namespace {

constexpr uint32_t kDefaultPageSize = 100;
constexpr float kMaxQueryWeight = 2;

absl::Status Invalid(std::string_view reason, std::string_view message,
                     std::map<std::string, std::string> metadata = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message,
                   std::move(metadata));
}

absl::Status OutOfRange(std::string_view reason, std::string_view field,
                        double min, double max) {
  return Invalid(
      reason, absl::StrCat(ToAbsl(field), " must be from ", min, " to ", max),
      {{"min", absl::StrCat(min)}, {"max", absl::StrCat(max)}});
}

absl::StatusOr<Durability> DurabilityFromProto(int durability) {
  switch (durability) {
    case v1::DURABILITY_UNSPECIFIED:
    case v1::DURABILITY_MEMORY:
      return Durability::kMemory;
    case v1::DURABILITY_LOCAL:
      return Durability::kLocal;
    case v1::DURABILITY_SHARED:
      return Durability::kShared;
    default:
      return Invalid("DURABILITY_UNKNOWN",
                     absl::StrCat("min_durability has no value ", durability,
                                  "; use DURABILITY_MEMORY, DURABILITY_LOCAL "
                                  "or DURABILITY_SHARED"));
  }
}

absl::StatusOr<std::optional<SessionDigest>> DigestFromProto(
    const std::string& bytes) {
  if (bytes.empty()) return std::optional<SessionDigest>();
  SessionDigest digest;
  if (bytes.size() != digest.size()) {
    return Invalid("DIGEST_INVALID",
                   absl::StrCat("if_state_digest has ", bytes.size(),
                                " bytes; give the 32 that the server sent as "
                                "state_digest, or none"));
  }
  std::memcpy(digest.data(), bytes.data(), bytes.size());
  return std::optional(digest);
}

absl::StatusOr<int> CountFromProto(std::string_view reason,
                                   std::string_view field, bool is_set,
                                   uint32_t value, int default_value) {
  if (!is_set) return default_value;
  if (value > kMaxScoredChunks) {
    return OutOfRange(reason, field, 0, kMaxScoredChunks);
  }
  return static_cast<int>(value);
}

// Nothing if neither is set. Message: whatever has the oneof `content`.
template <typename Message>
std::optional<Content> ContentOf(const Message& message) {
  if (message.has_text()) return Content(message.text());
  if (message.has_token_ids()) return Content(FromProto(message.token_ids()));
  return std::nullopt;
}

bool IsEmpty(const Content& content) {
  return std::visit([](const auto& items) { return items.empty(); }, content);
}

void SetTimestamp(absl::Time time, google::protobuf::Timestamp* proto) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto->set_seconds(seconds);
  proto->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

v1::SessionState ToProto(SessionState state) {
  switch (state) {
    case SessionState::kOpen:
      return v1::SESSION_STATE_OPEN;
    case SessionState::kClosed:
      return v1::SESSION_STATE_CLOSED;
    case SessionState::kExpired:
    case SessionState::kEvicted:
      break;
  }
  return v1::SESSION_STATE_UNSPECIFIED;
}

v1::ScoredChunk ToProto(const ScoredChunk& chunk) {
  v1::ScoredChunk proto;
  proto.set_index(chunk.index);
  proto.set_begin_byte(chunk.begin_byte);
  proto.set_end_byte(chunk.end_byte);
  proto.set_begin_token(chunk.begin_token);
  proto.set_end_token(chunk.end_token);
  proto.set_score(chunk.score);
  proto.set_text(chunk.text);
  return proto;
}

}  // namespace

SessionId SessionIdFromProto(std::string_view text) {
  if (std::optional<SessionId> id = ParseSessionId(text)) return *id;
  Sha256 hash;
  hash.UpdateField("no session id");
  hash.UpdateField(text);
  const std::array<uint8_t, 32> digest = hash.Digest();
  SessionId nobody;
  std::copy_n(digest.begin(), nobody.size(), nobody.begin());
  return nobody;
}

absl::StatusOr<std::optional<absl::Duration>> TtlFromProto(
    bool is_set, const google::protobuf::Duration& ttl) {
  if (!is_set) return std::optional<absl::Duration>();
  // As google.protobuf.Duration defines it.
  constexpr int64_t kMaxSeconds = 315'576'000'000;
  constexpr int32_t kMaxNanos = 999'999'999;
  if (ttl.seconds() < 0 || ttl.seconds() > kMaxSeconds || ttl.nanos() < 0 ||
      ttl.nanos() > kMaxNanos || (ttl.seconds() == 0 && ttl.nanos() == 0)) {
    return Invalid("TTL_OUT_OF_RANGE",
                   "ttl must be above 0 and no longer than GetModel's "
                   "session_limits.max_ttl; leave it out for the default");
  }
  return std::optional(absl::Seconds(ttl.seconds()) +
                       absl::Nanoseconds(ttl.nanos()));
}

absl::StatusOr<int> PageSizeFromProto(uint32_t page_size) {
  if (page_size > kMaxPageSize) {
    return OutOfRange("PAGE_SIZE_OUT_OF_RANGE", "page_size", 0, kMaxPageSize);
  }
  return static_cast<int>(page_size == 0 ? kDefaultPageSize : page_size);
}

absl::StatusOr<AppendArgs> AppendArgsFromProto(
    v1::AppendSessionRequest& request) {
  AppendArgs args;
  if (request.has_expected_offset()) {
    args.expected_offset = request.expected_offset();
  }
  args.append_id = request.append_id();
  if (request.has_text()) {
    args.content = std::move(*request.mutable_text());
  } else if (request.has_token_ids()) {
    args.content = FromProto(request.token_ids());
  }
  if (request.has_payload_crc32c()) {
    args.payload_crc32c = request.payload_crc32c();
  }
  LH_ASSIGN_OR_RETURN(args.min_durability,
                      DurabilityFromProto(request.min_durability()));
  LH_ASSIGN_OR_RETURN(args.if_state_digest,
                      DigestFromProto(request.if_state_digest()));
  args.provisional = request.provisional();
  args.close = request.close();
  return args;
}

absl::StatusOr<EditArgs> EditArgsFromProto(
    const v1::RewindSessionRequest& request) {
  if (!request.has_offset()) {
    return Invalid("OFFSET_MISSING",
                   "offset is not set; say from where on the content goes");
  }
  EditArgs args;
  args.begin = request.offset();
  LH_ASSIGN_OR_RETURN(args.if_state_digest,
                      DigestFromProto(request.if_state_digest()));
  LH_ASSIGN_OR_RETURN(args.min_durability,
                      DurabilityFromProto(request.min_durability()));
  return args;
}

absl::StatusOr<EditArgs> EditArgsFromProto(
    const v1::EditSessionRequest& request) {
  if (!request.has_begin()) {
    return Invalid("OFFSET_MISSING",
                   "begin is not set; say where the part to replace begins");
  }
  EditArgs args;
  args.begin = request.begin();
  if (request.has_end()) args.end = request.end();
  if (args.end < args.begin) {
    return Invalid(
        "RANGE_INVALID",
        absl::StrCat("the part to replace ends at ", args.end,
                     ", before its begin at ", args.begin),
        {{"begin", absl::StrCat(args.begin)}, {"end", absl::StrCat(args.end)}});
  }
  args.content = ContentOf(request).value_or(std::string());
  LH_ASSIGN_OR_RETURN(args.if_state_digest,
                      DigestFromProto(request.if_state_digest()));
  LH_ASSIGN_OR_RETURN(args.min_durability,
                      DurabilityFromProto(request.min_durability()));
  return args;
}

absl::StatusOr<QueryArgs> QueryArgsFromProto(
    const v1::QuerySessionRequest& request, const ServedModel& model) {
  if (request.questions_size() < 1 ||
      request.questions_size() > kMaxQuestions) {
    return OutOfRange("QUESTIONS_OUT_OF_RANGE", "the number of questions", 1,
                      kMaxQuestions);
  }
  QueryArgs args;
  for (const v1::Question& question : request.questions()) {
    std::optional<Content> content = ContentOf(question);
    if (!content.has_value() || IsEmpty(*content)) {
      return Invalid("QUESTION_EMPTY",
                     "a question is empty; set text or token_ids",
                     {{"question", absl::StrCat(args.questions.size())}});
    }
    args.questions.push_back(*std::move(content));
  }
  LH_ASSIGN_OR_RETURN(
      args.max_attended,
      CountFromProto("MAX_ATTENDED_OUT_OF_RANGE", "max_attended",
                     request.has_max_attended(), request.max_attended(),
                     args.max_attended));
  LH_ASSIGN_OR_RETURN(args.max_similar,
                      CountFromProto("MAX_SIMILAR_OUT_OF_RANGE", "max_similar",
                                     request.has_max_similar(),
                                     request.max_similar(), args.max_similar));
  args.texts = request.texts();
  args.document_weight = model.default_options.document_weight.value_or(0);
  if (request.has_document_weight()) {
    args.document_weight = request.document_weight();
    // Written so that NaN fails.
    if (!(args.document_weight >= -kMaxQueryWeight &&
          args.document_weight <= kMaxQueryWeight)) {
      return OutOfRange("CONTEXT_WEIGHT_OUT_OF_RANGE", "document_weight",
                        -kMaxQueryWeight, kMaxQueryWeight);
    }
  }
  return args;
}

v1::Durability ToProto(Durability durability) {
  switch (durability) {
    case Durability::kMemory:
      return v1::DURABILITY_MEMORY;
    case Durability::kLocal:
      return v1::DURABILITY_LOCAL;
    case Durability::kShared:
      return v1::DURABILITY_SHARED;
  }
  return v1::DURABILITY_UNSPECIFIED;
}

std::string DigestBytes(const SessionDigest& digest) {
  return std::string(digest.begin(), digest.end());
}

v1::Session ToProto(const SessionInfo& session, Durability durability,
                    const ServedModel& model) {
  v1::Session proto;
  proto.set_session_id(FormatSessionId(session.key.id));
  proto.set_state(ToProto(session.state));
  *proto.mutable_options() = ToProto(session.options, model);
  proto.set_committed_offset(session.committed_offset);
  proto.set_durable_offset(session.durable_offset);
  proto.set_encoded_offset(session.encoded_offset);
  proto.set_chunk_count(session.num_chunks);
  proto.set_token_count(session.num_tokens);
  proto.set_state_bytes(session.state_bytes);
  proto.set_state_digest(DigestBytes(session.digest));
  proto.set_generation(session.generation);
  SetTimestamp(session.create_time, proto.mutable_create_time());
  SetTimestamp(session.expire_time, proto.mutable_expire_time());
  proto.set_parent_session_id(session.parent);
  proto.set_durability(ToProto(durability));
  return proto;
}

v1::AppendResult ToProto(const AppendResult& result,
                         const std::string& append_id) {
  v1::AppendResult proto;
  proto.set_append_id(append_id);
  proto.set_committed_offset(result.committed_offset);
  proto.set_durable_offset(result.durable_offset);
  proto.set_encoded_offset(result.encoded_offset);
  proto.set_duplicate(result.duplicate);
  proto.set_state_digest(DigestBytes(result.digest));
  proto.set_generation(result.generation);
  proto.set_computed_tokens(result.computed_tokens);
  proto.set_reused_tokens(result.reused_tokens);
  return proto;
}

v1::ChangeResult ToProto(const EditResult& result, Durability durability,
                         const ServedModel& model) {
  v1::ChangeResult proto;
  *proto.mutable_session() = ToProto(result.info, durability, model);
  proto.set_old_chunk_count(result.old_chunks);
  proto.set_computed_tokens(result.computed_tokens);
  proto.set_reused_tokens(result.reused_tokens);
  return proto;
}

v1::QuerySessionResponse ToProto(const QueryResult& result) {
  v1::QuerySessionResponse proto;
  for (const QueryAnswer& answer : result.answers) {
    v1::QuestionAnswer* one = proto.add_answers();
    one->set_vector(FloatBytes(answer.vector.data(), answer.vector.size()));
    one->set_own_vector(
        FloatBytes(answer.own_vector.data(), answer.own_vector.size()));
    for (const ScoredChunk& chunk : answer.attended) {
      *one->add_attended() = ToProto(chunk);
    }
    for (const ScoredChunk& chunk : answer.similar) {
      *one->add_similar() = ToProto(chunk);
    }
  }
  proto.set_committed_offset(result.committed_offset);
  proto.set_chunk_count(result.num_chunks);
  proto.set_state_digest(DigestBytes(result.digest));
  return proto;
}

v1::SessionLimits ToProto(const SessionManagerOptions& options,
                          std::string_view store_name, Durability durability) {
  v1::SessionLimits proto;
  proto.set_store(std::string(store_name));
  proto.set_durability(ToProto(durability));
  proto.set_max_append_bytes(options.max_append_bytes);
  SetDuration(options.default_ttl, proto.mutable_default_ttl());
  SetDuration(options.max_ttl, proto.mutable_max_ttl());
  proto.set_max_memory_bytes(options.max_memory_bytes);
  proto.set_max_sessions(
      static_cast<uint32_t>(options.max_sessions_per_tenant));
  return proto;
}

}  // namespace longhand
