// Longformer's attention (Beltagy et al. 2020, arXiv:2004.05150, section 3) as
// its public implementation evaluates it, inside one chunk. Of every row i:
//   context = softmax over the keys [i - w, i + w] that are not global, and all
//             global keys, of q . k / sqrt(d)
// and of a global row, by projections of its own:
//   context = softmax over all keys of q_global . k_global / sqrt(d), of
//             v_global
// w is half of the layer's "window". Global keys leave the window, so that none
// counts twice. A row of padding is nobody's key, is not global, and its
// context is 0.
// Global are the tokens of AttentionOptions::global_tokens that the chunk
// answers for and, with the option global_special, the rows before its own.

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "core/attention/chunk_attention.h"
#include "core/attention/padding.h"
#include "core/attention/running_softmax.h"
#include "core/base/error.h"
#include "core/compute/matmul.h"

namespace longhand {
namespace {

// Queries at a time: few, so that they see much the same keys.
constexpr int kQueryTile = 64;
static_assert(kQueryTile <= RunningSoftmax::kMaxRows);
// Rows whose global projections are there at a time.
constexpr int kRowTile = 1024;
static_assert(kRowTile % kRowBlock == 0);

class LongformerAttention final : public ChunkAttention {
 public:
  explicit LongformerAttention(const AttentionOptions& options)
      : ChunkAttention(options) {}

  bool depends_on_place() const override {
    return !options().global_tokens.empty();
  }
  bool takes_mask() const override { return true; }
  std::vector<std::string_view> mechanism_options() const override {
    return {"global_special", "global_tokens"};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float*,
             ComputeContext& compute) const override {
    const std::vector<int> globals = GlobalRows(chunk);
    const RunningSoftmax softmax(options().head_dim, compute);
    AttendWindows(input, chunk, globals, softmax, compute);
    if (!globals.empty()) {
      AttendFromGlobals(input, chunk, globals, softmax, compute);
    }
    ClearPaddingRows(chunk, options().hidden());
  }

 private:
  // Rows that are keys, ascending, as indices and as places.
  struct KeyRows {
    absl::Span<const int> indices;
    absl::Span<const int64_t> places;
  };

  const PackedLinear& Extra(int layer, std::string_view role) const {
    return *options().extras[size_t(layer)]->Find(role);
  }
  // Those that are not padding, ascending.
  std::vector<int> GlobalRows(const ChunkSlot& chunk) const;
  // Those that are neither padding nor global.
  KeyRows WindowKeys(const ChunkSlot& chunk, const std::vector<int>& globals,
                     ComputeContext& compute) const;
  void AttendWindows(const LayerInput& input, const ChunkSlot& chunk,
                     const std::vector<int>& globals,
                     const RunningSoftmax& softmax,
                     ComputeContext& compute) const;
  // [PaddedRows(globals), hidden]
  float* GlobalQueries(const LayerInput& input, const std::vector<int>& globals,
                       ComputeContext& compute) const;
  void AttendFromGlobals(const LayerInput& input, const ChunkSlot& chunk,
                         const std::vector<int>& globals,
                         const RunningSoftmax& softmax,
                         ComputeContext& compute) const;
};

std::vector<int> LongformerAttention::GlobalRows(const ChunkSlot& chunk) const {
  std::vector<int> rows;
  const auto add = [&](int row) {
    if (!IsPadding(chunk, row)) rows.push_back(row);
  };
  if (*options().mechanism.global_special == 1) {
    for (int row = 0; row < chunk.own_begin; ++row) add(row);
  }
  const std::vector<int64_t>& tokens = options().global_tokens;
  auto token =
      std::lower_bound(tokens.begin(), tokens.end(), chunk.first_token);
  for (; token != tokens.end(); ++token) {
    const int64_t offset = *token - chunk.first_token;
    if (offset >= chunk.own_rows()) break;
    add(chunk.own_begin + static_cast<int>(offset));
  }
  return rows;
}

LongformerAttention::KeyRows LongformerAttention::WindowKeys(
    const ChunkSlot& chunk, const std::vector<int>& globals,
    ComputeContext& compute) const {
  Workspace& workspace = compute.workspace();
  int* indices = workspace.Allocate<int>(size_t(chunk.rows));
  int64_t* places = workspace.Allocate<int64_t>(size_t(chunk.rows));
  size_t count = 0;
  auto global = globals.begin();
  for (int row = 0; row < chunk.rows; ++row) {
    if (global != globals.end() && *global == row) {
      ++global;
    } else if (!IsPadding(chunk, row)) {
      indices[count++] = row;
    }
  }
  std::copy_n(indices, count, places);
  return {{indices, count}, {places, count}};
}

void LongformerAttention::AttendWindows(const LayerInput& input,
                                        const ChunkSlot& chunk,
                                        const std::vector<int>& globals,
                                        const RunningSoftmax& softmax,
                                        ComputeContext& compute) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const int64_t reach =
      *options().extras[size_t(input.layer)]->FindNumber("window") / 2;
  const KeyRows keys = WindowKeys(chunk, globals, compute);
  const auto key_at = [&](int64_t place) {
    return size_t(
        std::lower_bound(keys.places.begin(), keys.places.end(), place) -
        keys.places.begin());
  };
  float* log_sums = compute.workspace().Allocate<float>(kQueryTile);
  std::fill_n(chunk.context, int64_t{chunk.rows} * hidden, 0.0f);
  for (int begin = 0; begin < chunk.rows; begin += kQueryTile) {
    const int end = std::min(chunk.rows, begin + kQueryTile);
    const size_t first = key_at(begin - reach);
    const size_t count = key_at(end + reach) - first;
    for (int head = 0; head < options().num_heads; ++head) {
      const float* q = input.qkv + head * d;
      const RunningSoftmax::Segment all[] = {
          {q + hidden, q + 2 * hidden, input.stride, chunk.rows}};
      std::fill_n(log_sums, kQueryTile, kNoMass);
      const RunningSoftmax::Rows rows = {
          .queries = q + begin * input.stride,
          .query_stride = input.stride,
          .count = end - begin,
          .context = chunk.context + int64_t{begin} * hidden + head * d,
          .context_stride = hidden,
          .log_sums = log_sums,
          .log_stride = 1,
          .place = begin};
      softmax.Add({.segments = all, .chosen = globals}, rows);
      softmax.Add({.segments = all,
                   .chosen = keys.indices.subspan(first, count),
                   .places = keys.places.subspan(first, count),
                   .farthest = reach},
                  rows);
    }
  }
}

float* LongformerAttention::GlobalQueries(const LayerInput& input,
                                          const std::vector<int>& globals,
                                          ComputeContext& compute) const {
  const PackedLinear& project = Extra(input.layer, "query_global");
  const int count = static_cast<int>(globals.size());
  const int64_t inputs = project.inputs();
  Workspace& workspace = compute.workspace();
  float* x = workspace.Allocate<float>(size_t(PaddedRows(count) * inputs));
  float* queries = workspace.Allocate<float>(size_t(PaddedRows(count)) *
                                             size_t(options().hidden()));
  for (int g = 0; g < count; ++g) {
    std::copy_n(input.x + globals[size_t(g)] * inputs, inputs, x + g * inputs);
  }
  std::fill(x + count * inputs, x + PaddedRows(count) * inputs, 0.0f);
  for (int g = 0; g < count; g += kRowTile) {
    project.Apply(x + g * inputs, std::min(kRowTile, count - g), compute,
                  queries + int64_t{g} * options().hidden());
  }
  return queries;
}

void LongformerAttention::AttendFromGlobals(const LayerInput& input,
                                            const ChunkSlot& chunk,
                                            const std::vector<int>& globals,
                                            const RunningSoftmax& softmax,
                                            ComputeContext& compute) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const int count = static_cast<int>(globals.size());
  const PackedLinear& key_global = Extra(input.layer, "key_global");
  const PackedLinear& value_global = Extra(input.layer, "value_global");
  Workspace& workspace = compute.workspace();
  const float* queries = GlobalQueries(input, globals, compute);
  const size_t tile = size_t(PaddedRows(std::min(kRowTile, chunk.rows)));
  float* keys = workspace.Allocate<float>(tile * size_t(hidden));
  float* values = workspace.Allocate<float>(tile * size_t(hidden));
  const size_t size = size_t(count) * size_t(hidden);
  float* context = workspace.Allocate<float>(size);
  std::fill_n(context, size, 0.0f);
  const size_t sums = size_t(count) * size_t(options().num_heads);
  float* log_sums = workspace.Allocate<float>(sums);
  std::fill_n(log_sums, sums, kNoMass);
  int* kept = workspace.Allocate<int>(tile);
  for (int begin = 0; begin < chunk.rows; begin += kRowTile) {
    const int in_tile = std::min(kRowTile, chunk.rows - begin);
    const float* x = input.x + int64_t{begin} * key_global.inputs();
    key_global.Apply(x, in_tile, compute, keys);
    value_global.Apply(x, in_tile, compute, values);
    size_t num_kept = 0;
    for (int row = 0; row < in_tile; ++row) {
      if (!IsPadding(chunk, begin + row)) kept[num_kept++] = row;
    }
    for (int head = 0; head < options().num_heads; ++head) {
      const RunningSoftmax::Segment all[] = {
          {keys + head * d, values + head * d, hidden, in_tile}};
      for (int g = 0; g < count; g += kQueryTile) {
        const int64_t place = int64_t{g} * hidden + head * d;
        softmax.Add({.segments = all, .chosen = {kept, num_kept}},
                    {.queries = queries + place,
                     .query_stride = hidden,
                     .count = std::min(kQueryTile, count - g),
                     .context = context + place,
                     .context_stride = hidden,
                     .log_sums = log_sums + int64_t{head} * count + g,
                     .log_stride = 1});
      }
    }
  }
  for (int g = 0; g < count; ++g) {
    std::copy_n(context + int64_t{g} * hidden, hidden,
                chunk.context + int64_t{globals[size_t(g)]} * hidden);
  }
}

bool HasParameters(const LayerExtras& layer) {
  return layer.Find("query_global") != nullptr &&
         layer.Find("key_global") != nullptr &&
         layer.Find("value_global") != nullptr &&
         layer.FindNumber("window") != nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeLongformerAttention(
    const AttentionOptions& options) {
  const bool has_all = !options.extras.empty() &&
                       std::all_of(options.extras.begin(), options.extras.end(),
                                   [](const LayerExtras* layer) {
                                     return HasParameters(*layer);
                                   });
  if (!has_all) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "MECHANISM_UNAVAILABLE",
        "the mechanism \"longformer\" needs the windows and the global "
        "projections that only models of the family \"longformer\" have; "
        "choose another mechanism or load such a model");
  }
  return std::make_unique<const LongformerAttention>(options);
}

}  // namespace longhand
