#include "core/engine/span_pooler.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace longhand {
namespace {

std::string Describe(const SpanResult& result) {
  return absl::StrCat("span ", result.index, ", [", result.span.begin, ", ",
                      result.span.end, "),");
}

}  // namespace

SpanPooler::SpanPooler(std::vector<ByteSpan> spans, const Pooler* pooler)
    : pooler_(pooler), spans_(std::move(spans)) {
  waiting_.resize(spans_.size());
  std::iota(waiting_.begin(), waiting_.end(), 0);
  std::stable_sort(waiting_.begin(), waiting_.end(), [this](int a, int b) {
    return spans_[a].begin > spans_[b].begin;
  });
}

absl::Status SpanPooler::OpenUntil(uint64_t byte) {
  while (!waiting_.empty() && spans_[waiting_.back()].begin < byte) {
    const int32_t index = waiting_.back();
    waiting_.pop_back();
    if (open_.size() == kMaxOpen) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "TOO_MANY_SPANS",
          absl::StrCat("more than ", kMaxOpen, " spans reach over byte ",
                       spans_[index].begin,
                       "; send the document again with the others"));
    }
    open_.push_back({.result = {.index = index, .span = spans_[index]}});
  }
  return absl::OkStatus();
}

void SpanPooler::Pool(const Tokens& tokens, Open* open) const {
  const ByteSpan& span = open->result.span;
  const int count = static_cast<int>(tokens.begin.size());
  // Offsets do not descend, so the tokens that reach in are neighbours.
  int begin = 0;
  while (begin < count && tokens.end[begin] <= span.begin) ++begin;
  int end = begin;
  while (end < count && tokens.begin[end] < span.end) ++end;
  if (begin == end) return;
  std::vector<float> pooled(size_t(tokens.hidden_size));
  pooler_->PoolChunk(tokens.hidden + int64_t{begin} * tokens.hidden_size,
                     end - begin, absl::MakeSpan(pooled));
  pooler_->AddChunk(pooled, end - begin, &open->state);
  if (!open->has_tokens) open->result.begin_token = tokens.first + begin;
  open->result.end_token = tokens.first + end;
  open->has_tokens = true;
}

absl::Status SpanPooler::Complete(Open open,
                                  std::vector<SpanResult>* complete) const {
  if (!open.has_tokens) {
    return MakeError(absl::StatusCode::kInvalidArgument, "SPAN_EMPTY",
                     absl::StrCat(Describe(open.result),
                                  " holds no token, only white space or what "
                                  "the tokenizer drops; leave it out"),
                     {{"span", absl::StrCat(open.result.index)}});
  }
  open.result.vector.resize(size_t(hidden_size_));
  pooler_->Finish(open.state, absl::MakeSpan(open.result.vector));
  open.result.norm = NormL2(open.result.vector);
  complete->push_back(std::move(open.result));
  return absl::OkStatus();
}

absl::Status SpanPooler::Add(const Tokens& tokens, uint64_t next_begin,
                             std::vector<SpanResult>* complete) {
  hidden_size_ = tokens.hidden_size;
  LH_RETURN_IF_ERROR(OpenUntil(next_begin));
  std::vector<Open> still_open;
  for (Open& open : open_) {
    Pool(tokens, &open);
    if (open.result.span.end > next_begin) {
      still_open.push_back(std::move(open));
    } else {
      LH_RETURN_IF_ERROR(Complete(std::move(open), complete));
    }
  }
  open_ = std::move(still_open);
  return absl::OkStatus();
}

absl::Status SpanPooler::Finish(uint64_t length,
                                std::vector<SpanResult>* complete) {
  // Whatever is left reaches behind the text, or begins there.
  for (const int32_t index : waiting_) {
    open_.push_back({.result = {.index = index, .span = spans_[index]}});
  }
  waiting_.clear();
  for (Open& open : open_) {
    if (open.result.span.end <= length) {
      LH_RETURN_IF_ERROR(Complete(std::move(open), complete));
      continue;
    }
    return MakeError(
        absl::StatusCode::kInvalidArgument, "SPAN_INVALID",
        absl::StrCat(Describe(open.result), " ends behind the text, which has ",
                     length, " bytes; give spans of this text"),
        {{"span", absl::StrCat(open.result.index)}});
  }
  open_.clear();
  return absl::OkStatus();
}

}  // namespace longhand
