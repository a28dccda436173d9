// Answers to questions as plain values with the vectors decoded, and their
// conversion from the messages. Owned by whoever holds them; the function is
// pure.
#ifndef LONGHAND_CLIENT_SESSION_RESULT_H_
#define LONGHAND_CLIENT_SESSION_RESULT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "longhand/v1/session_service.pb.h"

namespace longhand::client {

// A chunk of the document with a score; see the message ScoredChunk.
struct ScoredChunk {
  uint64_t index = 0;
  uint64_t begin_byte = 0, end_byte = 0;    // [begin, end) in the text
  uint64_t begin_token = 0, end_token = 0;  // special tokens not counted
  float score = 0;                          // retrieval weight or cosine
  std::string text;                         // empty unless asked for
};

// What one question found.
struct QuestionAnswer {
  std::vector<float> vector;          // [hidden], read in context
  std::vector<float> own_vector;      // [hidden], the question alone
  std::vector<ScoredChunk> attended;  // by retrieval weight, descending
  std::vector<ScoredChunk> similar;   // by cosine, descending
};

struct QueryResult {
  std::vector<QuestionAnswer> answers;  // in the questions' order
  uint64_t committed_offset = 0;        // content that was searched
  uint64_t chunk_count = 0;             // chunks that were searched
  std::string state_digest;             // 32 bytes
};

// Errors: those of DecodeFloats, also for a score that is NaN or infinite.
// DATA_LOSS (INCOMPLETE_RESULT) unless there are `questions` answers.
absl::StatusOr<QueryResult> ToQueryResult(
    const v1::QuerySessionResponse& message, int questions);

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_SESSION_RESULT_H_
