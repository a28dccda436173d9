#include "core/session/session_document.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/session/session_document_impl.h"

namespace longhand {

SessionDocument::SessionDocument(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
SessionDocument::SessionDocument(const SessionDocument& other)
    : impl_(std::make_unique<Impl>(*other.impl_)) {}
SessionDocument::SessionDocument(SessionDocument&&) noexcept = default;
SessionDocument& SessionDocument::operator=(SessionDocument&&) noexcept =
    default;
SessionDocument::~SessionDocument() = default;

absl::StatusOr<SessionDocument> SessionDocument::Create(
    std::shared_ptr<const DocumentEncoder> encoder, Options options) {
  return SessionDocument(
      std::make_unique<Impl>(std::move(encoder), std::move(options)));
}

absl::StatusOr<SessionDocument> SessionDocument::Restore(
    std::shared_ptr<const DocumentEncoder> encoder, Options options,
    const SessionHead& head, ChunkRecords chunks) {
  auto impl = std::make_unique<Impl>(std::move(encoder), std::move(options));
  LH_RETURN_IF_ERROR(impl->Restore(head, chunks));
  return SessionDocument(std::move(impl));
}

absl::StatusOr<DocumentChange> SessionDocument::Append(
    const Content& content, DocumentResources& resources,
    const StopCondition& stop) {
  return impl_->Append(content, resources, stop);
}

absl::StatusOr<DocumentChange> SessionDocument::Replace(
    uint64_t begin, uint64_t end, const Content& content,
    DocumentResources& resources, const StopCondition& stop) {
  return impl_->Replace(begin, end, content, resources, stop);
}

absl::StatusOr<DocumentChange> SessionDocument::Close(
    DocumentResources& resources, const StopCondition& stop) {
  return impl_->Close(resources, stop);
}

absl::StatusOr<ChunkRecords> SessionDocument::WithTail(
    DocumentResources& resources, const StopCondition& stop) {
  return impl_->WithTail(resources, stop);
}

const ChunkRecords& SessionDocument::chunks() const { return impl_->chunks(); }
ContentKind SessionDocument::kind() const { return impl_->kind(); }
bool SessionDocument::closed() const { return impl_->closed(); }
uint64_t SessionDocument::committed_offset() const {
  return impl_->committed_offset();
}
uint64_t SessionDocument::encoded_offset() const {
  return impl_->encoded_offset();
}
uint64_t SessionDocument::num_tokens() const {
  return chunks().empty() ? 0 : uint64_t(chunks().back()->place.end);
}
std::string SessionDocument::tail() const { return impl_->tail(); }
uint64_t SessionDocument::own_bytes() const { return impl_->own_bytes(); }

uint64_t SessionDocument::encoded_bytes() const {
  return impl_->encoded_bytes();
}
const DocumentEncoder& SessionDocument::encoder() const {
  return impl_->encoder();
}

}  // namespace longhand
