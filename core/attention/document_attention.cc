#include "core/attention/document_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhand {

StateLayout DocumentAttention::state_layout(int own_rows) const {
  const StateLayout::Part matrix{own_rows, options_.head_dim};
  return {.heads = options_.num_heads, .parts = {matrix, matrix}};
}

std::vector<std::string_view> DocumentAttention::unused_options() const {
  return {"anchor_share", "anchors",   "features",         "gate", "head_gates",
          "merge",        "neighbors", "retrieval_layers", "top_k"};
}

std::vector<DocumentAttention::Remote> DocumentAttention::VisibleChunks(
    int chunk, const BatchView& batch, int64_t reach) const {
  const PlaceRange own = OwnPlaces(batch.chunks[chunk]);
  const int64_t self = batch.first + chunk;
  const auto state = [&](int64_t slot) { return batch.states.chunks[slot]; };
  const auto tokens = [&](int64_t slot) {
    return state(slot)->layout().parts[0].rows;
  };
  std::vector<Remote> remotes;
  int64_t edge = own.begin;
  for (int64_t slot = self - 1; slot >= 0 && state(slot) != nullptr; --slot) {
    if (own.begin - (edge - 1) > reach) break;
    remotes.push_back({slot, {edge - tokens(slot), edge}});
    edge -= tokens(slot);
  }
  std::reverse(remotes.begin(), remotes.end());
  if (is_causal()) return remotes;
  edge = own.end;
  for (int64_t slot = self + 1; slot < batch.slots(); ++slot) {
    if (state(slot) == nullptr || edge - (own.end - 1) > reach) break;
    remotes.push_back({slot, {edge, edge + tokens(slot)}});
    edge += tokens(slot);
  }
  return remotes;
}

RunningSoftmax::Segment DocumentAttention::RemoteKeys(const Remote& remote,
                                                      int head,
                                                      const BatchView& batch,
                                                      float* buffer) {
  const int64_t d = batch.states.chunks[remote.slot]->layout().parts[0].columns;
  const float* block = batch.states.Head(remote.slot, head, buffer);
  return {.keys = block,
          .values = block + remote.places.size() * d,
          .stride = d,
          .count = static_cast<int>(remote.places.size())};
}

int64_t DocumentAttention::HeadFloats(const Remote& remote,
                                      const BatchView& batch) {
  return batch.states.chunks[remote.slot]->layout().head_floats();
}

void DocumentAttention::SaveState(const LayerInput& input,
                                  const ChunkSlot& chunk, float* state) const {
  const int d = options_.head_dim;
  const int hidden = options_.hidden();
  for (int head = 0; head < options_.num_heads; ++head) {
    for (int part : {1, 2}) {  // K, V
      for (int r = chunk.own_begin; r < chunk.own_end; ++r) {
        state = std::copy_n(
            input.qkv + (int64_t{r} * 3 + part) * hidden + head * d, d, state);
      }
    }
  }
}

void DocumentAttention::ReportShares(absl::Span<const Remote> remotes,
                                     const float* log_sums, int head,
                                     const ChunkSlot& chunk,
                                     const BatchView& batch) const {
  const int64_t rows = chunk.rows;
  std::vector<double> shares(remotes.size(), 0.0);
  int64_t seeing = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const auto log_sum = [&](size_t i) {
      return double{log_sums[int64_t(i) * rows + r]};
    };
    double most = -std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < remotes.size(); ++i) {
      most = std::max(most, log_sum(i));
    }
    if (std::isinf(most)) continue;
    ++seeing;
    double total = 0;
    for (size_t i = 0; i < remotes.size(); ++i) {
      total += std::exp(log_sum(i) - most);
    }
    for (size_t i = 0; i < remotes.size(); ++i) {
      shares[i] += std::exp(log_sum(i) - most) / total;
    }
  }
  const float layer_share =
      1.0f / float(options_.num_layers * options_.num_heads);
  for (size_t i = 0; i < remotes.size() && seeing > 0; ++i) {
    const float share = float(shares[i] / double(seeing));
    if (chunk.retrieval_weights != nullptr) {
      chunk.retrieval_weights[remotes[i].slot] += layer_share * share;
    }
    if (chunk.head_weights != nullptr) {
      chunk.head_weights[head * batch.slots() + remotes[i].slot] = share;
    }
  }
}

}  // namespace longhand
