#include "client/appender.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client_error.h"
#include "client/crc32c.h"
#include "client/rpc_status.h"
#include "client/state_digest.h"
#include "client/status_macros.h"

namespace longhand::client {
namespace {

// Where the server does not say; the protocol's own limit.
constexpr uint64_t kDefaultMaxAppendBytes = uint64_t{1} << 20;
// Digests that are remembered; a gap further back is not gone on from.
constexpr size_t kMaxHistory = 16384;

absl::Status SessionChanged(absl::string_view what, uint64_t offset) {
  return MakeClientError(
      absl::StatusCode::kAborted, "SESSION_CHANGED",
      absl::StrCat(what, "; content from position ", offset,
                   " on was not appended. A session takes one writer at a "
                   "time: find the other one, or fork the session"),
      {{"resume_offset", absl::StrCat(offset)}});
}

absl::Status BadAnswer(absl::string_view what) {
  return MakeClientError(
      absl::StatusCode::kDataLoss, "INCOMPLETE_RESULT",
      absl::StrCat("the server's answer to an append makes no sense: ", what));
}

// Little-endian int32 values to ids.
void SetTokenIds(absl::string_view bytes, v1::AppendSessionRequest* request) {
  auto* ids = request->mutable_token_ids()->mutable_ids();
  for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    uint32_t id = 0;
    for (size_t k = 0; k < 4; ++k) {
      id |= uint32_t{static_cast<unsigned char>(bytes[i + k])} << (8 * k);
    }
    ids->Add(id);
  }
}

uint64_t ContentBytes(const v1::AppendSessionRequest& request) {
  return request.has_token_ids()
             ? uint64_t{4} *
                   static_cast<uint64_t>(request.token_ids().ids_size())
             : request.text().size();
}

// Failures of a stream that is only idle or was cut off, as UNAVAILABLE: the
// append in work can be sent again.
absl::Status AsConnectionLoss(const absl::Status& status, bool cancelled) {
  const bool cut_off =
      absl::IsCancelled(status) && !cancelled && !GetErrorDetail(status);
  if (!cut_off && !HasReason(status, "CLIENT_STALLED")) return status;
  return absl::UnavailableError(status.message());
}

}  // namespace

Appender::Appender(SessionClient* client, SessionChannels* channels,
                   const ClientOptions* client_options,
                   const AppendOptions& options)
    : client_(client),
      channels_(channels),
      client_options_(*client_options),
      options_(options),
      unit_(options.token_ids ? 4 : 1),
      route_(channels, options.session_id) {}

AppendProgress Appender::progress() const {
  absl::MutexLock lock(&mutex_);
  return progress_;
}

CallOptions Appender::RemainingCall() const {
  return {calls_.deadline == absl::InfiniteFuture()
              ? absl::InfiniteDuration()
              : calls_.deadline - absl::Now(),
          calls_.cancellation};
}

absl::StatusOr<AppendSummary> Appender::Run(ContentSource* source,
                                            const AppendCallbacks& callbacks,
                                            const CallOptions& call) {
  calls_.callbacks = &callbacks;
  calls_.deadline =
      absl::Now() + call.deadline.value_or(client_options_.deadline);
  calls_.cancellation =
      call.cancellation != nullptr ? call.cancellation : &never_;
  wait_.emplace(client_options_.retry, calls_.deadline, calls_.cancellation);
  absl::Status status = Start(source);
  if (status.ok()) status = SendAll();
  stream_.reset();
  LH_CLIENT_RETURN_IF_ERROR(status);
  return Finish();
}

absl::StatusOr<size_t> Appender::FindPieceLimit() {
  v1::GetModelRequest request;
  v1::GetModelResponse response;
  const absl::Status status =
      RetryLoop(client_options_, RemainingCall())
          .Run([&](grpc::ClientContext& context) {
            return Attempt{FromGrpcStatus(
                channels_->models()->GetModel(&context, request, &response))};
          });
  // A proxy may offer sessions alone.
  if (!status.ok() && !absl::IsUnimplemented(status)) return status;
  const uint64_t limit = response.model().session_limits().max_append_bytes();
  return static_cast<size_t>(limit != 0 ? limit : kDefaultMaxAppendBytes);
}

absl::Status Appender::Start(ContentSource* source) {
  LH_CLIENT_ASSIGN_OR_RETURN(const size_t limit, FindPieceLimit());
  piece_bytes_ = std::max<size_t>(std::min(options_.piece_bytes, limit), unit_);
  LH_CLIENT_ASSIGN_OR_RETURN(
      session_, client_->Get(options_.session_id, RemainingCall()));
  const uint64_t has = session_.committed_offset();
  const uint64_t begin = options_.source_offset.value_or(has);
  if (begin > has) {
    return MakeClientError(
        absl::StatusCode::kOutOfRange, "SOURCE_OFFSET",
        absl::StrCat("the session ends at ", has, "; content from ", begin,
                     " on would leave a gap"),
        {{"committed_offset", absl::StrCat(has)}});
  }
  closed_ = session_.state() == v1::SESSION_STATE_CLOSED;
  next_chunk_ = session_.chunk_count();
  MoveTo(has, session_.state_digest());
  window_.emplace(source, Bytes(begin), unit_, options_.buffer_bytes);
  skipped_bytes_ = Bytes(has - begin);
  {
    absl::MutexLock lock(&mutex_);
    progress_.committed_offset = has;
    progress_.durable_offset = session_.durable_offset();
  }
  if (calls_.callbacks->on_start) {
    LH_CLIENT_RETURN_IF_ERROR(
        calls_.callbacks->on_start(session_, skipped_bytes_));
  }
  LH_CLIENT_RETURN_IF_ERROR(window_->SkipTo(Bytes(has)));
  absl::MutexLock lock(&mutex_);
  progress_.source_bytes = skipped_bytes_;
  return absl::OkStatus();
}

absl::Status Appender::SendAll() {
  for (;;) {
    bool close = false;
    if (Bytes(committed_) == window_->end()) {
      if (!window_->source_ended()) {
        LH_CLIENT_RETURN_IF_ERROR(window_->Fill(piece_bytes_));
        continue;
      }
      // Nothing is left to send, and a session that is closed needs no closing.
      close = options_.close && !closed_;
      if (!close) return absl::OkStatus();
    }
    LH_CLIENT_RETURN_IF_ERROR(SendOne(close));
  }
}

v1::AppendSessionRequest Appender::MakeRequest(bool close) {
  v1::AppendSessionRequest request;
  request.set_session_id(options_.session_id);
  request.set_expected_offset(committed_);
  const uint64_t id[2] = {absl::Uniform<uint64_t>(random_),
                          absl::Uniform<uint64_t>(random_)};
  request.set_append_id(id, sizeof(id));
  const absl::string_view content =
      window_->Peek(Bytes(committed_), piece_bytes_ / unit_ * unit_);
  if (options_.token_ids) {
    request.mutable_token_ids();
    SetTokenIds(content, &request);
  } else {
    request.set_text(content.data(), content.size());
  }
  request.set_payload_crc32c(Crc32c(content));
  request.set_min_durability(
      want_durable_ ? std::max(options_.min_durability, session_.durability())
                    : options_.min_durability);
  request.set_if_state_digest(digest_);
  request.set_provisional(options_.provisional);
  request.set_close(close);
  return request;
}

absl::Status Appender::SendOne(bool close) {
  const v1::AppendSessionRequest request = MakeRequest(close);
  for (int sends = 1;; ++sends) {
    const absl::StatusOr<v1::AppendResult> result = Exchange(request);
    if (result.ok()) return Acknowledge(request, *result);
    bool moved = false;
    LH_CLIENT_RETURN_IF_ERROR(Recover(request, sends, result.status(), &moved));
    if (moved) return absl::OkStatus();
  }
}

absl::StatusOr<v1::AppendResult> Appender::Exchange(
    const v1::AppendSessionRequest& request) {
  if (stream_ == nullptr) {
    stream_ = std::make_unique<AppendStream>(route_, calls_.deadline,
                                             calls_.cancellation);
  }
  provisional_.clear();
  absl::StatusOr<v1::AppendResult> result = stream_->Exchange(
      request,
      [this](const v1::AppendSessionResponse& part) { TakeChunk(part); });
  if (!result.ok()) {
    pushback_ = stream_->pushback();
    stream_.reset();
  }
  return result;
}

void Appender::TakeChunk(const v1::AppendSessionResponse& response) {
  if (response.has_provisional_chunk()) {
    provisional_.push_back(response.provisional_chunk());
  } else if (response.has_chunk() && response.chunk().index() >= next_chunk_) {
    // An append that is computed again gives its chunks again.
    held_[response.chunk().index()] = response.chunk();
  }
}

absl::Status Appender::HandOutChunks() {
  for (const auto& [index, message] : std::exchange(held_, {})) {
    lost_chunks_ += index - next_chunk_;
    next_chunk_ = uint64_t{index} + 1;
    if (!calls_.callbacks->on_chunk) continue;
    LH_CLIENT_ASSIGN_OR_RETURN(Chunk chunk, ToChunk(message));
    LH_CLIENT_RETURN_IF_ERROR(calls_.callbacks->on_chunk(std::move(chunk)));
  }
  for (const v1::Chunk& message : std::exchange(provisional_, {})) {
    if (!calls_.callbacks->on_provisional_chunk) break;
    LH_CLIENT_ASSIGN_OR_RETURN(Chunk chunk, ToChunk(message));
    LH_CLIENT_RETURN_IF_ERROR(
        calls_.callbacks->on_provisional_chunk(std::move(chunk)));
  }
  return absl::OkStatus();
}

void Appender::MoveTo(uint64_t offset, const std::string& digest) {
  committed_ = offset;
  digest_ = digest;
  history_.erase(history_.upper_bound(offset), history_.end());
  history_[offset] = digest;
  if (history_.size() > kMaxHistory) history_.erase(history_.begin());
}

void Appender::CountProgress(const v1::AppendResult& result,
                             bool best_durability) {
  const uint64_t durable = best_durability
                               ? committed_
                               : std::min(result.durable_offset(), committed_);
  want_durable_ = !window_->Forget(Bytes(durable));
  absl::MutexLock lock(&mutex_);
  progress_.committed_offset = committed_;
  progress_.durable_offset = result.durable_offset();
  progress_.source_bytes = Bytes(committed_) - window_->source_begin();
  progress_.computed_tokens += result.computed_tokens();
  progress_.reused_tokens += result.reused_tokens();
  ++progress_.appends;
}

absl::Status Appender::Acknowledge(const v1::AppendSessionRequest& request,
                                   const v1::AppendResult& result) {
  const uint64_t expected =
      request.expected_offset() + ContentBytes(request) / unit_;
  if (result.append_id() != request.append_id()) {
    return BadAnswer("it is for another append");
  }
  if (result.duplicate() ? result.committed_offset() < expected
                         : result.committed_offset() != expected) {
    return BadAnswer(absl::StrCat("the session should have ", expected,
                                  " and has ", result.committed_offset()));
  }
  // A duplicate may be answered with a later state.
  const std::string digest = DigestAfter(digest_, request);
  if (result.committed_offset() == expected && !digest.empty() &&
      !result.state_digest().empty() && digest != result.state_digest()) {
    return MakeClientError(
        absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
        absl::StrCat("what the server made of the content from position ",
                     request.expected_offset(),
                     " on is not what was sent: rewind the session to there, "
                     "or discard it"),
        {{"resume_offset", absl::StrCat(request.expected_offset())}});
  }
  MoveTo(expected, result.committed_offset() == expected ? result.state_digest()
                                                         : std::string());
  had_duplicate_ |= result.duplicate();
  closed_ |= request.close();
  wait_->Reset();
  CountProgress(result, request.min_durability() >= session_.durability());
  LH_CLIENT_RETURN_IF_ERROR(HandOutChunks());
  if (calls_.callbacks->on_progress) {
    calls_.callbacks->on_progress(progress());
  }
  return absl::OkStatus();
}

absl::Status Appender::Accept(const v1::AppendSessionRequest& request,
                              const v1::Session& session) {
  v1::AppendResult result;
  result.set_append_id(request.append_id());
  result.set_committed_offset(session.committed_offset());
  result.set_durable_offset(session.durable_offset());
  result.set_state_digest(session.state_digest());
  result.set_duplicate(true);
  return Acknowledge(request, result);
}

absl::Status Appender::WaitAfter(const absl::Status& status) {
  route_.AfterFailure(status);
  return wait_->AfterFailure(status, std::exchange(pushback_, std::nullopt));
}

absl::Status Appender::Recover(const v1::AppendSessionRequest& request,
                               int sends, const absl::Status& status,
                               bool* moved) {
  if (HasReason(status, "OFFSET_GAP") ||
      HasReason(status, "OFFSET_ALREADY_WRITTEN")) {
    return Reconcile(request, sends, status, moved);
  }
  if (HasReason(status, "SESSION_CLOSED") && request.close() && sends > 1) {
    // By this append, whose answer was lost: closing comes before its id.
    LH_CLIENT_ASSIGN_OR_RETURN(
        const v1::Session session,
        client_->Get(options_.session_id, RemainingCall()));
    if (session.committed_offset() != committed_) return status;
    *moved = true;
    return Accept(request, session);
  }
  return WaitAfter(AsConnectionLoss(status, calls_.cancellation->cancelled()));
}

absl::Status Appender::Reconcile(const v1::AppendSessionRequest& request,
                                 int sends, const absl::Status& status,
                                 bool* moved) {
  LH_CLIENT_ASSIGN_OR_RETURN(
      const v1::Session session,
      client_->Get(options_.session_id, RemainingCall()));
  const uint64_t has = session.committed_offset();
  const uint64_t expected =
      request.expected_offset() + ContentBytes(request) / unit_;
  if (has > committed_) {
    // Only this append, sent before, explains that; the server has forgotten
    // its id. The digest knows for sure.
    const std::string digest = DigestAfter(digest_, request);
    const bool is_done =
        digest.empty() ? sends > 1 : digest == session.state_digest();
    if (has != expected || !is_done) {
      return SessionChanged(
          absl::StrCat("the session has ", has, " where this client brought ",
                       "it to ", committed_),
          committed_);
    }
    *moved = true;
    return Accept(request, session);
  }
  // A server that loses content each time must not be asked for ever.
  LH_CLIENT_RETURN_IF_ERROR(
      WaitAfter(absl::UnavailableError(status.message())));
  if (has == committed_) return absl::OkStatus();
  *moved = true;
  return GoBackTo(session);
}

absl::Status Appender::GoBackTo(const v1::Session& session) {
  const uint64_t has = session.committed_offset();
  const auto known = history_.find(has);
  if (known == history_.end() && has >= history_.begin()->first) {
    return SessionChanged(
        absl::StrCat("the session went back to ", has,
                     ", which is not where an append of this client ended"),
        has);
  }
  if (known != history_.end() && !known->second.empty() &&
      !session.state_digest().empty() &&
      known->second != session.state_digest()) {
    return SessionChanged(
        absl::StrCat("the session went back to ", has,
                     " and has other content there than this client appended"),
        has);
  }
  held_.clear();
  LH_CLIENT_RETURN_IF_ERROR(window_->GoBack(Bytes(has)));
  MoveTo(has, session.state_digest());
  closed_ = session.state() == v1::SESSION_STATE_CLOSED;
  absl::MutexLock lock(&mutex_);
  progress_.committed_offset = has;
  progress_.durable_offset = session.durable_offset();
  progress_.source_bytes = Bytes(has) - window_->source_begin();
  return absl::OkStatus();
}

absl::StatusOr<AppendSummary> Appender::Finish() {
  AppendSummary summary;
  LH_CLIENT_ASSIGN_OR_RETURN(
      summary.session, client_->Get(options_.session_id, RemainingCall()));
  summary.progress = progress();
  summary.skipped_bytes = skipped_bytes_;
  if (had_duplicate_ && summary.session.chunk_count() > next_chunk_) {
    lost_chunks_ += summary.session.chunk_count() - next_chunk_;
  }
  summary.lost_chunks = lost_chunks_;
  return summary;
}

}  // namespace longhand::client
