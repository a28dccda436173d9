#include "core/engine/chunk_batch.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace longhand {

int ChunkRows(const Model& model, const Chunk& chunk) {
  return static_cast<int>(model.prefix_ids().size() + chunk.window_size() +
                          model.suffix_ids().size());
}

ChunkInput MakeChunkInput(const Model& model, const Chunk& chunk,
                          absl::Span<const int32_t> window_ids) {
  LH_CHECK(int64_t(window_ids.size()) == chunk.window_size());
  ChunkInput input;
  const absl::Span<const int32_t> prefix = model.prefix_ids();
  const absl::Span<const int32_t> suffix = model.suffix_ids();
  input.ids.reserve(size_t(ChunkRows(model, chunk)));
  input.ids.assign(prefix.begin(), prefix.end());
  input.ids.insert(input.ids.end(), window_ids.begin(), window_ids.end());
  input.ids.insert(input.ids.end(), suffix.begin(), suffix.end());
  input.position_ids = model.PositionIds(input.ids, chunk.window_begin);
  input.own_begin = static_cast<int>(int64_t(prefix.size()) + chunk.begin -
                                     chunk.window_begin);
  input.own_end = input.own_begin + static_cast<int>(chunk.size());
  input.first_token = chunk.begin;
  return input;
}

absl::Span<const float> PooledRows(const Model& model, const ForwardPass& pass,
                                   int index, const Chunk& chunk,
                                   std::vector<float>* gathered) {
  const size_t hidden = size_t(model.config().output_size());
  const float* states = pass.hidden(index);
  const size_t rows = size_t(pass.rows(index));
  if (chunk.size() == chunk.window_size()) return {states, rows * hidden};
  const ChunkInput& input = pass.input(index);
  const size_t prefix = model.prefix_ids().size();
  const size_t suffix = model.suffix_ids().size();
  const auto append = [&](size_t begin, size_t end) {
    gathered->insert(gathered->end(), states + begin * hidden,
                     states + end * hidden);
  };
  append(0, prefix);
  append(size_t(input.own_begin), size_t(input.own_end));
  append(rows - suffix, rows);
  return *gathered;
}

absl::StatusOr<std::vector<float>> PoolRows(const Pooler& pooler,
                                            absl::Span<const float> rows,
                                            int hidden_size, int64_t number) {
  const size_t hidden = size_t(hidden_size);
  std::vector<float> pooled(hidden);
  pooler.PoolChunk(rows.data(), static_cast<int>(rows.size() / hidden),
                   absl::MakeSpan(pooled));
  if (!std::isfinite(NormL2(pooled))) {
    return MakeError(absl::StatusCode::kInternal, "NUMERIC",
                     absl::StrCat("the vector of chunk ", number,
                                  " is not finite; the model's weights or its "
                                  "precision do not fit this input"));
  }
  return pooled;
}

}  // namespace longhand
