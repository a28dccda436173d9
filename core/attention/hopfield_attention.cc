// Modern Hopfield retrieval (Ramsauer et al. 2020, arXiv:2008.02217, section
// 2), without its learned normalisations: the queries are state patterns and
// the keys stored patterns. With beta = 1 / sqrt(d) and one softmax over all
// visible tokens, special tokens of other chunks excepted,
//   q <- softmax(beta q K^T) K     update_steps times
//   context = softmax(beta q K^T) V
// Without updates it is full attention.
//
// Scratch: Q, K and V [rows, 3 hidden].

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "core/attention/document_attention.h"
#include "core/attention/pattern_attention.h"

namespace longhand {
namespace {

using Segment = RunningSoftmax::Segment;

class HopfieldAttention final : public DocumentAttention {
 public:
  explicit HopfieldAttention(const AttentionOptions& options)
      : DocumentAttention(options) {}

  int64_t scratch_floats(int rows) const override {
    return int64_t{rows} * 3 * options().hidden();
  }
  bool keeps_source_model() const override { return false; }
  std::vector<std::string_view> mechanism_options() const override {
    return {"update_steps"};
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 private:
  // One head's softmax over everything, of the keys or of the values.
  struct Pass {
    const float* queries;  // [rows, d], query_stride apart
    int64_t query_stride;
    bool takes_keys;
    float* out;  // [rows, d], out_stride apart
    int64_t out_stride;
  };
  struct Buffers {
    RunningSoftmax softmax;
    std::vector<int> indices;  // 0, 1, ... for all keys of any chunk
    float* patterns[2];        // [rows, d]
    float* log_sums;           // [rows]
    float* segment_log_sums;   // [remotes, rows], or null: not wanted
    float* decoded;            // a head of any remote
  };
  // What is retrieved from; batch: null where remotes is empty.
  struct Source {
    const float* qkv;  // [rows, 3 * hidden]
    const ChunkSlot& chunk;
    absl::Span<const Remote> remotes;
    const BatchView* batch;
  };

  Buffers MakeBuffers(const Source& source, ComputeContext& compute) const;
  void Retrieve(const Source& source, ComputeContext& compute) const;
  void Run(const Source& source, int head, const Pass& pass,
           const Buffers& buffers) const;
  void Add(Segment segment, const Pass& pass, int rows, const Buffers& buffers,
           float* segment_log_sums) const;
};

void HopfieldAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                              float* state, ComputeContext& compute) const {
  Retrieve({input.qkv, chunk, {}, nullptr}, compute);
  std::copy_n(input.qkv, scratch_floats(chunk.rows), chunk.scratch);
  if (state != nullptr) SaveState(input, chunk, state);
}

void HopfieldAttention::Finish(int chunk, const BatchView& batch,
                               ComputeContext& compute) const {
  const std::vector<Remote> remotes = VisibleChunks(chunk, batch, kAnyDistance);
  if (remotes.empty()) return;
  const ChunkSlot& slot = batch.chunks[chunk];
  Retrieve({slot.scratch, slot, remotes, &batch}, compute);
}

HopfieldAttention::Buffers HopfieldAttention::MakeBuffers(
    const Source& source, ComputeContext& compute) const {
  const size_t rows = size_t(source.chunk.rows);
  const size_t size = rows * size_t(options().head_dim);
  int64_t keys = source.chunk.rows, floats = 0;
  for (const Remote& remote : source.remotes) {
    keys = std::max(keys, remote.places.size());
    floats = std::max(floats, HeadFloats(remote, *source.batch));
  }
  Workspace& workspace = compute.workspace();
  Buffers buffers = {
      .softmax = RunningSoftmax(options().head_dim, compute),
      .indices = std::vector<int>(size_t(keys)),
      .patterns = {workspace.Allocate<float>(size),
                   workspace.Allocate<float>(size)},
      .log_sums = workspace.Allocate<float>(rows),
      .segment_log_sums =
          source.batch != nullptr && source.chunk.wants_weights()
              ? workspace.Allocate<float>(source.remotes.size() * rows)
              : nullptr,
      .decoded = workspace.Allocate<float>(size_t(floats))};
  std::iota(buffers.indices.begin(), buffers.indices.end(), 0);
  return buffers;
}

void HopfieldAttention::Retrieve(const Source& source,
                                 ComputeContext& compute) const {
  const int d = options().head_dim;
  const int hidden = options().hidden();
  const int steps = *options().mechanism.update_steps;
  const Buffers buffers = MakeBuffers(source, compute);
  for (int head = 0; head < options().num_heads; ++head) {
    Pass pass = {.queries = source.qkv + head * d,
                 .query_stride = 3 * int64_t{hidden},
                 .takes_keys = true,
                 .out_stride = d};
    for (int step = 0; step < steps; ++step) {
      pass.out = buffers.patterns[step % 2];
      Run(source, head, pass, buffers);
      pass.queries = pass.out;
      pass.query_stride = d;
    }
    pass.takes_keys = false;
    pass.out = source.chunk.context + head * d;
    pass.out_stride = hidden;
    Run(source, head, pass, buffers);
    if (buffers.segment_log_sums != nullptr) {
      ReportShares(source.remotes, buffers.segment_log_sums, head, source.chunk,
                   *source.batch);
    }
  }
}

void HopfieldAttention::Run(const Source& source, int head, const Pass& pass,
                            const Buffers& buffers) const {
  const int d = options().head_dim;
  const int64_t hidden = options().hidden();
  const int rows = source.chunk.rows;
  for (int r = 0; r < rows; ++r) {
    std::fill_n(pass.out + r * pass.out_stride, d, 0.0f);
  }
  std::fill_n(buffers.log_sums, rows, kNoMass);
  const float* k = source.qkv + hidden + int64_t{head} * d;
  Add({k, k + hidden, 3 * hidden, rows}, pass, rows, buffers, nullptr);
  float* sums = pass.takes_keys ? nullptr : buffers.segment_log_sums;
  for (const Remote& remote : source.remotes) {
    if (sums != nullptr) std::fill_n(sums, rows, kNoMass);
    Add(RemoteKeys(remote, head, *source.batch, buffers.decoded), pass, rows,
        buffers, sums);
    if (sums != nullptr) sums += rows;
  }
}

void HopfieldAttention::Add(Segment segment, const Pass& pass, int rows,
                            const Buffers& buffers,
                            float* segment_log_sums) const {
  if (pass.takes_keys) segment.values = segment.keys;
  for (int row = 0; row < rows; row += RunningSoftmax::kMaxRows) {
    buffers.softmax.Add(
        {.segments = {&segment, 1},
         .chosen =
             absl::MakeSpan(buffers.indices).subspan(0, size_t(segment.count)),
         .places = {}},
        {.queries = pass.queries + row * pass.query_stride,
         .query_stride = pass.query_stride,
         .count = std::min(RunningSoftmax::kMaxRows, rows - row),
         .context = pass.out + row * pass.out_stride,
         .context_stride = pass.out_stride,
         .log_sums = buffers.log_sums + row,
         .log_stride = 1,
         .segment_log_sums =
             segment_log_sums == nullptr ? nullptr : segment_log_sums + row});
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Attention>> MakeHopfieldAttention(
    const AttentionOptions& options) {
  if (*options.mechanism.update_steps == 0) {
    return MakePatternAttention(options, MakeFullPattern(), {"update_steps"});
  }
  return std::make_unique<const HopfieldAttention>(options);
}

}  // namespace longhand
