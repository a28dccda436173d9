#include "client/session_result.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client_error.h"
#include "client/encode_result.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

absl::StatusOr<std::vector<ScoredChunk>> ToScoredChunks(
    const google::protobuf::RepeatedPtrField<v1::ScoredChunk>& messages) {
  std::vector<ScoredChunk> chunks;
  for (const v1::ScoredChunk& message : messages) {
    if (!std::isfinite(message.score())) {
      return MakeClientError(absl::StatusCode::kDataLoss, "BAD_VECTOR",
                             "the server sent a score that is no number");
    }
    chunks.push_back({message.index(), message.begin_byte(), message.end_byte(),
                      message.begin_token(), message.end_token(),
                      message.score(), message.text()});
  }
  return chunks;
}

}  // namespace

absl::StatusOr<QueryResult> ToQueryResult(
    const v1::QuerySessionResponse& message, int questions) {
  if (message.answers_size() != questions) {
    return MakeClientError(
        absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
        absl::StrCat("the server answered ", message.answers_size(), " of ",
                     questions, " questions"));
  }
  QueryResult result;
  for (const v1::QuestionAnswer& part : message.answers()) {
    QuestionAnswer answer;
    LH_CLIENT_ASSIGN_OR_RETURN(answer.vector, DecodeFloats(part.vector()));
    LH_CLIENT_ASSIGN_OR_RETURN(answer.own_vector,
                               DecodeFloats(part.own_vector()));
    LH_CLIENT_ASSIGN_OR_RETURN(answer.attended,
                               ToScoredChunks(part.attended()));
    LH_CLIENT_ASSIGN_OR_RETURN(answer.similar, ToScoredChunks(part.similar()));
    result.answers.push_back(std::move(answer));
  }
  result.committed_offset = message.committed_offset();
  result.chunk_count = message.chunk_count();
  result.state_digest = message.state_digest();
  return result;
}

}  // namespace longhand::client
