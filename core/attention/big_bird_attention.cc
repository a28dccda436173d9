// BigBird's attention (Zaheer et al. 2020, arXiv:2007.14062, section 2) inside
// one chunk, in blocks of the model's "block_size" rows, the last one shorter
// if need be. With r = "random_blocks" and n rows:
//   n <= (5 + 2 r) block_size, or "original_full": every row sees every key.
//   Otherwise the first and the last block see every key, and block i sees the
//   blocks 0, i - 1, i, i + 1, the last one, and
//     big_bird:        block 0 another r times: the r random blocks of the
//                      public implementation, which all are block 0 in
//                      evaluation mode.
//     big_bird_random: r more blocks, chosen by a hash, see AddRandomBlocks.
// Softmax over what is seen of q . k / sqrt(d). A row of padding is nobody's
// key and its context is 0. The public implementation takes 10000 off the score
// of such a key, which leaves it no weight in floats.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/attention/chunk_attention.h"
#include "core/attention/padding.h"
#include "core/attention/running_softmax.h"
#include "core/attention/split_mix.h"
#include "core/base/error.h"

namespace longhand {
namespace {

// Queries at a time: few, so that they see much the same keys.
constexpr int kQueryTile = 64;
static_assert(kQueryTile <= RunningSoftmax::kMaxRows);

// Numbers of blocks, ascending.
using Blocks = absl::InlinedVector<int, 16>;

// Draws `count` blocks out of the `total` that `blocks` does not have yet: with
// h_0 = key and h_j = SplitMix64(h_(j-1)), draw j takes the one at place h_j
// mod (how many are left) of those that are left, in ascending order.
void AddRandomBlocks(uint64_t key, int count, int total, Blocks* blocks) {
  for (int j = 0; j < count; ++j) {
    key = SplitMix64(key);
    int drawn = static_cast<int>(key % uint64_t(total - int(blocks->size())));
    auto place = blocks->begin();
    for (; place != blocks->end() && *place <= drawn; ++place) ++drawn;
    blocks->insert(place, drawn);
  }
}

class BigBirdAttention final : public ChunkAttention {
 public:
  BigBirdAttention(const AttentionOptions& options, bool random)
      : ChunkAttention(options), random_(random) {}

  // The public implementation has no random blocks in evaluation mode.
  bool keeps_source_model() const override { return !random_; }
  bool takes_mask() const override { return true; }
  std::vector<std::string_view> mechanism_options() const override {
    if (random_) return {"seed"};
    return {};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float*,
             ComputeContext& compute) const override;

 private:
  // A chunk in one layer.
  struct Step {
    const LayerInput& input;
    const ChunkSlot& chunk;
    const RunningSoftmax& softmax;
    absl::Span<const int> keys;  // rows that are not padding
    float* log_sums;             // [kQueryTile]
    int* chosen;                 // [chunk.rows]
  };
  // Rows, [begin, end).
  struct Range {
    int begin, end;
  };

  int64_t Number(int layer, std::string_view role) const {
    return *options().extras[size_t(layer)]->FindNumber(role);
  }
  // What a block sees that neither is the first nor the last one.
  Blocks Seen(int layer, int head, int block, int num_blocks) const;
  // `first`, which count `times`, and `rest` for the rows of one head.
  void Attend(const Step& step, int head, Range rows,
              absl::Span<const int> first, int64_t times,
              absl::Span<const int> rest) const;
  void AttendBlocks(const Step& step) const;

  const bool random_;
};

Blocks BigBirdAttention::Seen(int layer, int head, int block,
                              int num_blocks) const {
  Blocks seen = {block - 1, block, block + 1};
  if (seen.front() != 0) seen.insert(seen.begin(), 0);
  if (seen.back() != num_blocks - 1) seen.push_back(num_blocks - 1);
  if (!random_) return seen;
  uint64_t key = SplitMix64(uint64_t(*options().mechanism.seed));
  for (int part : {layer, head, block}) key = SplitMix64(key ^ uint64_t(part));
  AddRandomBlocks(key, static_cast<int>(Number(layer, "random_blocks")),
                  num_blocks, &seen);
  return seen;
}

void BigBirdAttention::Attend(const Step& step, int head, Range rows,
                              absl::Span<const int> first, int64_t times,
                              absl::Span<const int> rest) const {
  const int hidden = options().hidden();
  const int64_t stride = step.input.stride;
  const int column = head * options().head_dim;
  const float* q = step.input.qkv + column;
  const RunningSoftmax::Segment all[] = {
      {q + hidden, q + 2 * hidden, stride, step.chunk.rows}};
  for (int begin = rows.begin; begin < rows.end; begin += kQueryTile) {
    std::fill_n(step.log_sums, kQueryTile, kNoMass);
    const RunningSoftmax::Rows block = {
        .queries = q + begin * stride,
        .query_stride = stride,
        .count = std::min(kQueryTile, rows.end - begin),
        .context = step.chunk.context + int64_t{begin} * hidden + column,
        .context_stride = hidden,
        .log_sums = step.log_sums,
        .log_stride = 1};
    step.softmax.Add({.segments = all, .chosen = first}, block);
    if (times > 1) {
      for (int r = 0; r < block.count; ++r) {
        step.log_sums[r] += std::log(float(times));
      }
    }
    step.softmax.Add({.segments = all, .chosen = rest}, block);
  }
}

void BigBirdAttention::AttendBlocks(const Step& step) const {
  const int layer = step.input.layer;
  const int n = step.chunk.rows;
  const int size = static_cast<int>(Number(layer, "block_size"));
  const int num_blocks = (n + size - 1) / size;
  const int64_t times = random_ ? 1 : 1 + Number(layer, "random_blocks");
  const auto keys_of = [&](int block) {
    const auto begin =
        std::lower_bound(step.keys.begin(), step.keys.end(), block * size);
    const auto end =
        std::lower_bound(begin, step.keys.end(), (block + 1) * size);
    return absl::Span<const int>(begin, size_t(end - begin));
  };
  for (int block = 0; block < num_blocks; ++block) {
    const Range rows = {block * size, std::min(n, (block + 1) * size)};
    for (int head = 0; head < options().num_heads; ++head) {
      if (block == 0 || block == num_blocks - 1) {
        Attend(step, head, rows, step.keys, 1, {});
        continue;
      }
      const Blocks seen = Seen(layer, head, block, num_blocks);
      int* end = step.chosen;
      for (size_t i = 1; i < seen.size(); ++i) {
        const absl::Span<const int> keys = keys_of(seen[i]);
        end = std::copy(keys.begin(), keys.end(), end);
      }
      Attend(step, head, rows, keys_of(0), times,
             {step.chosen, size_t(end - step.chosen)});
    }
  }
}

void BigBirdAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                             float*, ComputeContext& compute) const {
  Workspace& workspace = compute.workspace();
  const RunningSoftmax softmax(options().head_dim, compute);
  int* keys = workspace.Allocate<int>(size_t(chunk.rows));
  size_t num_keys = 0;
  for (int row = 0; row < chunk.rows; ++row) {
    if (!IsPadding(chunk, row)) keys[num_keys++] = row;
  }
  const Step step = {input,
                     chunk,
                     softmax,
                     {keys, num_keys},
                     workspace.Allocate<float>(kQueryTile),
                     workspace.Allocate<int>(size_t(chunk.rows))};
  std::fill_n(chunk.context, int64_t{chunk.rows} * options().hidden(), 0.0f);
  const int64_t most_full = (5 + 2 * Number(input.layer, "random_blocks")) *
                            Number(input.layer, "block_size");
  if (Number(input.layer, "original_full") != 0 || chunk.rows <= most_full) {
    for (int head = 0; head < options().num_heads; ++head) {
      Attend(step, head, {0, chunk.rows}, step.keys, 1, {});
    }
  } else {
    AttendBlocks(step);
  }
  ClearPaddingRows(chunk, options().hidden());
}

absl::StatusOr<std::unique_ptr<const Attention>> Make(
    const AttentionOptions& options, bool random) {
  const bool has_all = !options.extras.empty() &&
                       std::all_of(options.extras.begin(), options.extras.end(),
                                   [](const LayerExtras* layer) {
                                     return layer->FindNumber("block_size");
                                   });
  if (!has_all) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "MECHANISM_UNAVAILABLE",
        absl::StrCat("the mechanism \"big_bird", random ? "_random" : "",
                     "\" needs the block size that only models of the family "
                     "\"big_bird\" have; choose another mechanism or load such "
                     "a model"));
  }
  return std::make_unique<const BigBirdAttention>(options, random);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeBigBirdAttention(
    const AttentionOptions& options) {
  return Make(options, /*random=*/false);
}

absl::StatusOr<std::unique_ptr<const Attention>> MakeBigBirdRandomAttention(
    const AttentionOptions& options) {
  return Make(options, /*random=*/true);
}

}  // namespace longhand
