// SessionDocument::Impl: see session_document.h. Restoring is in
// session_document_restore.cc. Used by one thread at a time.
#ifndef LONGHAND_CORE_SESSION_SESSION_DOCUMENT_IMPL_H_
#define LONGHAND_CORE_SESSION_SESSION_DOCUMENT_IMPL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/session/content_cutter.h"
#include "core/session/record_builder.h"
#include "core/session/session_document.h"

namespace longhand {

// In memory.
struct RecordBytes {
  uint64_t own = 0;
  uint64_t encoded = 0;

  RecordBytes& operator+=(const RecordBytes& other) {
    own += other.own;
    encoded += other.encoded;
    return *this;
  }
};
RecordBytes BytesOf(
    absl::Span<const std::shared_ptr<const ChunkRecord>> records);

class SessionDocument::Impl {
 public:
  Impl(std::shared_ptr<const DocumentEncoder> encoder, Options options)
      : encoder_(std::move(encoder)),
        options_(std::move(options)),
        cutter_(encoder_.get()) {}

  absl::StatusOr<DocumentChange> Append(const Content& content,
                                        DocumentResources& resources,
                                        const StopCondition& stop);
  absl::StatusOr<DocumentChange> Replace(uint64_t begin, uint64_t end,
                                         const Content& content,
                                         DocumentResources& resources,
                                         const StopCondition& stop);
  absl::StatusOr<DocumentChange> Close(DocumentResources& resources,
                                       const StopCondition& stop);
  absl::StatusOr<ChunkRecords> WithTail(DocumentResources& resources,
                                        const StopCondition& stop);
  absl::Status Restore(const SessionHead& head, const ChunkRecords& stored);

  const ChunkRecords& chunks() const { return chunks_; }
  ContentKind kind() const { return kind_; }
  bool closed() const { return closed_; }
  const DocumentEncoder& encoder() const { return *encoder_; }
  uint64_t committed_offset() const {
    return kind_ == ContentKind::kIds ? cutter_.received_tokens()
                                      : cutter_.received_bytes();
  }
  uint64_t encoded_offset() const {
    return kind_ == ContentKind::kIds ? cutter_.cut_tokens()
                                      : cutter_.cut_bytes();
  }
  std::string tail() const;
  uint64_t own_bytes() const {
    return sizeof(*this) + records_bytes_.own + BytesOf(known_tail()).own +
           cutter_.own_bytes() + index_->bytes();
  }
  uint64_t encoded_bytes() const { return records_bytes_.encoded; }

 private:
  // Checks `content`, to be put at `offset` into a document that then has
  // `length`.
  absl::Status CheckContent(const Content& content, uint64_t offset,
                            uint64_t length) const;
  RecordBuilder::Context ContextOf(DocumentResources& resources,
                                   const StopCondition& stop,
                                   PastIndexSlot& index) const {
    return {.encoder = *encoder_,
            .salt = options_.salt,
            .resources = resources,
            .stop = stop,
            .index = &index};
  }
  // The chunks that WithTail remembers behind the final ones.
  absl::Span<const std::shared_ptr<const ChunkRecord>> known_tail() const {
    if (!with_tail_) return {};
    return absl::MakeConstSpan(*with_tail_).subspan(chunks_.size());
  }

  // A part of the content given to a cutter, and what it cuts to the builder.
  static absl::Status FeedText(std::string_view text, ContentCutter& cutter,
                               RecordBuilder& builder);
  static absl::Status FeedIds(absl::Span<const int32_t> ids,
                              ContentCutter& cutter, RecordBuilder& builder);
  static absl::Status Feed(const Content& content, ContentCutter& cutter,
                           RecordBuilder& builder);
  // The same for [begin, end) of this document.
  absl::Status FeedOwn(uint64_t begin, uint64_t end, ContentCutter& cutter,
                       RecordBuilder& builder) const;
  // All of a document that was this one up to `restart`.
  absl::Status Replay(const RestartPoint& restart, ContentCutter& cutter,
                      RecordBuilder& builder) const;
  // The last known place before `offset` where the document can be cut anew as
  // if it had been cut from its beginning.
  RestartPoint RestartFor(uint64_t offset) const;

  // Takes back what a change has added to the `old_chunks`.
  void Undo(uint64_t old_chunks);
  // Ends a change whose chunks are there.
  void Commit(ContentCutter cutter, ContentKind kind);
  // Of a document whose first chunks, `shared`, stayed.
  std::vector<uint64_t> ChangedChunks(const ChunkRecords& old,
                                      uint64_t shared) const;
  bool IsChanged(const EncodedChunk& a, const EncodedChunk& b) const;

  absl::Status CheckStored(const SessionHead& head,
                           const ChunkRecords& stored) const;
  // Takes cut chunks for those that are stored.
  absl::Status TakeStored(std::vector<CutChunk> cuts,
                          const ChunkRecords& stored);

  const std::shared_ptr<const DocumentEncoder> encoder_;
  const Options options_;
  ContentKind kind_ = ContentKind::kUnknown;
  ContentCutter cutter_;
  ChunkRecords chunks_;
  // Of chunks_; shared with copies, which have mostly the same chunks.
  std::shared_ptr<PastIndexSlot> index_ = std::make_shared<PastIndexSlot>();
  RecordBytes records_bytes_;  // of chunks_; summed up as they come
  bool closed_ = false;
  std::optional<ChunkRecords> with_tail_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_DOCUMENT_IMPL_H_
