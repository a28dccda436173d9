// Questions, forks, snapshots: what works on a copy of a session.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/session_manager_impl.h"

namespace longhand {
namespace {

using absl::StatusCode;

constexpr size_t kMaxQuestions = 64;
constexpr int kMaxScored = 1000;

absl::Status CheckQuery(const QueryArgs& args) {
  const auto bad = [](std::string_view message) {
    return MakeError(StatusCode::kInvalidArgument, "BAD_QUERY", message);
  };
  if (args.questions.empty() || args.questions.size() > kMaxQuestions) {
    return bad("a query has 1 to 64 questions");
  }
  if (args.max_attended < 0 || args.max_attended > kMaxScored ||
      args.max_similar < 0 || args.max_similar > kMaxScored) {
    return bad("max_attended and max_similar are 0 to 1000");
  }
  if (!(std::abs(args.document_weight) <= 2)) {
    return bad("document_weight is -2 to 2");
  }
  return absl::OkStatus();
}

absl::StatusOr<Question> Tokenize(const DocumentEncoder& encoder,
                                  const Content& content) {
  Question question;
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&content)) {
    question.ids = *ids;
    LH_RETURN_IF_ERROR(encoder.CheckIds(question.ids, 0));
  } else {
    LH_ASSIGN_OR_RETURN(TextStream stream, encoder.MakeTextStream(0));
    TokenSequence tokens;
    LH_RETURN_IF_ERROR(stream.Append(std::get<std::string>(content), &tokens));
    LH_RETURN_IF_ERROR(stream.Finish(&tokens));
    question.ids = std::move(tokens.ids);
  }
  if (question.ids.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "BAD_QUERY",
                     "a question holds no token; ask something");
  }
  return question;
}

std::vector<float> Unit(absl::Span<const float> vector) {
  const double square =
      std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0);
  std::vector<float> unit(vector.begin(), vector.end());
  if (square > 0) {
    for (float& value : unit) value = float(value / std::sqrt(square));
  }
  return unit;
}

// The chunks' vectors [chunks][hidden], of length 1, with `document_weight`
// times the mean of all added, as ContextPooling does it.
std::vector<std::vector<float>> ComparedVectors(
    const std::vector<ChunkResult>& results, float document_weight) {
  std::vector<std::vector<float>> vectors;
  vectors.reserve(results.size());
  for (const ChunkResult& result : results) {
    vectors.push_back(Unit(result.vector));
  }
  if (document_weight == 0 || vectors.size() < 2) return vectors;
  std::vector<double> mean(vectors.front().size(), 0);
  for (const auto& vector : vectors) {
    for (size_t i = 0; i < mean.size(); ++i) {
      mean[i] += vector[i] / double(vectors.size());
    }
  }
  for (auto& vector : vectors) {
    for (size_t i = 0; i < mean.size(); ++i) {
      vector[i] += float(document_weight * mean[i]);
    }
    vector = Unit(vector);
  }
  return vectors;
}

// The `limit` highest, descending, the earlier chunk first among equals.
std::vector<ScoredChunk> Best(const std::vector<float>& scores, size_t limit,
                              const ChunkRecords& chunks, bool texts) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  limit = std::min(limit, order.size());
  std::partial_sort(order.begin(), order.begin() + ptrdiff_t(limit),
                    order.end(), [&](size_t a, size_t b) {
                      return scores[a] != scores[b] ? scores[a] > scores[b]
                                                    : a < b;
                    });
  std::vector<ScoredChunk> best;
  for (size_t i = 0; i < limit; ++i) {
    const ChunkRecord& chunk = *chunks[order[i]];
    ScoredChunk& scored = best.emplace_back();
    scored.index = order[i];
    scored.begin_byte = chunk.begin_byte;
    scored.end_byte = chunk.end_byte;
    scored.begin_token = uint64_t(chunk.place.begin);
    scored.end_token = uint64_t(chunk.place.end);
    scored.score = scores[order[i]];
    if (texts) scored.text = chunk.text;
  }
  return best;
}

}  // namespace

absl::StatusOr<QueryResult> SessionManagerImpl::Query(const SessionCall& call,
                                                      const SessionId& id,
                                                      const QueryArgs& args) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  LH_ASSIGN_OR_RETURN(Pin pin, keeper_.Open({call.tenant, id}, call.stop));
  LH_RETURN_IF_ERROR(WithPlaceOf(pin, CheckQuery(args)));
  QueryResult result;
  std::shared_ptr<const SessionDocument> seen;
  {
    absl::MutexLock lock(&pin.entry().mutex);
    LH_RETURN_IF_ERROR(pin.resident->lost);
    seen = pin.resident->document;
    result.digest = pin.resident->digest;
  }
  result.committed_offset = seen->committed_offset();
  absl::Status status = AnswerQuestions(pin, call, args, seen, &result);
  if (!status.ok()) return WithPlaceOf(pin, status);
  return result;
}

absl::Status SessionManagerImpl::AnswerQuestions(
    Pin& pin, const SessionCall& call, const QueryArgs& args,
    const std::shared_ptr<const SessionDocument>& seen, QueryResult* result) {
  const DocumentEncoder& encoder = *pin.resident->encoder;
  std::vector<Question> questions;
  for (const Content& content : args.questions) {
    LH_ASSIGN_OR_RETURN(questions.emplace_back(), Tokenize(encoder, content));
  }
  Resources resources(&keeper_, pin, seen->encoded_bytes() + seen->own_bytes());
  SessionDocument document(*seen);
  LH_ASSIGN_OR_RETURN(const ChunkRecords chunks,
                      document.WithTail(resources, call.stop));
  if (chunks.empty()) {
    return MakeError(StatusCode::kFailedPrecondition, "SESSION_EMPTY",
                     "the session holds no token yet; append something first");
  }
  environment_->Yield();
  LH_ASSIGN_OR_RETURN(std::vector<Answer> answers,
                      encoder.Ask(chunks, questions, call.stop));
  std::vector<float> pooled;
  if (encoder.needs_retrieval()) {
    LH_ASSIGN_OR_RETURN(pooled, encoder.Retrieve(chunks, call.stop));
  }
  const auto vectors = ComparedVectors(
      MakeChunkResults(encoder, chunks, 0, pooled), args.document_weight);
  result->num_chunks = chunks.size();
  for (Answer& answer : answers) {
    const std::vector<float> own = Unit(answer.own_vector);
    std::vector<float> cosines;
    cosines.reserve(vectors.size());
    for (const auto& vector : vectors) {
      cosines.push_back(
          std::inner_product(own.begin(), own.end(), vector.begin(), 0.0f));
    }
    QueryAnswer& made = result->answers.emplace_back();
    made.attended = Best(answer.chunk_weights, size_t(args.max_attended),
                         chunks, args.texts);
    made.similar = Best(cosines, size_t(args.max_similar), chunks, args.texts);
    made.vector = std::move(answer.vector);
    made.own_vector = std::move(answer.own_vector);
  }
  // The tail's chunks serve the next question as well, if there is room.
  absl::MutexLock lock(&pin.entry().mutex);
  Resident& resident = *pin.resident;
  if (resident.document == seen && !resident.writer &&
      resident.own_bytes->Resize(document.own_bytes())) {
    resident.document =
        std::make_shared<const SessionDocument>(std::move(document));
  }
  return absl::OkStatus();
}

absl::StatusOr<SessionInfo> SessionManagerImpl::Fork(
    const SessionCall& call, const SessionId& id,
    std::optional<absl::Duration> ttl) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  LH_ASSIGN_OR_RETURN(Pin pin, keeper_.Open({call.tenant, id}, call.stop));
  const Resident& parent = *pin.resident;
  LH_ASSIGN_OR_RETURN(const absl::Duration life, CheckTtl(ttl, parent.ttl));
  std::shared_ptr<const SessionDocument> document;
  SessionDigest digest;
  {
    absl::MutexLock lock(&pin.entry().mutex);
    LH_RETURN_IF_ERROR(parent.lost);
    document = parent.document;
    digest = parent.digest;
  }
  LH_ASSIGN_OR_RETURN(auto resident,
                      MakeResident(call.tenant, parent.encoder,
                                   SessionDocument(*document), life));
  resident->digest = digest;
  resident->parent = FormatSessionId(id);
  resident->trusted = parent.trusted;
  return AddSession(call, std::move(resident));
}

absl::Status SessionManagerImpl::Export(
    const SessionCall& call, const SessionId& id,
    absl::FunctionRef<absl::Status(std::string_view)> output) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  LH_ASSIGN_OR_RETURN(Pin pin, keeper_.Open({call.tenant, id}, call.stop));
  std::shared_ptr<const SessionDocument> document;
  SessionHead head;
  {
    absl::MutexLock lock(&pin.entry().mutex);
    LH_RETURN_IF_ERROR(pin.resident->lost);
    document = pin.resident->document;
    head = pin.resident->MakeHead();
  }
  SnapshotWriter writer({.tenant = call.tenant,
                         .key = options_.snapshot_key,
                         .max_bytes = options_.max_snapshot_bytes},
                        output);
  LH_RETURN_IF_ERROR(writer.WriteHead(head));
  for (const auto& chunk : document->chunks()) {
    environment_->Yield();
    LH_RETURN_IF_ERROR(environment_->CheckStop(call.stop));
    LH_RETURN_IF_ERROR(writer.WriteChunk(*chunk));
  }
  return writer.Finish();
}

absl::StatusOr<SessionInfo> SessionManagerImpl::Import(
    const SessionCall& call,
    absl::FunctionRef<absl::StatusOr<std::string>()> input,
    std::optional<absl::Duration> ttl) {
  const Running running(this);
  LH_RETURN_IF_ERROR(running.status());
  SnapshotReader reader({.tenant = call.tenant,
                         .key = options_.snapshot_key,
                         .max_bytes = options_.max_snapshot_bytes});
  Imported imported;
  while (true) {
    LH_RETURN_IF_ERROR(environment_->CheckStop(call.stop));
    environment_->Yield();
    LH_ASSIGN_OR_RETURN(const std::string bytes, input());
    if (bytes.empty()) break;
    LH_RETURN_IF_ERROR(reader.Append(bytes));
    LH_RETURN_IF_ERROR(TakeImported(call, reader, &imported));
  }
  LH_RETURN_IF_ERROR(reader.Finish());
  LH_RETURN_IF_ERROR(TakeImported(call, reader, &imported));
  // Finish says SNAPSHOT_INVALID where there is no head.
  const SessionHead& head = *reader.head();
  LH_ASSIGN_OR_RETURN(
      const absl::Duration life,
      CheckTtl(ttl, std::clamp(head.ttl, absl::Seconds(1), options_.max_ttl)));
  absl::StatusOr<SessionDocument> document = SessionDocument::Restore(
      imported.encoder, keeper_.DocumentOptions(call.tenant), head,
      std::move(imported.chunks));
  if (absl::IsDataLoss(document.status())) {
    return MakeError(StatusCode::kInvalidArgument, "SNAPSHOT_INVALID",
                     "the snapshot's chunks are not those of its content; "
                     "export the session again");
  }
  LH_RETURN_IF_ERROR(document.status());
  LH_ASSIGN_OR_RETURN(auto resident, MakeResident(call.tenant, imported.encoder,
                                                  *std::move(document), life));
  resident->digest = head.digest;
  resident->trusted = keeper_.trusts_imports();
  if (!resident->trusted) keeper_.NoteUntrusted();
  return AddSession(call, std::move(resident));
}

absl::Status SessionManagerImpl::TakeImported(const SessionCall& call,
                                              SnapshotReader& reader,
                                              Imported* imported) {
  if (reader.head() == nullptr) return absl::OkStatus();
  if (imported->encoder == nullptr) {
    const SessionHead& head = *reader.head();
    if (head.state != SessionState::kOpen &&
        head.state != SessionState::kClosed) {
      return MakeError(StatusCode::kInvalidArgument, "SNAPSHOT_INVALID",
                       "the snapshot is not of a session with content");
    }
    LH_ASSIGN_OR_RETURN(imported->encoder,
                        keeper_.OpenEncoder(head.options, head.fingerprint));
    reader.set_decoder(imported->encoder.get());
  }
  for (auto& chunk : reader.TakeChunks()) {
    imported->bytes += chunk->encoded->bytes() + chunk->own_bytes();
    LH_ASSIGN_OR_RETURN(
        chunk, keeper_.Charge(call.tenant, std::move(chunk), imported->bytes,
                              keeper_.trusts_imports()));
    imported->chunks.push_back(std::move(chunk));
  }
  return absl::OkStatus();
}

}  // namespace longhand
