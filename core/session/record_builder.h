// RecordBuilder: makes records of cut chunks: takes over what was made of the
// same chunk before, and computes the rest in batches. Used by one thread for
// one change of one document; borrows all that it is given.
#ifndef LONGHAND_CORE_SESSION_RECORD_BUILDER_H_
#define LONGHAND_CORE_SESSION_RECORD_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/session/content_cutter.h"
#include "core/session/document_encoder.h"
#include "core/session/session_document.h"

namespace longhand {

// Whether two records are the same but for where tokens can begin anew and for
// what was encoded.
bool IsSameContent(const ChunkRecord& a, const ChunkRecord& b);

class RecordBuilder {
 public:
  struct Context {
    const DocumentEncoder& encoder;
    std::string_view salt;
    DocumentResources& resources;
    const StopCondition& stop;
    // Of the records; null: none is kept.
    PastIndexSlot* index = nullptr;
    // Whether what is computed may be found by other documents.
    bool keep = true;
  };

  // Records are appended to `records`, in order, as they are done.
  RecordBuilder(const Context& context, ChunkRecords* records);

  // Looks here before it asks the resources. The span must stay.
  void ReuseFrom(absl::Span<const std::shared_ptr<const ChunkRecord>> records);
  // The document as it was: a record that is the same in all, as are those
  // before it, is taken over itself.
  void ContinueAs(absl::Span<const std::shared_ptr<const ChunkRecord>> old) {
    old_ = old;
  }

  // Takes the next chunks, in order.
  absl::Status Add(std::vector<CutChunk> cuts);
  // Every chunk has a record afterwards.
  absl::Status Finish();

  uint64_t computed_tokens() const { return computed_tokens_; }
  uint64_t reused_tokens() const { return reused_tokens_; }
  // Records at the front that are those of ContinueAs.
  uint64_t shared() const { return shared_; }

 private:
  struct KeyHash {
    size_t operator()(const ChunkKey& key) const {
      size_t hash;  // any part of a SHA-256 is one
      std::memcpy(&hash, key.data(), sizeof(hash));
      return hash;
    }
  };
  struct Waiting {
    std::shared_ptr<ChunkRecord> record;
    std::vector<int32_t> window_ids;
    ChunkKey key{};
  };

  absl::Status AddOne(CutChunk cut);
  // Whether the record with this key is the old one at its place.
  bool IsOld(const ChunkRecord& record, const ChunkKey& key) const;
  std::shared_ptr<const EncodedChunk> Find(const ChunkKey& key);
  // REQUIRES: some chunk waits.
  absl::Status ComputeWaiting();

  const Context context_;
  ChunkRecords* const records_;
  // Of the standard library: Abseil's does not survive a failed allocation.
  std::unordered_map<ChunkKey, std::shared_ptr<const EncodedChunk>, KeyHash>
      reusable_;
  absl::Span<const std::shared_ptr<const ChunkRecord>> old_;
  ChunkKey previous_{};  // of the last chunk taken
  std::vector<Waiting> waiting_;
  uint64_t computed_tokens_ = 0;
  uint64_t reused_tokens_ = 0;
  uint64_t shared_ = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_RECORD_BUILDER_H_
