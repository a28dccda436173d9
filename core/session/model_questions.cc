// Questions: the part of ModelDocumentEncoder that answers them.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/model_document_encoder.h"

namespace longhand {
namespace {

// A question as a chunk whose first token stands at `begin`.
Chunk PlaceAt(int64_t begin, const Question& question) {
  const int64_t end = begin + int64_t(question.ids.size());
  return {begin, end, begin, end};
}

}  // namespace

absl::Status ModelDocumentEncoder::CheckQuestions(
    absl::Span<const Question> questions) const {
  const size_t special =
      model_->prefix_ids().size() + model_->suffix_ids().size();
  const size_t limit = size_t(*options_.chunk_tokens) - special;
  for (size_t i = 0; i < questions.size(); ++i) {
    const std::vector<int32_t>& ids = questions[i].ids;
    if (ids.empty()) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "QUESTION_EMPTY",
          absl::StrCat("question ", i, " holds no token; leave it out"));
    }
    if (ids.size() > limit) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "QUESTION_TOO_LONG",
          absl::StrCat("question ", i, " has ", ids.size(),
                       " tokens, the limit is a chunk, ", limit,
                       " tokens; shorten it, or open the session with larger "
                       "chunk_tokens"),
          {{"limit_tokens", absl::StrCat(limit)},
           {"length_tokens", absl::StrCat(ids.size())}});
    }
    LH_RETURN_IF_ERROR(CheckIds(ids, 0));
  }
  return absl::OkStatus();
}

absl::Status ModelDocumentEncoder::AskAlone(
    absl::Span<const Question> questions, const StopCondition& stop,
    std::vector<Answer>* answers) const {
  Batch batch;
  for (const Question& question : questions) {
    AddToBatch(PlaceAt(0, question), question.ids, &batch);
  }
  // Without states there is nothing to retrieve from, nor is any left.
  ForwardPass pass(model_, attention_.get(), std::move(batch.inputs), {},
                   PassOptions(PassKind::kRetrieve));
  LH_RETURN_IF_ERROR(RunPass(pass, batch.working_bytes, stop));
  for (size_t i = 0; i < questions.size(); ++i) {
    Answer& answer = answers->emplace_back();
    LH_ASSIGN_OR_RETURN(answer.own_vector,
                        Pool(pass, int(i), batch.places[i], int64_t(i)));
    if (normalize()) NormalizeL2(absl::MakeSpan(answer.own_vector));
  }
  return absl::OkStatus();
}

absl::Status ModelDocumentEncoder::AskInContext(
    absl::Span<const Question> questions, int64_t document_tokens,
    const States& states, const StopCondition& stop,
    absl::Span<Answer> answers) const {
  Batch batch;
  for (const Question& question : questions) {
    AddToBatch(PlaceAt(document_tokens, question), question.ids, &batch);
  }
  batch.working_bytes += questions.size() * states.size() * sizeof(float);
  ForwardPass::Options options = PassOptions(PassKind::kRetrieve);
  options.first = int64_t(states.size());
  options.retrieval_weights = true;
  ForwardPass pass(model_, question_attention_.get(), std::move(batch.inputs),
                   states, options);
  LH_RETURN_IF_ERROR(RunPass(pass, batch.working_bytes, stop));
  for (size_t i = 0; i < questions.size(); ++i) {
    LH_ASSIGN_OR_RETURN(answers[i].vector,
                        Pool(pass, int(i), batch.places[i], int64_t(i)));
    if (normalize()) NormalizeL2(absl::MakeSpan(answers[i].vector));
    const absl::Span<const float> weights = pass.retrieval_weights(int(i));
    answers[i].chunk_weights.assign(weights.begin(), weights.end());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Answer>> ModelDocumentEncoder::Ask(
    absl::Span<const std::shared_ptr<const ChunkRecord>> chunks,
    absl::Span<const Question> questions, const StopCondition& stop) const {
  LH_RETURN_IF_ERROR(CheckQuestions(questions));
  LH_ASSIGN_OR_RETURN(const States states, StatesOf(chunks));
  const int64_t document_tokens = chunks.empty() ? 0 : chunks.back()->place.end;
  std::vector<Answer> answers;
  answers.reserve(questions.size());
  const size_t step = size_t(max_batch_chunks());
  for (size_t first = 0; first < questions.size(); first += step) {
    const absl::Span<const Question> batch = questions.subspan(first, step);
    LH_RETURN_IF_ERROR(AskAlone(batch, stop, &answers));
    const absl::Span<Answer> made = absl::MakeSpan(answers).subspan(first);
    if (!states.empty()) {
      LH_RETURN_IF_ERROR(
          AskInContext(batch, document_tokens, states, stop, made));
      continue;
    }
    for (Answer& answer : made) {
      answer.vector = answer.own_vector;
      answer.chunk_weights.assign(chunks.size(), 0.0f);
    }
  }
  return answers;
}

}  // namespace longhand
