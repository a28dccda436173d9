// The attention of Reformer (Kitaev et al. 2020, arXiv:2001.04451), as an
// encoder: a layer is either local (stretches of a chunk's rows in their order)
// or hashed (in the order of the buckets of locality-sensitive hashing, with
// one set of vectors for queries and keys). Rows attend to their own stretch
// and to a number of stretches before and behind it, in a circle. All inside
// one chunk of the document; with no buffer of its square.
//
// The public implementation fills sequences up to a multiple of its stretches
// with masked rows. Nobody sees those, so that only their places in the order
// matter: they are -1 there, as are rows that the mask hides.

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/chunk_attention.h"
#include "core/attention/lsh_buckets.h"
#include "core/attention/lsh_rotations.h"
#include "core/attention/padding.h"
#include "core/attention/stretch_attention.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/compute/matmul.h"
#include "core/compute/vector_ops.h"

namespace longhand {
namespace {

// Added to the mean square of a hashed vector that is made a key.
constexpr float kKeyEps = 1e-6f;

// The numbers of one layer.
struct LayerPlan {
  bool is_lsh = false;
  int64_t stretch = 0;  // rows
  int64_t before = 0;   // stretches that are seen
  int64_t after = 0;
};

// The numbers of the model.
struct ModelPlan {
  std::vector<LayerPlan> layers;
  // A sequence of more rows than `unfilled` is filled up to a multiple of
  // `multiple`.
  int64_t multiple = 0;
  int64_t unfilled = 0;
  int num_hashes = 0;
  BucketFactors factors;  // empty: BucketFactorsFor
  int64_t bucket_limit = 0;
  int64_t hash_seed = 0;
  const FloatBuffer* rotations = nullptr;  // null: from hash_seed
};

class ReformerAttention final : public ChunkAttention {
 public:
  ReformerAttention(const AttentionOptions& options, ModelPlan plan)
      : ChunkAttention(options),
        plan_(std::move(plan)),
        rotations_({.num_heads = options.num_heads,
                    .head_dim = options.head_dim,
                    .num_hashes = plan_.num_hashes,
                    .seed = plan_.hash_seed,
                    .stored = plan_.rotations}) {}

  bool takes_mask() const override { return true; }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float*,
             ComputeContext& compute) const override;

 private:
  // What hashing the rows of one sequence takes.
  struct Hashing {
    BucketFactors factors;
    int32_t* buckets = nullptr;  // [num_hashes, rows]
    uint64_t* keys = nullptr;    // [rows]
    float* turned = nullptr;     // HashArgs::turned
  };

  // Rows of a sequence with those that it is filled up with.
  int64_t FilledRows(int rows) const;
  StretchOrder MakeOrder(const LayerPlan& layer, int rows,
                         ComputeContext& compute) const;
  void RunLocal(const LayerInput& input, const ChunkSlot& chunk,
                ComputeContext& compute) const;
  void RunLsh(const LayerInput& input, const ChunkSlot& chunk,
              ComputeContext& compute) const;
  Hashing MakeHashing(const StretchOrder& order, const ChunkSlot& chunk,
                      ComputeContext& compute) const;
  void OrderByHash(const MatrixView& queries, int head, const ChunkSlot& chunk,
                   const StretchOrder& order, const Hashing& hashing) const;

  const ModelPlan plan_;
  const LshRotations rotations_;
};

int64_t ReformerAttention::FilledRows(int rows) const {
  if (rows <= plan_.unfilled) return rows;
  return (rows + plan_.multiple - 1) / plan_.multiple * plan_.multiple;
}

StretchOrder ReformerAttention::MakeOrder(const LayerPlan& layer, int rows,
                                          ComputeContext& compute) const {
  const int64_t places = FilledRows(rows);
  StretchOrder order = {.places = places,
                        .stretch = layer.stretch,
                        .before = layer.before,
                        .after = layer.after,
                        .rounds = layer.is_lsh ? plan_.num_hashes : 1,
                        .rows = nullptr};
  if (places <= layer.stretch) {
    order.stretch = places;
    order.before = order.after = 0;
    order.rounds = 1;
  }
  order.rows = compute.workspace().Allocate<int32_t>(size_t(order.rounds) *
                                                     size_t(places));
  return order;
}

// The rows as they come.
void FillInOrder(const ChunkSlot& chunk, const StretchOrder& order) {
  for (int64_t i = 0; i < order.places; ++i) {
    const bool is_seen = i < chunk.rows && !IsPadding(chunk, int(i));
    order.rows[i] = is_seen ? int32_t(i) : -1;
  }
}

void ReformerAttention::RunLocal(const LayerInput& input,
                                 const ChunkSlot& chunk,
                                 ComputeContext& compute) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const StretchOrder order =
      MakeOrder(plan_.layers[size_t(input.layer)], chunk.rows, compute);
  FillInOrder(chunk, order);
  StretchAttention attention(order, chunk.rows, d, hidden, compute);
  for (int head = 0; head < options().num_heads; ++head) {
    const float* q = input.qkv + int64_t{head} * d;
    attention.Run({.queries = {q, input.stride},
                   .keys = {q + hidden, input.stride},
                   .values = {q + 2 * hidden, input.stride},
                   .scale = 1.0f / std::sqrt(float(d)),
                   .context = chunk.context + int64_t{head} * d});
  }
}

void ReformerAttention::RunLsh(const LayerInput& input, const ChunkSlot& chunk,
                               ComputeContext& compute) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const LayerPlan& layer = plan_.layers[size_t(input.layer)];
  const StretchOrder order = MakeOrder(layer, chunk.rows, compute);
  const bool is_hashed = order.places > layer.stretch;
  if (!is_hashed) FillInOrder(chunk, order);
  StretchAttention attention(order, chunk.rows, d, hidden, compute);
  Workspace& workspace = compute.workspace();
  const size_t rows = size_t(chunk.rows);
  float* keys = workspace.Allocate<float>(rows * size_t(d));
  float* key_scale = workspace.Allocate<float>(size_t(d));
  std::fill_n(key_scale, d, 1.0f / std::sqrt(float(d)));
  const Hashing hashing =
      is_hashed ? MakeHashing(order, chunk, compute) : Hashing{};
  for (int head = 0; head < options().num_heads; ++head) {
    const MatrixView queries = {input.qkv + int64_t{head} * d, input.stride};
    if (is_hashed) OrderByHash(queries, head, chunk, order, hashing);
    for (size_t r = 0; r < rows; ++r) {
      std::copy_n(queries.data + int64_t(r) * queries.stride, d,
                  keys + r * size_t(d));
    }
    RmsNormRows(keys, chunk.rows, d, key_scale, d, kKeyEps);
    attention.Run({.queries = queries,
                   .keys = {keys, d},
                   .values = {queries.data + hidden, input.stride},
                   .masks_self = true,
                   .context = chunk.context + int64_t{head} * d});
  }
}

ReformerAttention::Hashing ReformerAttention::MakeHashing(
    const StretchOrder& order, const ChunkSlot& chunk,
    ComputeContext& compute) const {
  Hashing hashing;
  hashing.factors =
      plan_.factors.empty()
          ? BucketFactorsFor(order.places, order.stretch, plan_.bucket_limit)
          : plan_.factors;
  Workspace& workspace = compute.workspace();
  const size_t rows = size_t(chunk.rows);
  const size_t hashes = size_t(plan_.num_hashes);
  hashing.buckets = workspace.Allocate<int32_t>(hashes * rows);
  hashing.keys = workspace.Allocate<uint64_t>(rows);
  hashing.turned = workspace.Allocate<float>(
      kHashTile * hashes * size_t(RotationSize(hashing.factors)));
  return hashing;
}

void ReformerAttention::OrderByHash(const MatrixView& queries, int head,
                                    const ChunkSlot& chunk,
                                    const StretchOrder& order,
                                    const Hashing& hashing) const {
  HashRows({.x = queries,
            .rows = chunk.rows,
            .head_dim = options().head_dim,
            .rotations = rotations_.OfHead(head, RotationSize(hashing.factors)),
            .num_hashes = plan_.num_hashes,
            .factors = hashing.factors,
            .turned = hashing.turned},
           hashing.buckets);
  for (int round = 0; round < order.rounds; ++round) {
    OrderByBucket(hashing.buckets + int64_t{round} * chunk.rows, chunk.mask,
                  chunk.rows, hashing.keys, order.places,
                  order.rows + round * order.places);
  }
}

void ReformerAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                              float*, ComputeContext& compute) const {
  ClearPaddingRows(chunk, options().hidden());
  if (plan_.layers[size_t(input.layer)].is_lsh) {
    RunLsh(input, chunk, compute);
  } else {
    RunLocal(input, chunk, compute);
  }
}

int64_t Number(const LayerExtras& extras, std::string_view role) {
  const int64_t* number = extras.FindNumber(role);
  LH_CHECK(number != nullptr);
  return *number;
}

ModelPlan ReadPlan(absl::Span<const LayerExtras* const> extras) {
  ModelPlan plan;
  for (const LayerExtras* layer : extras) {
    plan.layers.push_back({.is_lsh = Number(*layer, "is_lsh") != 0,
                           .stretch = Number(*layer, "chunk_length"),
                           .before = Number(*layer, "chunks_before"),
                           .after = Number(*layer, "chunks_after")});
  }
  const LayerExtras& any = *extras.front();
  plan.multiple = Number(any, "length_multiple");
  plan.unfilled = Number(any, "unfilled_length");
  plan.num_hashes = int(Number(any, "num_hashes"));
  for (int i = 0; i < int(Number(any, "num_bucket_factors")); ++i) {
    plan.factors.push_back(int(Number(any, absl::StrCat("bucket_factor_", i))));
  }
  plan.bucket_limit = Number(any, "bucket_limit");
  plan.hash_seed = Number(any, "hash_seed");
  plan.rotations = any.FindTensor("lsh_rotations");
  return plan;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeReformerAttention(
    const AttentionOptions& options) {
  bool complete = options.num_layers > 0 &&
                  int(options.extras.size()) == options.num_layers;
  for (const LayerExtras* extras : options.extras) {
    complete = complete && extras->FindNumber("is_lsh") != nullptr;
  }
  if (!complete) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "MECHANISM_UNAVAILABLE",
        "the mechanism \"reformer\" hashes vectors that are queries and keys "
        "at a time, which only models of the family \"reformer\" have; choose "
        "another mechanism for this model");
  }
  return std::make_unique<const ReformerAttention>(options,
                                                   ReadPlan(options.extras));
}

}  // namespace longhand
