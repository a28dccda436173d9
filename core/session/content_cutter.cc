#include "core/session/content_cutter.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"

namespace longhand {
namespace {

// Text is made into tokens in pieces of so many bytes, so that most places
// where that can begin anew are seen.
constexpr size_t kPieceBytes = 512;

void AppendTo(const TokenSequence& source, TokenSequence* target) {
  target->ids.insert(target->ids.end(), source.ids.begin(), source.ids.end());
  target->begin.insert(target->begin.end(), source.begin.begin(),
                       source.begin.end());
  target->end.insert(target->end.end(), source.end.begin(), source.end.end());
}

void EraseFront(int64_t count, TokenSequence* tokens) {
  tokens->ids.erase(tokens->ids.begin(), tokens->ids.begin() + count);
  tokens->begin.erase(tokens->begin.begin(), tokens->begin.begin() + count);
  tokens->end.erase(tokens->end.begin(), tokens->end.begin() + count);
}

}  // namespace

ContentCutter::ContentCutter(const DocumentEncoder* encoder)
    : encoder_(encoder), chunker_(encoder->MakeChunker()) {}

ContentCutter::ContentCutter(const ContentCutter& other)
    : encoder_(other.encoder_),
      chunker_(other.chunker_->Clone()),
      stream_(other.stream_),
      text_(other.text_),
      text_begin_(other.text_begin_),
      received_bytes_(other.received_bytes_),
      tokens_(other.tokens_),
      first_token_(other.first_token_),
      cut_bytes_(other.cut_bytes_),
      cut_tokens_(other.cut_tokens_),
      restarts_(other.restarts_) {}

absl::Status ContentCutter::AddText(std::string_view text,
                                    std::vector<CutChunk>* out) {
  if (!stream_) {
    LH_ASSIGN_OR_RETURN(stream_, encoder_->MakeTextStream(received_bytes_));
  }
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, kPieceBytes);
    text.remove_prefix(piece.size());
    TokenSequence tokens;
    LH_RETURN_IF_ERROR(stream_->Append(piece, &tokens));
    Take(piece, tokens, out);
    NoteRestart({stream_->restart_byte(), received_tokens()});
  }
  return absl::OkStatus();
}

void ContentCutter::AddIds(absl::Span<const int32_t> ids,
                           std::vector<CutChunk>* out) {
  TokenSequence tokens;
  tokens.ids.assign(ids.begin(), ids.end());
  tokens.begin.assign(ids.size(), 0);
  tokens.end.assign(ids.size(), 0);
  Take({}, tokens, out);
}

absl::Status ContentCutter::Finish(std::vector<CutChunk>* out) {
  if (stream_) {
    TokenSequence tokens;
    LH_RETURN_IF_ERROR(stream_->Finish(&tokens));
    Take({}, tokens, out);
  }
  chunker_->Flush(&places_);
  TakeChunks(out);
  return absl::OkStatus();
}

void ContentCutter::Replay(const ChunkRecord& record,
                           const RestartPoint& restart,
                           std::vector<CutChunk>* out) {
  const bool is_text = !record.token_begin.empty();
  const uint64_t place_begin = uint64_t(record.place.begin);
  const size_t count = size_t(std::min<uint64_t>(
      record.ids.size(), restart.token - std::min(restart.token, place_begin)));
  TokenSequence tokens;
  tokens.ids.assign(record.ids.begin(), record.ids.begin() + int64_t(count));
  for (size_t i = 0; i < count; ++i) {
    tokens.begin.push_back(is_text ? record.begin_byte + record.token_begin[i]
                                   : 0);
    tokens.end.push_back(is_text ? record.begin_byte + record.token_end[i] : 0);
  }
  const std::string_view text =
      is_text ? std::string_view(record.text)
                    .substr(0, restart.byte -
                                   std::min(restart.byte, record.begin_byte))
              : std::string_view();
  Take(text, tokens, out);
  if (record.restart.byte <= restart.byte) NoteRestart(record.restart);
}

void ContentCutter::Take(std::string_view text, const TokenSequence& tokens,
                         std::vector<CutChunk>* out) {
  text_ += text;
  received_bytes_ += text.size();
  AppendTo(tokens, &tokens_);
  chunker_->Push(text, tokens, &places_);
  TakeChunks(out);
}

void ContentCutter::TakeChunks(std::vector<CutChunk>* out) {
  if (places_.empty()) return;
  for (const Chunk& place : places_) out->push_back(Cut(place));
  DropBefore(places_.back());
  places_.clear();
}

uint64_t ContentCutter::EndByte(const Chunk& place) const {
  if (!is_text()) return 0;
  const size_t next = size_t(place.end - first_token_);
  // A chunk is final once the token after it is known, or the content's end.
  return next < tokens_.size() ? std::max(tokens_.begin[next], cut_bytes_)
                               : received_bytes_;
}

CutChunk ContentCutter::Cut(const Chunk& place) {
  CutChunk cut;
  ChunkRecord& record = cut.record;
  record.place = place;
  record.begin_byte = cut_bytes_;
  record.end_byte = EndByte(place);
  record.restart = RestartBefore(place.end);
  const auto at = [this](int64_t token) { return token - first_token_; };
  const auto ids = tokens_.ids.begin();
  record.ids.assign(ids + at(place.begin), ids + at(place.end));
  cut.window_ids.assign(ids + at(place.window_begin),
                        ids + at(place.window_end));
  if (is_text()) {
    record.text = text_.substr(record.begin_byte - text_begin_,
                               record.end_byte - record.begin_byte);
    for (size_t i = size_t(at(place.begin)); i < size_t(at(place.end)); ++i) {
      record.token_begin.push_back(
          uint32_t(std::max(tokens_.begin[i], cut_bytes_) - cut_bytes_));
      record.token_end.push_back(
          uint32_t(std::max(tokens_.end[i], cut_bytes_) - cut_bytes_));
    }
  }
  cut_bytes_ = record.end_byte;
  cut_tokens_ = place.end;
  return cut;
}

RestartPoint ContentCutter::RestartBefore(int64_t token) {
  while (restarts_.size() > 1 && int64_t(restarts_[1].token) < token) {
    restarts_.pop_front();
  }
  return restarts_.front();
}

void ContentCutter::NoteRestart(const RestartPoint& restart) {
  if (restart.byte > restarts_.back().byte) restarts_.push_back(restart);
}

void ContentCutter::DropBefore(const Chunk& last) {
  // Erasing moves what stays, so it waits until that is the smaller part. The
  // next window begins after the last one began.
  const int64_t tokens = last.window_begin - first_token_;
  if (tokens * 2 >= int64_t(tokens_.size())) {
    EraseFront(tokens, &tokens_);
    first_token_ = last.window_begin;
  }
  const uint64_t bytes = cut_bytes_ - text_begin_;
  if (bytes * 2 >= text_.size()) {
    text_.erase(0, bytes);
    text_begin_ = cut_bytes_;
  }
}

uint64_t ContentCutter::own_bytes() const {
  constexpr uint64_t kTokenBytes = sizeof(int32_t) + 2 * sizeof(uint64_t);
  return sizeof(*this) + text_.size() + tokens_.size() * kTokenBytes +
         (stream_ ? stream_->held_bytes() : 0) +
         restarts_.size() * sizeof(RestartPoint);
}

}  // namespace longhand
