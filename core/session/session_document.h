// SessionDocument: the content of one session and what was made of it: text or
// token ids, final chunks, and the tail that waits for its chunk to fill up. It
// knows nothing of stores, leases or callers. Copying it is forking it: final
// chunks are shared. Owned by one session and used by one thread at a time.
//
// The content is the truth, and chunks are a pure function of it: changing the
// content cuts it anew from the last place that the change cannot reach, and a
// chunk whose key is the same is taken over, not computed.
#ifndef LONGHAND_CORE_SESSION_SESSION_DOCUMENT_H_
#define LONGHAND_CORE_SESSION_SESSION_DOCUMENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/engine/encode_types.h"
#include "core/session/document_encoder.h"
#include "core/store/chunk_record.h"
#include "core/store/session_head.h"

namespace longhand {

using ChunkRecords = std::vector<std::shared_ptr<const ChunkRecord>>;
// UTF-8 text, cut anywhere, or token ids.
using Content = std::variant<std::string, std::vector<int32_t>>;

// What a document takes from its surroundings while it changes. Calls come from
// the thread that changes it.
class DocumentResources {
 public:
  virtual ~DocumentResources() = default;

  // Memory for what is about to be computed; makes room if it can.
  // UNAVAILABLE (OVERLOADED), RESOURCE_EXHAUSTED (SESSION_TOO_LARGE).
  virtual absl::StatusOr<std::shared_ptr<const MemoryReservation>> Reserve(
      uint64_t bytes) = 0;
  // Chunks by key, made by this or another session of the tenant. Null if there
  // is none.
  virtual std::shared_ptr<const EncodedChunk> Find(const ChunkKey& key) = 0;
  virtual void Keep(std::shared_ptr<const EncodedChunk> chunk) = 0;
};

// What a change did.
struct DocumentChange {
  // Chunks from here on are new, and so many were there before.
  uint64_t first_chunk = 0;
  uint64_t old_chunks = 0;
  // The chunks whose results are not what they were: indices, ascending. With
  // needs_retrieval() those whose state changed; all vectors may have.
  std::vector<uint64_t> changed;
  uint64_t computed_tokens = 0;  // special tokens not counted
  uint64_t reused_tokens = 0;
};

class SessionDocument {
 public:
  struct Options {
    // Of the tenant, for keys.
    std::string salt;
    // Bytes of text, or four bytes a token.
    uint64_t max_document_bytes = 0;
  };

  static absl::StatusOr<SessionDocument> Create(
      std::shared_ptr<const DocumentEncoder> encoder, Options options);
  // From what a store holds: head.kind, .tail, .committed_offset, .num_chunks,
  // .num_tokens, .state. DATA_LOSS (STORE_CORRUPT) if the chunks are not those
  // that this content gives.
  static absl::StatusOr<SessionDocument> Restore(
      std::shared_ptr<const DocumentEncoder> encoder, Options options,
      const SessionHead& head, ChunkRecords chunks);

  SessionDocument(const SessionDocument&);
  SessionDocument& operator=(const SessionDocument&) = delete;
  SessionDocument(SessionDocument&&) noexcept;
  SessionDocument& operator=(SessionDocument&&) noexcept;
  ~SessionDocument();

  // Each of these either happens as a whole or, after an error, not at all.
  // Errors of the content are those of EncodeJob::AddText and AddIds;
  // OUT_OF_RANGE (OFFSET_BEYOND_END) for places that are not there;
  // those of DocumentResources and DocumentEncoder::Compute. REQUIRES:
  // !closed().
  absl::StatusOr<DocumentChange> Append(const Content& content,
                                        DocumentResources& resources,
                                        const StopCondition& stop);
  // Bytes of text, or tokens, [begin, end) become `content` (of the document's
  // kind; may be empty). end may be UINT64_MAX for the document's end.
  // INVALID_ARGUMENT (RANGE_INVALID) if end lies before begin.
  absl::StatusOr<DocumentChange> Replace(uint64_t begin, uint64_t end,
                                         const Content& content,
                                         DocumentResources& resources,
                                         const StopCondition& stop);
  // Ends the document: the tail becomes final. INVALID_UTF8, EMPTY_DOCUMENT.
  absl::StatusOr<DocumentChange> Close(DocumentResources& resources,
                                       const StopCondition& stop);

  // The chunks as if the document ended here: the final ones, then those of the
  // tail; nothing changes. A tail that ends inside a character or holds no
  // token gives none. Remembered until the next change.
  absl::StatusOr<ChunkRecords> WithTail(DocumentResources& resources,
                                        const StopCondition& stop);

  const ChunkRecords& chunks() const;  // final
  ContentKind kind() const;
  uint64_t committed_offset() const;  // bytes or tokens
  // Content in final chunks, in the same unit.
  uint64_t encoded_offset() const;
  uint64_t num_tokens() const;  // in final chunks
  bool closed() const;
  // As SessionHead.tail.
  std::string tail() const;
  // Bytes in memory: what the encoder made of final chunks, which other
  // documents may share, and everything else.
  uint64_t encoded_bytes() const;
  uint64_t own_bytes() const;
  const DocumentEncoder& encoder() const;

 private:
  class Impl;
  explicit SessionDocument(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The results of chunks [first, chunks.size()) of a document: vectors mixed and
// normalised as the options say, without document_weight. `pooled`: [chunks,
// hidden] where vectors come from DocumentEncoder::Retrieve, else empty.
std::vector<ChunkResult> MakeChunkResults(const DocumentEncoder& encoder,
                                          const ChunkRecords& chunks,
                                          size_t first,
                                          absl::Span<const float> pooled);

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_SESSION_DOCUMENT_H_
