#include "core/attention/retrieval_attention.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/attention/adapter.h"
#include "core/base/error.h"
#include "core/compute/merge_ops.h"
#include "core/compute/score_ops.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

absl::Status Invalid(const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "RETRIEVAL_OPTIONS",
                   message);
}

bool IsShare(float value) { return value >= 0 && value <= 1; }

// out[size] = mean of rows [begin, end) of x.
void MeanRows(const float* x, int64_t stride, int begin, int end, int size,
              float* out) {
  std::fill_n(out, size, 0.0f);
  for (int r = begin; r < end; ++r) AddTo(x + r * stride, size, out);
  Scale(1.0f / float(end - begin), size, out);
}

}  // namespace

RetrievalAttention::RetrievalAttention(const AttentionOptions& options)
    : options_(options), selection_(options_.retrieval) {
  const RetrievalOptions& retrieval = options_.retrieval;
  const size_t heads = size_t(options_.num_heads);
  gates_.assign(size_t(options_.num_layers) * heads, retrieval.gate);
  layer_exchanges_.assign(size_t(options_.num_layers), false);
  for (int layer = 0; layer < options_.num_layers; ++layer) {
    const auto begin = gates_.begin() + layer * options_.num_heads;
    const auto end = begin + options_.num_heads;
    if (retrieval.gate == 0 ||
        (!retrieval.layers.empty() &&
         !std::binary_search(retrieval.layers.begin(), retrieval.layers.end(),
                             layer))) {
      std::fill(begin, end, 0.0f);
    } else if (!retrieval.head_gates.empty()) {
      std::copy_n(retrieval.head_gates.begin() + layer * options_.num_heads,
                  heads, begin);
    } else if (options_.adapter != nullptr &&
               !options_.adapter->layer(layer).gate.empty()) {
      std::copy_n(options_.adapter->layer(layer).gate.begin(), heads, begin);
    }
    const bool any =
        std::any_of(begin, end, [](float gate) { return gate > 0; });
    layer_exchanges_[size_t(layer)] = any;
    num_exchanging_layers_ += any ? 1 : 0;
  }
  exchanges_ = num_exchanging_layers_ > 0;
}

float RetrievalAttention::ScoreScale(int layer, int head) const {
  const float scale = 1.0f / std::sqrt(float(options_.head_dim));
  if (options_.adapter == nullptr) return scale;
  const std::vector<float>& temperature =
      options_.adapter->layer(layer).temperature;
  return temperature.empty() ? scale : scale * temperature[size_t(head)];
}

void RetrievalAttention::MakeMetaQuery(const LayerInput& input,
                                       const ChunkSlot& chunk,
                                       ComputeContext& compute,
                                       float* meta_query) const {
  const int hidden = options_.hidden();
  MeanRows(input.qkv, 3 * int64_t{hidden}, chunk.own_begin, chunk.own_end,
           hidden, meta_query);
  if (options_.adapter == nullptr) return;
  const auto& delta = options_.adapter->layer(input.layer).meta_query;
  if (!delta) return;
  float* mean_x = compute.workspace().Allocate<float>(size_t(hidden));
  MeanRows(input.x, hidden, chunk.own_begin, chunk.own_end, hidden, mean_x);
  delta->AddTo(mean_x, 1, hidden, compute, meta_query);
}

void RetrievalAttention::MakeMeta(const LayerInput& input,
                                  const ChunkSlot& chunk,
                                  ComputeContext& compute, float* meta) const {
  const int hidden = options_.hidden();
  MeanRows(input.qkv + hidden, 3 * int64_t{hidden}, chunk.own_begin,
           chunk.own_end, hidden, meta);
  meta[hidden] = float(chunk.own_rows());
  if (options_.adapter == nullptr) return;
  const auto& delta = options_.adapter->layer(input.layer).meta_key;
  if (!delta) return;
  float* mean_x = compute.workspace().Allocate<float>(size_t(hidden));
  MeanRows(input.x, hidden, chunk.own_begin, chunk.own_end, hidden, mean_x);
  delta->AddTo(mean_x, 1, hidden, compute, meta);
}

RetrievalAttention::Queries RetrievalAttention::RetrievalQueries(
    const LayerInput& input, const ChunkSlot& chunk,
    ComputeContext& compute) const {
  const int hidden = options_.hidden();
  const int64_t stride = 3 * int64_t{hidden};
  if (options_.adapter == nullptr ||
      !options_.adapter->layer(input.layer).query) {
    return {input.qkv, stride};
  }
  float* queries =
      compute.workspace().Allocate<float>(size_t(chunk.rows) * size_t(hidden));
  for (int r = 0; r < chunk.rows; ++r) {
    std::copy_n(input.qkv + r * stride, hidden, queries + int64_t{r} * hidden);
  }
  options_.adapter->layer(input.layer)
      .query->AddTo(input.x, chunk.rows, hidden, compute, queries);
  return {queries, hidden};
}

void RetrievalAttention::KeepRetrievalQueries(const LayerInput& input,
                                              const ChunkSlot& chunk,
                                              ComputeContext& compute,
                                              float* queries) const {
  const int hidden = options_.hidden();
  const Queries source = RetrievalQueries(input, chunk, compute);
  for (int r = 0; r < chunk.rows; ++r) {
    std::copy_n(source.data + r * source.stride, hidden,
                queries + int64_t{r} * hidden);
  }
}

void RetrievalAttention::Scores(const float* meta_query, int chunk, int head,
                                const BatchView& batch, ComputeContext& compute,
                                float* scores) const {
  const int64_t slots = batch.slots();
  const int64_t seen = selection_.NumSeen(batch.first + chunk, slots);
  std::fill(scores + seen, scores + slots, 0.0f);
  Scores({&meta_query, 1}, seen, head, batch, compute, scores);
}

void RetrievalAttention::Scores(absl::Span<const float* const> meta_queries,
                                int64_t seen, int head, const BatchView& batch,
                                ComputeContext& compute, float* scores) const {
  const float factor = ScoreScale(batch.layer, head);
  int64_t done = 0;
  if (const StateIndex* index = batch.states.index; index != nullptr) {
    const int64_t indexed = std::min(seen, index->size());
    for (; done < indexed; done += StateIndex::kBlock) {
      ColumnScores({.queries = meta_queries,
                    .columns = index->meta_keys(done / StateIndex::kBlock,
                                                batch.states.layer, head),
                    .stride = StateIndex::kBlock,
                    .slots = std::min(StateIndex::kBlock, indexed - done),
                    .size = options_.head_dim,
                    .factor = factor,
                    .scores = scores + done,
                    .score_stride = seen});
    }
    done = indexed;
  }
  const size_t left = size_t(seen - done);
  auto* keys = compute.workspace().Allocate<const float*>(left);
  for (size_t i = 0; i < left; ++i) {
    keys[i] = meta_key(batch, done + int64_t(i), head);
  }
  longhand::Scores({.queries = meta_queries,
                    .keys = {keys, left},
                    .size = options_.head_dim,
                    .factor = factor,
                    .scores = scores + done,
                    .score_stride = seen},
                   compute.workspace());
}

void RetrievalAttention::Report(const float* weights, int chunk, int head,
                                const BatchView& batch) const {
  const ChunkSlot& slot = batch.chunks[chunk];
  const int64_t slots = batch.slots();
  if (slot.retrieval_weights != nullptr) {
    const float share =
        1.0f / float(num_exchanging_layers_ * options_.num_heads);
    for (int64_t j = 0; j < slots; ++j) {
      slot.retrieval_weights[j] += share * weights[j];
    }
  }
  if (slot.head_weights != nullptr) {
    std::copy_n(weights, slots, slot.head_weights + head * slots);
  }
}

absl::Status CheckRetrievalOptions(const AttentionOptions& options) {
  const RetrievalOptions& retrieval = options.retrieval;
  if (!IsShare(retrieval.gate)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "GATE_OUT_OF_RANGE",
                     absl::StrCat("gate is ", retrieval.gate,
                                  "; give a number from 0 (every chunk on its "
                                  "own) to 1"));
  }
  const size_t gates = size_t(options.num_layers) * size_t(options.num_heads);
  if (!retrieval.head_gates.empty() && retrieval.head_gates.size() != gates) {
    return Invalid(absl::StrCat("head_gates has ", retrieval.head_gates.size(),
                                " values; give ", options.num_layers, " x ",
                                options.num_heads, " = ", gates,
                                ", layer by layer, or none"));
  }
  if (!std::all_of(retrieval.head_gates.begin(), retrieval.head_gates.end(),
                   IsShare)) {
    return Invalid("head_gates has a value outside of 0 to 1");
  }
  int previous = -1;
  for (int layer : retrieval.layers) {
    if (layer <= previous || layer >= options.num_layers) {
      return Invalid(absl::StrCat(
          "retrieval_layers must ascend and lie between 0 and ",
          options.num_layers - 1, "; ", layer, " does not fit there"));
    }
    previous = layer;
  }
  if (retrieval.top_k < 0 || retrieval.anchors < 0 || retrieval.neighbors < 0) {
    return Invalid("top_k, anchors and neighbors must be 0 or more");
  }
  if (!IsShare(retrieval.anchor_share)) {
    return Invalid(absl::StrCat("anchor_share is ", retrieval.anchor_share,
                                "; give a number from 0 to 1"));
  }
  if (retrieval.anchor_share > 0 && retrieval.anchors == 0) {
    return Invalid("anchor_share needs anchors; give anchors of 1 or more");
  }
  return absl::OkStatus();
}

void MergeRetrieved(const MergeArgs& args, ComputeContext& compute) {
  float* share = compute.workspace().Allocate<float>(size_t(args.rows));
  if (args.merge == Merge::kGate) {
    std::fill_n(share, args.rows, args.gate);
  } else {
    for (int r = 0; r < args.rows; ++r) {
      const float x = args.log_retrieved[r] + args.log_prior - args.log_own[r];
      share[r] = 1.0f / (1.0f + std::exp(-x));
    }
  }
  BlendRows({.other = args.other,
             .scale = args.scale,
             .share = share,
             .rows = args.rows,
             .size = args.size,
             .context = args.context,
             .context_stride = args.context_stride});
}

float LogPrior(Merge merge, float gate, float own_tokens,
               float retrieved_tokens) {
  if (merge != Merge::kBalancedLse) return 0;
  return std::log(gate / (1.0f - gate) * own_tokens / retrieved_tokens);
}

}  // namespace longhand
