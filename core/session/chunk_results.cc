// MakeChunkResults: see session_document.h.

#include <utility>

#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/engine/context_pooling.h"
#include "core/pooling/pooler.h"
#include "core/session/session_document.h"

namespace longhand {

std::vector<ChunkResult> MakeChunkResults(const DocumentEncoder& encoder,
                                          const ChunkRecords& chunks,
                                          size_t first,
                                          absl::Span<const float> pooled) {
  const size_t hidden = size_t(encoder.hidden_size());
  const EncodeOptions& options = encoder.options();
  LH_CHECK(pooled.empty() || pooled.size() == chunks.size() * hidden);
  const auto vector_of = [&](size_t i) {
    return pooled.empty() ? absl::MakeConstSpan(chunks[i]->encoded->pooled)
                          : pooled.subspan(i * hidden, hidden);
  };
  ContextPooling context({.anchor_weight = *options.anchor_weight,
                          .document_weight = 0,
                          .normalize = encoder.normalize()});
  // Without the document's mean, the first chunk is all that others take in.
  if (!chunks.empty()) context.AddChunk(vector_of(0));
  std::vector<ChunkResult> results;
  for (size_t i = first; i < chunks.size(); ++i) {
    const ChunkRecord& record = *chunks[i];
    const absl::Span<const float> vector = vector_of(i);
    ChunkResult& result = results.emplace_back();
    result.index = int64_t(i);
    result.begin_byte = record.begin_byte;
    result.end_byte = record.end_byte;
    result.begin_token = uint64_t(record.place.begin);
    result.end_token = uint64_t(record.place.end);
    result.norm = NormL2(vector);
    if (!options.chunk_vectors) continue;
    result.vector.assign(vector.begin(), vector.end());
    result.mix = context.Apply(absl::MakeSpan(result.vector));
  }
  return results;
}

}  // namespace longhand
