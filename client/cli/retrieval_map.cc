#include "client/cli/retrieval_map.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "client/client_error.h"

namespace longhand::client {
namespace {

absl::Status BadWeights() {
  return MakeClientError(
      absl::StatusCode::kDataLoss, "BAD_VECTOR",
      "the server sent retrieval weights that do not fit the document's chunks "
      "or the model's heads");
}

size_t MaxRows(const RetrievalMapOptions& options, bool causal) {
  if (!options.keep_heads) return RetrievalMap::kMaxRows;
  const double planes = std::max(1.0, double(options.layers) * options.heads);
  // A causal map is half a square.
  const double cells = RetrievalMap::kMaxValues / planes;
  const double rows = std::sqrt(causal ? 2 * cells : cells);
  return std::clamp<size_t>(static_cast<size_t>(rows), 2,
                            RetrievalMap::kMaxRows);
}

}  // namespace

RetrievalMap::RetrievalMap(const RetrievalMapOptions& options)
    : options_(options) {
  if (options.keep_heads) {
    heads_.resize(static_cast<size_t>(options.layers) *
                  static_cast<size_t>(options.heads));
  }
}

void RetrievalMap::Halve() {
  const auto merge_rows = [](Sums* sums) {
    Sums merged((sums->size() + 1) / 2);
    for (size_t row = 0; row < sums->size(); ++row) {
      const std::vector<float>& from = (*sums)[row];
      std::vector<float>& to = merged[row / 2];
      to.resize(std::max(to.size(), (from.size() + 1) / 2));
      for (size_t i = 0; i < from.size(); ++i) to[i / 2] += from[i];
    }
    *sums = std::move(merged);
  };
  merge_rows(&mean_);
  for (Sums& sums : heads_) merge_rows(&sums);
  for (size_t i = 1; i < groups_.size(); i += 2) {
    groups_[i - 1].end_chunk = groups_[i].end_chunk;
    groups_[i - 1].end_byte = groups_[i].end_byte;
    groups_[i - 1].tokens += groups_[i].tokens;
  }
  for (size_t i = 2; i < groups_.size(); i += 2) groups_[i / 2] = groups_[i];
  groups_.resize((groups_.size() + 1) / 2);
  chunks_per_row_ *= 2;
}

void RetrievalMap::MakeRoom(size_t count) {
  while ((count + chunks_per_row_ - 1) / chunks_per_row_ > max_rows_) Halve();
}

void RetrievalMap::Add(const float* weights, size_t count, Sums* sums) {
  const size_t row = RowOf(chunk_count_ - 1);
  if (sums->size() <= row) sums->resize(row + 1);
  std::vector<float>& to = (*sums)[row];
  to.resize(
      std::max(to.size(), (count + chunks_per_row_ - 1) / chunks_per_row_));
  for (size_t i = 0; i < count; ++i) to[i / chunks_per_row_] += weights[i];
}

absl::Status RetrievalMap::AddChunk(const Chunk& chunk) {
  const std::vector<float>& weights = chunk.retrieval_weights;
  if (chunk_count_ == 0) {
    causal_ = weights.size() == 1;
    max_rows_ = MaxRows(options_, causal_);
  }
  if (chunk.index != chunk_count_ || weights.size() <= chunk.index ||
      (causal_ && weights.size() != chunk.index + size_t{1})) {
    return BadWeights();
  }
  MakeRoom(weights.size());
  if (RowOf(chunk.index) == groups_.size()) {
    groups_.push_back({chunk.index, chunk.index, chunk.begin_byte});
  }
  MapGroup& group = groups_.back();
  group.end_chunk = ++chunk_count_;
  group.end_byte = chunk.end_byte;
  group.tokens += chunk.end_token - chunk.begin_token;
  Add(weights.data(), weights.size(), &mean_);
  return absl::OkStatus();
}

absl::Status RetrievalMap::AddHeadWeights(const HeadWeights& weights) {
  const auto heads = static_cast<size_t>(options_.heads);
  const bool fits = options_.keep_heads && chunk_count_ > 0 && heads > 0 &&
                    weights.chunk_index == chunk_count_ - 1 &&
                    weights.layer < static_cast<uint32_t>(options_.layers) &&
                    weights.weights.size() % heads == 0;
  const size_t count = fits ? weights.weights.size() / heads : 0;
  if (!fits || (count + chunks_per_row_ - 1) / chunks_per_row_ >
                   mean_[RowOf(weights.chunk_index)].size()) {
    return BadWeights();
  }
  for (size_t head = 0; head < heads; ++head) {
    Add(weights.weights.data() + head * count, count,
        &heads_[weights.layer * heads + head]);
  }
  return absl::OkStatus();
}

float RetrievalMap::RowWeight(const Sums& sums, size_t row,
                              size_t column) const {
  // A head that retrieved nothing may have sent nothing.
  if (row >= sums.size() || column >= sums[row].size()) return 0;
  const MapGroup& group = groups_[row];
  return sums[row][column] /
         static_cast<float>(group.end_chunk - group.first_chunk);
}

float RetrievalMap::Weight(size_t row, size_t column) const {
  return RowWeight(mean_, row, column);
}

float RetrievalMap::HeadWeight(int layer, int head, size_t row,
                               size_t column) const {
  const size_t place =
      static_cast<size_t>(layer) * static_cast<size_t>(options_.heads) +
      static_cast<size_t>(head);
  return RowWeight(heads_[place], row, column);
}

std::vector<std::vector<float>> RetrievalMap::Plane(
    int layer, int head, const std::vector<int>& mean_layers) const {
  std::vector<std::pair<int, int>> members;  // (layer, head)
  if (layer >= 0 || head >= 0) {
    for (const int l : layer >= 0 ? std::vector<int>{layer} : mean_layers) {
      for (int h = 0; h < options_.heads; ++h) {
        if (head < 0 || head == h) members.push_back({l, h});
      }
    }
  }
  std::vector<std::vector<float>> plane(groups_.size());
  for (size_t row = 0; row < groups_.size(); ++row) {
    plane[row].resize(columns(row));
    for (size_t column = 0; column < plane[row].size(); ++column) {
      if (layer < 0 && head < 0) {
        plane[row][column] = Weight(row, column);
        continue;
      }
      double sum = 0;
      for (const auto& [l, h] : members) sum += HeadWeight(l, h, row, column);
      if (!members.empty()) sum /= static_cast<double>(members.size());
      plane[row][column] = static_cast<float>(sum);
    }
  }
  return plane;
}

}  // namespace longhand::client
