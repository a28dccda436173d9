// RetrievalMap: who retrieved from whom in one document, as a square of cells
// of bounded size. It is filled as results arrive; when a document has more
// chunks than the map has rows, neighbouring chunks share one: the map then
// halves itself, so memory is bounded too. Belongs to one thread.
#ifndef LONGHAND_CLIENT_CLI_RETRIEVAL_MAP_H_
#define LONGHAND_CLIENT_CLI_RETRIEVAL_MAP_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/encode_result.h"

namespace longhand::client {

// Consecutive chunks that share a row and a column.
struct MapGroup {
  uint32_t first_chunk = 0, end_chunk = 0;  // [first, end)
  uint64_t begin_byte = 0, end_byte = 0;
  uint64_t tokens = 0;
};

struct RetrievalMapOptions {
  int layers = 0;
  int heads = 0;           // per layer
  bool keep_heads = true;  // not only the mean
};

class RetrievalMap {
 public:
  // Rows of a map, at most.
  static constexpr size_t kMaxRows = 400;
  // Values of all layers and heads together, at most: models with many heads
  // get smaller maps.
  static constexpr size_t kMaxValues = 12'000'000;

  explicit RetrievalMap(const RetrievalMapOptions& options);

  // In document order, each with its retrieval weights. DATA_LOSS (BAD_VECTOR)
  // for weights that do not fit their chunk.
  absl::Status AddChunk(const Chunk& chunk);
  // Of the chunk that was added last.
  absl::Status AddHeadWeights(const HeadWeights& weights);

  const RetrievalMapOptions& options() const { return options_; }
  // Whether chunks see earlier ones only. Known from the first chunk on.
  bool causal() const { return causal_; }
  uint32_t chunk_count() const { return chunk_count_; }
  // Chunks to a row, except for the last row.
  uint32_t chunks_per_row() const { return chunks_per_row_; }
  const std::vector<MapGroup>& groups() const { return groups_; }

  // How many columns the row has: with causal visibility those up to itself.
  size_t columns(size_t row) const {
    return causal_ ? row + 1 : groups_.size();
  }
  // Of what a chunk of `row` retrieved in this layer by this head, the part
  // from the chunks of `column`; the mean of the row's chunks. -1: the mean of
  // all heads, or of the layers in `mean_layers`.
  float Weight(size_t row, size_t column) const;  // mean of all, as sent
  float HeadWeight(int layer, int head, size_t row, size_t column) const;
  // The rows of one plane, [columns(row)] each. REQUIRES: keep_heads unless
  // both are -1.
  std::vector<std::vector<float>> Plane(
      int layer, int head, const std::vector<int>& mean_layers) const;

 private:
  // [rows][columns], sums over a row's chunks.
  using Sums = std::vector<std::vector<float>>;

  size_t RowOf(uint32_t chunk) const { return chunk / chunks_per_row_; }
  // Makes room for chunks 0 to `count` - 1.
  void MakeRoom(size_t count);
  void Halve();
  void Add(const float* weights, size_t count, Sums* sums);
  float RowWeight(const Sums& sums, size_t row, size_t column) const;

  const RetrievalMapOptions options_;
  bool causal_ = true;
  size_t max_rows_ = kMaxRows;
  uint32_t chunks_per_row_ = 1;
  uint32_t chunk_count_ = 0;
  std::vector<MapGroup> groups_;
  Sums mean_;
  std::vector<Sums> heads_;  // [layers * heads], or empty
};

}  // namespace longhand::client

#endif  // LONGHAND_CLIENT_CLI_RETRIEVAL_MAP_H_
