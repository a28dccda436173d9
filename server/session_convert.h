// Between the wire and sessions: every check of what a client of SessionService
// sends that needs no session, and every message that is sent back. Pure
// functions; safe from any thread.
#ifndef LONGHAND_SERVER_SESSION_CONVERT_H_
#define LONGHAND_SERVER_SESSION_CONVERT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/session/session_manager.h"
#include "core/store/session_key.h"
#include "google/protobuf/duration.pb.h"
#include "longhand/v1/model_service.pb.h"
#include "longhand/v1/session_service.pb.h"
#include "server/served_model.h"

namespace longhand {

constexpr uint32_t kMaxPageSize = 1000;
constexpr uint32_t kMaxScoredChunks = 1000;
constexpr int kMaxQuestions = 64;

// What `text` names. A text that names no session gives an id that nobody has,
// so that it takes the way of every unknown id: the same answer, as fast.
SessionId SessionIdFromProto(std::string_view text);

// Nothing if it is not set. INVALID_ARGUMENT (TTL_OUT_OF_RANGE) unless it is
// above 0 and a valid message; the manager knows the upper limit.
absl::StatusOr<std::optional<absl::Duration>> TtlFromProto(
    bool is_set, const google::protobuf::Duration& ttl);

// INVALID_ARGUMENT (PAGE_SIZE_OUT_OF_RANGE).
absl::StatusOr<int> PageSizeFromProto(uint32_t page_size);

// Takes the content out of `request`. What an append may lack, and its length,
// are the manager's to check: it tells them from an unknown session, and its
// errors say where the session stands. INVALID_ARGUMENT (DURABILITY_UNKNOWN,
// DIGEST_INVALID).
absl::StatusOr<AppendArgs> AppendArgsFromProto(
    v1::AppendSessionRequest& request);

// INVALID_ARGUMENT (OFFSET_MISSING, RANGE_INVALID, DURABILITY_UNKNOWN,
// DIGEST_INVALID).
absl::StatusOr<EditArgs> EditArgsFromProto(
    const v1::RewindSessionRequest& request);
absl::StatusOr<EditArgs> EditArgsFromProto(
    const v1::EditSessionRequest& request);

// INVALID_ARGUMENT (QUESTIONS_OUT_OF_RANGE, QUESTION_EMPTY,
// MAX_ATTENDED_OUT_OF_RANGE, MAX_SIMILAR_OUT_OF_RANGE,
// CONTEXT_WEIGHT_OUT_OF_RANGE).
absl::StatusOr<QueryArgs> QueryArgsFromProto(
    const v1::QuerySessionRequest& request, const ServedModel& model);

v1::Durability ToProto(Durability durability);
// `durability`: of the server's store.
v1::Session ToProto(const SessionInfo& session, Durability durability,
                    const ServedModel& model);
v1::AppendResult ToProto(const AppendResult& result,
                         const std::string& append_id);
v1::ChangeResult ToProto(const EditResult& result, Durability durability,
                         const ServedModel& model);
v1::QuerySessionResponse ToProto(const QueryResult& result);
v1::SessionLimits ToProto(const SessionManagerOptions& options,
                          std::string_view store_name, Durability durability);

std::string DigestBytes(const SessionDigest& digest);

}  // namespace longhand

#endif  // LONGHAND_SERVER_SESSION_CONVERT_H_
