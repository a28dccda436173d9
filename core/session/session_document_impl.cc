#include "core/session/session_document_impl.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/document_errors.h"

namespace longhand {
namespace {

// What goes through the cutter at a time, in bytes or ids: chunks are encoded
// while they come.
constexpr size_t kStep = size_t{1} << 15;

ContentKind KindOf(const Content& content) {
  return std::holds_alternative<std::string>(content) ? ContentKind::kText
                                                      : ContentKind::kIds;
}

// Bytes of text, or tokens.
uint64_t LengthOf(const Content& content) {
  return std::visit([](const auto& values) { return uint64_t(values.size()); },
                    content);
}

}  // namespace

RecordBytes BytesOf(
    absl::Span<const std::shared_ptr<const ChunkRecord>> records) {
  RecordBytes bytes{.own = records.size() * sizeof(records[0])};
  for (const auto& record : records) {
    bytes += {record->own_bytes(), record->encoded->bytes()};
  }
  return bytes;
}

absl::Status SessionDocument::Impl::CheckContent(const Content& content,
                                                 uint64_t offset,
                                                 uint64_t length) const {
  const ContentKind kind = KindOf(content);
  if (kind_ != ContentKind::kUnknown && kind_ != kind) {
    return MixedContentError();
  }
  const bool is_text = kind == ContentKind::kText;
  if (!is_text && cutter_.needs_text()) {
    return TextNeededError(absl::StrCat(
        "the chunker \"", encoder_->options().chunker, "\" needs"));
  }
  const uint64_t bytes = is_text ? length : length * sizeof(int32_t);
  if (bytes > options_.max_document_bytes) {
    return DocumentTooLongError(is_text, bytes, options_.max_document_bytes);
  }
  if (is_text) return absl::OkStatus();
  return encoder_->CheckIds(std::get<std::vector<int32_t>>(content), offset);
}

absl::Status SessionDocument::Impl::FeedText(std::string_view text,
                                             ContentCutter& cutter,
                                             RecordBuilder& builder) {
  while (!text.empty()) {
    std::vector<CutChunk> cuts;
    LH_RETURN_IF_ERROR(cutter.AddText(text.substr(0, kStep), &cuts));
    LH_RETURN_IF_ERROR(builder.Add(std::move(cuts)));
    text.remove_prefix(std::min(text.size(), kStep));
  }
  return absl::OkStatus();
}

absl::Status SessionDocument::Impl::FeedIds(absl::Span<const int32_t> ids,
                                            ContentCutter& cutter,
                                            RecordBuilder& builder) {
  while (!ids.empty()) {
    std::vector<CutChunk> cuts;
    cutter.AddIds(ids.subspan(0, kStep), &cuts);
    LH_RETURN_IF_ERROR(builder.Add(std::move(cuts)));
    ids.remove_prefix(std::min(ids.size(), kStep));
  }
  return absl::OkStatus();
}

absl::Status SessionDocument::Impl::Feed(const Content& content,
                                         ContentCutter& cutter,
                                         RecordBuilder& builder) {
  if (const auto* text = std::get_if<std::string>(&content)) {
    return FeedText(*text, cutter, builder);
  }
  return FeedIds(std::get<std::vector<int32_t>>(content), cutter, builder);
}

absl::Status SessionDocument::Impl::FeedOwn(uint64_t begin, uint64_t end,
                                            ContentCutter& cutter,
                                            RecordBuilder& builder) const {
  const bool is_text = kind_ == ContentKind::kText;
  const auto end_of = [is_text](const auto& record) {
    return is_text ? record->end_byte : uint64_t(record->place.end);
  };
  auto record = std::partition_point(
      chunks_.begin(), chunks_.end(),
      [&](const auto& candidate) { return end_of(candidate) <= begin; });
  for (; record != chunks_.end() && begin < end; ++record) {
    const uint64_t first =
        is_text ? (*record)->begin_byte : uint64_t((*record)->place.begin);
    const size_t at = size_t(begin - first);
    const size_t count = size_t(std::min(end, end_of(*record)) - begin);
    if (is_text) {
      LH_RETURN_IF_ERROR(
          FeedText(std::string_view((*record)->text).substr(at, count), cutter,
                   builder));
    } else {
      LH_RETURN_IF_ERROR(
          FeedIds(absl::MakeConstSpan((*record)->ids).subspan(at, count),
                  cutter, builder));
    }
    begin += count;
  }
  if (begin >= end) return absl::OkStatus();
  const size_t at = size_t(begin - encoded_offset());
  const size_t count = size_t(end - begin);
  return is_text ? FeedText(cutter_.waiting_text().substr(at, count), cutter,
                            builder)
                 : FeedIds(cutter_.waiting_ids().subspan(at, count), cutter,
                           builder);
}

absl::Status SessionDocument::Impl::Replay(const RestartPoint& restart,
                                           ContentCutter& cutter,
                                           RecordBuilder& builder) const {
  for (const auto& record : chunks_) {
    if (uint64_t(record->place.begin) >= restart.token &&
        record->begin_byte >= restart.byte) {
      break;
    }
    std::vector<CutChunk> cuts;
    cutter.Replay(*record, restart, &cuts);
    LH_RETURN_IF_ERROR(builder.Add(std::move(cuts)));
  }
  return absl::OkStatus();
}

RestartPoint SessionDocument::Impl::RestartFor(uint64_t offset) const {
  if (kind_ == ContentKind::kIds) {
    return {.token = std::min(offset, encoded_offset())};
  }
  const auto find = [this](auto is_before) {
    return std::partition_point(
        chunks_.begin(), chunks_.end(),
        [&](const auto& record) { return is_before(record->restart.byte); });
  };
  // The text before the next such place made TextStream choose this one: with
  // that place unchanged, this one is what a new document would have too.
  const auto after = find([&](uint64_t byte) { return byte <= offset; });
  if (after == chunks_.begin()) return {};
  const uint64_t next = (*std::prev(after))->restart.byte;
  const auto at = find([&](uint64_t byte) { return byte < next; });
  return at == chunks_.begin() ? RestartPoint() : (*std::prev(at))->restart;
}

void SessionDocument::Impl::Undo(uint64_t old_chunks) {
  chunks_.resize(old_chunks);
  index_->Put(nullptr);  // it may hold on to them
}

void SessionDocument::Impl::Commit(ContentCutter cutter, ContentKind kind) {
  cutter_ = std::move(cutter);
  kind_ = kind;
  with_tail_.reset();
}

absl::StatusOr<DocumentChange> SessionDocument::Impl::Append(
    const Content& content, DocumentResources& resources,
    const StopCondition& stop) {
  LH_CHECK(!closed_);
  const uint64_t offset = committed_offset();
  LH_RETURN_IF_ERROR(CheckContent(content, offset, offset + LengthOf(content)));
  DocumentChange change{.first_chunk = chunks_.size(),
                        .old_chunks = chunks_.size()};
  ContentCutter cutter(cutter_);
  RecordBuilder builder(ContextOf(resources, stop, *index_), &chunks_);
  builder.ReuseFrom(known_tail());
  absl::Status status = Feed(content, cutter, builder);
  if (status.ok()) status = builder.Finish();
  if (!status.ok()) {
    Undo(change.old_chunks);
    return status;
  }
  records_bytes_ +=
      BytesOf(absl::MakeConstSpan(chunks_).subspan(change.old_chunks));
  Commit(std::move(cutter), KindOf(content));
  for (uint64_t i = change.old_chunks; i < chunks_.size(); ++i) {
    change.changed.push_back(i);
  }
  change.computed_tokens = builder.computed_tokens();
  change.reused_tokens = builder.reused_tokens();
  return change;
}

bool SessionDocument::Impl::IsChanged(const EncodedChunk& a,
                                      const EncodedChunk& b) const {
  if (a.key == b.key) return false;
  // A key covers all of the past, of which a vector may depend on a part.
  return encoder_->needs_retrieval() || a.pooled != b.pooled;
}

std::vector<uint64_t> SessionDocument::Impl::ChangedChunks(
    const ChunkRecords& old, uint64_t shared) const {
  std::vector<uint64_t> changed;
  const bool is_anchored =
      !encoder_->needs_retrieval() && *encoder_->options().anchor_weight != 0;
  bool all = false;
  for (uint64_t i = shared; i < chunks_.size(); ++i) {
    if (!all && i < old.size() &&
        !IsChanged(*old[i]->encoded, *chunks_[i]->encoded)) {
      continue;
    }
    changed.push_back(i);
    all = all || (i == 0 && is_anchored);
  }
  return changed;
}

absl::StatusOr<DocumentChange> SessionDocument::Impl::Replace(
    uint64_t begin, uint64_t end, const Content& content,
    DocumentResources& resources, const StopCondition& stop) {
  LH_CHECK(!closed_);
  const uint64_t committed = committed_offset();
  if (end == UINT64_MAX) end = committed;
  if (begin > committed || end > committed) {
    return MakeError(
        absl::StatusCode::kOutOfRange, "OFFSET_BEYOND_END",
        absl::StrCat("the document ends at ", committed, ", before ",
                     std::max(begin, end), "; ask for its state first"),
        {{"current_offset", absl::StrCat(committed)}});
  }
  if (end < begin) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "RANGE_INVALID",
        absl::StrCat("the range ends at ", end, ", before it begins at ", begin,
                     "; give the first place and one past the "
                     "last"));
  }
  LH_RETURN_IF_ERROR(CheckContent(
      content, begin, committed - (end - begin) + LengthOf(content)));
  ChunkRecords records;
  auto index = std::make_shared<PastIndexSlot>();
  ContentCutter cutter(encoder_.get());
  RecordBuilder builder(ContextOf(resources, stop, *index), &records);
  builder.ReuseFrom(chunks_);
  builder.ReuseFrom(known_tail());
  builder.ContinueAs(chunks_);
  const RestartPoint restart = RestartFor(begin);
  const bool is_ids = KindOf(content) == ContentKind::kIds;
  LH_RETURN_IF_ERROR(Replay(restart, cutter, builder));
  LH_RETURN_IF_ERROR(
      FeedOwn(is_ids ? restart.token : restart.byte, begin, cutter, builder));
  LH_RETURN_IF_ERROR(Feed(content, cutter, builder));
  LH_RETURN_IF_ERROR(FeedOwn(end, committed, cutter, builder));
  LH_RETURN_IF_ERROR(builder.Finish());
  DocumentChange change{.first_chunk = builder.shared(),
                        .old_chunks = chunks_.size(),
                        .computed_tokens = builder.computed_tokens(),
                        .reused_tokens = builder.reused_tokens()};
  records.swap(chunks_);
  index_ = std::move(index);
  change.changed = ChangedChunks(records, change.first_chunk);
  records_bytes_ = BytesOf(chunks_);
  Commit(std::move(cutter), KindOf(content));
  return change;
}

absl::StatusOr<DocumentChange> SessionDocument::Impl::Close(
    DocumentResources& resources, const StopCondition& stop) {
  LH_CHECK(!closed_);
  DocumentChange change{.first_chunk = chunks_.size(),
                        .old_chunks = chunks_.size()};
  ContentCutter cutter(cutter_);
  std::vector<CutChunk> cuts;
  LH_RETURN_IF_ERROR(cutter.Finish(&cuts));
  if (cutter.received_tokens() == 0) return EmptyDocumentError();
  RecordBuilder builder(ContextOf(resources, stop, *index_), &chunks_);
  builder.ReuseFrom(known_tail());
  absl::Status status = builder.Add(std::move(cuts));
  if (status.ok()) status = builder.Finish();
  if (!status.ok()) {
    Undo(change.old_chunks);
    return status;
  }
  for (uint64_t i = change.old_chunks; i < chunks_.size(); ++i) {
    change.changed.push_back(i);
  }
  records_bytes_ +=
      BytesOf(absl::MakeConstSpan(chunks_).subspan(change.old_chunks));
  Commit(std::move(cutter), kind_);
  closed_ = true;
  change.computed_tokens = builder.computed_tokens();
  change.reused_tokens = builder.reused_tokens();
  return change;
}

absl::StatusOr<ChunkRecords> SessionDocument::Impl::WithTail(
    DocumentResources& resources, const StopCondition& stop) {
  if (closed_) return chunks_;
  if (with_tail_) return *with_tail_;
  ChunkRecords records = chunks_;
  ContentCutter cutter(cutter_);
  std::vector<CutChunk> cuts;
  absl::Status status = cutter.Finish(&cuts);
  // Inside a character: no tail, for now.
  if (!status.ok() && !absl::IsInvalidArgument(status)) return status;
  if (status.ok()) {
    RecordBuilder::Context context = ContextOf(resources, stop, *index_);
    context.keep = false;
    RecordBuilder builder(context, &records);
    LH_RETURN_IF_ERROR(builder.Add(std::move(cuts)));
    LH_RETURN_IF_ERROR(builder.Finish());
  }
  with_tail_ = records;
  return records;
}

std::string SessionDocument::Impl::tail() const {
  if (kind_ != ContentKind::kIds) return std::string(cutter_.waiting_text());
  const absl::Span<const int32_t> ids = cutter_.waiting_ids();
  std::string bytes(ids.size() * sizeof(int32_t), '\0');
  if (!ids.empty()) std::memcpy(bytes.data(), ids.data(), bytes.size());
  return bytes;
}

}  // namespace longhand
