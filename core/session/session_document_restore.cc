// Restoring a document from a store: its content is cut anew, and what was
// stored must be what that gives.

#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/session/session_document_impl.h"

namespace longhand {
namespace {

absl::Status StoreCorrupt() {
  return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                   "the stored chunks are not those of the stored content; "
                   "open a new session and send the document again");
}

}  // namespace

absl::Status SessionDocument::Impl::CheckStored(
    const SessionHead& head, const ChunkRecords& stored) const {
  const size_t unit = head.kind == ContentKind::kIds ? sizeof(int32_t) : 1;
  uint64_t length = head.tail.size() / unit;
  uint64_t tokens = 0;
  for (const auto& record : stored) {
    length += unit == 1 ? record->text.size() : record->ids.size();
    tokens += record->ids.size();
    const size_t hidden = size_t(encoder_->hidden_size());
    if (record->encoded == nullptr ||
        record->encoded->pooled.size() !=
            (encoder_->needs_retrieval() ? 0 : hidden)) {
      return StoreCorrupt();
    }
  }
  const bool matches =
      stored.size() == head.num_chunks && tokens == head.num_tokens &&
      length == head.committed_offset && head.tail.size() % unit == 0 &&
      (head.kind != ContentKind::kUnknown || length == 0);
  return matches ? absl::OkStatus() : StoreCorrupt();
}

absl::Status SessionDocument::Impl::TakeStored(std::vector<CutChunk> cuts,
                                               const ChunkRecords& stored) {
  for (CutChunk& cut : cuts) {
    if (chunks_.size() >= stored.size()) return StoreCorrupt();
    const std::shared_ptr<const ChunkRecord>& record = stored[chunks_.size()];
    const ChunkKey previous =
        chunks_.empty() ? ChunkKey{} : chunks_.back()->encoded->key;
    const ChunkKey key = encoder_->MakeKey(options_.salt, previous,
                                           cut.record.place, cut.window_ids);
    if (record->encoded->key != key || !IsSameContent(*record, cut.record)) {
      return StoreCorrupt();
    }
    cut.record.encoded = record->encoded;
    // A place to begin anew may be one of several.
    chunks_.push_back(
        record->restart == cut.record.restart
            ? record
            : std::make_shared<const ChunkRecord>(std::move(cut.record)));
  }
  return absl::OkStatus();
}

absl::Status SessionDocument::Impl::Restore(const SessionHead& head,
                                            const ChunkRecords& stored) {
  LH_RETURN_IF_ERROR(CheckStored(head, stored));
  kind_ = head.kind;
  std::vector<CutChunk> cuts;
  const auto take_ids = [&](absl::Span<const int32_t> ids) -> absl::Status {
    if (!encoder_->CheckIds(ids, 0).ok()) return StoreCorrupt();
    cutter_.AddIds(ids, &cuts);
    return TakeStored(std::exchange(cuts, {}), stored);
  };
  const auto take_text = [&](std::string_view text) -> absl::Status {
    const absl::Status status = cutter_.AddText(text, &cuts);
    if (absl::IsInvalidArgument(status)) return StoreCorrupt();
    LH_RETURN_IF_ERROR(status);
    return TakeStored(std::exchange(cuts, {}), stored);
  };
  const bool is_ids = kind_ == ContentKind::kIds;
  if (is_ids && cutter_.needs_text()) return StoreCorrupt();
  for (const auto& record : stored) {
    LH_RETURN_IF_ERROR(is_ids ? take_ids(record->ids)
                              : take_text(record->text));
  }
  if (!head.tail.empty() && is_ids) {
    std::vector<int32_t> ids(head.tail.size() / sizeof(int32_t));
    std::memcpy(ids.data(), head.tail.data(), head.tail.size());
    LH_RETURN_IF_ERROR(take_ids(ids));
  } else if (!head.tail.empty()) {
    LH_RETURN_IF_ERROR(take_text(head.tail));
  }
  closed_ = head.state == SessionState::kClosed;
  if (closed_) {
    if (!cutter_.Finish(&cuts).ok()) return StoreCorrupt();
    LH_RETURN_IF_ERROR(TakeStored(std::move(cuts), stored));
  }
  records_bytes_ = BytesOf(chunks_);
  return chunks_.size() == stored.size() ? absl::OkStatus() : StoreCorrupt();
}

}  // namespace longhand
