// Between chunks and the forward pass: what goes in for a chunk, and which of
// its rows are pooled. Pure functions; safe from any thread.
#ifndef LONGHAND_CORE_ENGINE_CHUNK_BATCH_H_
#define LONGHAND_CORE_ENGINE_CHUNK_BATCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/chunking/chunker.h"
#include "core/model/forward_pass.h"
#include "core/model/model.h"
#include "core/pooling/pooler.h"

namespace longhand {

// Rows of a chunk with the model's special tokens around its window.
int ChunkRows(const Model& model, const Chunk& chunk);

// window_ids: of the tokens [chunk.window_begin, chunk.window_end).
ChunkInput MakeChunkInput(const Model& model, const Chunk& chunk,
                          absl::Span<const int32_t> window_ids);

// The rows [rows, hidden] of a computed chunk that are pooled: all, or without
// those that only gave context. `gathered` may be used to hold them.
// REQUIRES: pass.done().
absl::Span<const float> PooledRows(const Model& model, const ForwardPass& pass,
                                   int index, const Chunk& chunk,
                                   std::vector<float>* gathered);

// Their pooled vector [hidden], before normalisation and context. INTERNAL
// (NUMERIC) if it is not finite; `number` is the chunk's in its document.
absl::StatusOr<std::vector<float>> PoolRows(const Pooler& pooler,
                                            absl::Span<const float> rows,
                                            int hidden_size, int64_t number);

}  // namespace longhand

#endif  // LONGHAND_CORE_ENGINE_CHUNK_BATCH_H_
