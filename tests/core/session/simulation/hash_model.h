// HashSessionModel: a SessionModel whose chunks are hashes of their tokens and
// of the chunk before: computed at once, exact, and wrong wherever anything is
// left out, repeated or mixed up. Documents are token ids, chunks of 4.
// Thread-safe if the hook is.
#ifndef LONGHAND_TESTS_CORE_SESSION_SIMULATION_HASH_MODEL_H_
#define LONGHAND_TESTS_CORE_SESSION_SIMULATION_HASH_MODEL_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/session/document_encoder.h"

namespace longhand::testing {

class HashSessionModel final : public SessionModel {
 public:
  static constexpr int kChunkTokens = 4;

  // `version` is part of the fingerprint. `on_compute` comes before each
  // computation, which fails with what it gives.
  explicit HashSessionModel(std::string version = "1",
                            std::function<absl::Status()> on_compute = nullptr);

  absl::StatusOr<EncodeOptions> ResolveOptions(
      const EncodeOptions& options) const override;
  absl::StatusOr<std::shared_ptr<const DocumentEncoder>> Open(
      const EncodeOptions& resolved) const override;

  // What one chunk takes of the session memory.
  uint64_t chunk_bytes() const;

 private:
  const std::shared_ptr<const DocumentEncoder> encoder_;
};

// What the model must make of a document, worked out without any of the code
// under test: the keys of its final chunks; with `closed` those of the tail
// too.
std::vector<ChunkKey> HashChunkKeys(const std::string& tenant,
                                    const std::vector<int32_t>& ids,
                                    bool closed);
std::vector<float> HashVector(const ChunkKey& key);
// Answer::vector.
std::vector<float> HashAnswer(const std::vector<ChunkKey>& chunks,
                              const std::vector<int32_t>& question);

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_SIMULATION_HASH_MODEL_H_
