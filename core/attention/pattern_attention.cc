// Scratch: Q [rows, hidden], or Q, K and V [rows, 3 hidden] where Finish
// repeats the chunk's own part since only then the document's end is known;
// then per head the log of each row's sum of exponentials [rows].
#include "core/attention/pattern_attention.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/attention/document_attention.h"
#include "core/attention/local_attention.h"
#include "core/attention/running_softmax.h"

namespace longhand {
namespace {

// Chunks of more rows are not computed with all their scores at once, even
// where everything is seen.
constexpr int kMaxSquareRows = 8192;

// The keys that groups see, by group.
struct ChosenKeys {
  std::vector<int> indices;
  std::vector<int64_t> places;
  std::vector<size_t> ends;  // of the groups so far

  void Clear() {
    indices.clear();
    places.clear();
    ends.clear();
  }

  // Those in `range`, whose first place has index `first`.
  void Add(const QueryGroup& group, PlaceRange range, int64_t first) {
    const size_t begin = places.size();
    auto comb = std::partition_point(
        group.keys.begin(), group.keys.end(),
        [&range](const KeyComb& keys) { return keys.end() <= range.begin; });
    for (; comb != group.keys.end() && comb->begin < range.end; ++comb) {
      AppendPlaces(*comb, range, &places);
    }
    for (size_t i = begin; i < places.size(); ++i) {
      indices.push_back(static_cast<int>(places[i] - range.begin + first));
    }
  }
  void EndGroup() { ends.push_back(places.size()); }

  RunningSoftmax::Keys Of(
      size_t number, const QueryGroup& group,
      absl::Span<const RunningSoftmax::Segment> segments) const {
    const size_t begin = number == 0 ? 0 : ends[number - 1];
    const size_t count = ends[number] - begin;
    return {.segments = segments,
            .chosen = absl::MakeSpan(indices).subspan(begin, count),
            .places = absl::MakeSpan(places).subspan(begin, count),
            .nearest = group.nearest,
            .farthest = group.farthest};
  }
};

class PatternAttention final : public DocumentAttention {
 public:
  PatternAttention(const AttentionOptions& options,
                   std::unique_ptr<const TokenPattern> pattern,
                   std::vector<std::string_view> mechanism_options)
      : DocumentAttention(options),
        pattern_(std::move(pattern)),
        mechanism_options_(std::move(mechanism_options)),
        repeats_own_(pattern_->needs_document()) {}

  int64_t scratch_floats(int rows) const override {
    return rows * (scratch_width() + options().num_heads);
  }
  bool keeps_source_model() const override { return pattern_->is_full(); }
  bool depends_on_place() const override { return !pattern_->is_full(); }
  int64_t reach_tokens() const override {
    return pattern_->reach() == kAnyDistance ? kWholeDocument
                                             : pattern_->reach();
  }
  std::vector<std::string_view> mechanism_options() const override {
    return mechanism_options_;
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 private:
  // Consecutive visible chunks whose keys are taken together.
  struct Tile {
    absl::Span<const Remote> remotes;
    float* decoded;           // room for a head of each
    float* segment_log_sums;  // [remotes, rows], or null
  };

  int64_t scratch_width() const {
    return int64_t{options().hidden()} * (repeats_own_ ? 3 : 1);
  }
  float* log_sums(const ChunkSlot& chunk, int head) const {
    return chunk.scratch + chunk.rows * scratch_width() +
           int64_t{head} * chunk.rows;
  }
  // The places that queries are grouped by.
  PlaceRange QueryPlaces(const ChunkSlot& chunk) const {
    return pattern_->is_full() ? RowPlaces(chunk) : OwnPlaces(chunk);
  }
  RunningSoftmax::Rows RowsOf(const QueryGroup& group, int head,
                              const MatrixView& queries,
                              const ChunkSlot& chunk) const;
  // The context, and its log sums, of the chunk's own rows. qkv: [rows,
  // 3 * hidden].
  void AttendOwn(const float* qkv, const ChunkSlot& chunk, PlaceRange document,
                 ComputeContext& compute) const;
  // What the groups see of other chunks joins them.
  void AttendTile(const Tile& tile, int head,
                  absl::Span<const QueryGroup> groups, const ChunkSlot& chunk,
                  const BatchView& batch, const RunningSoftmax& softmax) const;
  // Leaves those of the remotes that a group sees something of.
  static void KeepSeen(absl::Span<const QueryGroup> groups,
                       std::vector<Remote>* remotes);
  std::vector<absl::Span<const Remote>> Tiles(
      absl::Span<const Remote> remotes) const;

  const std::unique_ptr<const TokenPattern> pattern_;
  const std::vector<std::string_view> mechanism_options_;
  const bool repeats_own_;
};

// Between rows that have no place and all rows of the chunk.
void AddSpecialGroups(PlaceRange own, PlaceRange all,
                      std::vector<QueryGroup>* groups) {
  QueryGroup special = {};
  for (PlaceRange range :
       {PlaceRange{all.begin, own.begin}, PlaceRange{own.end, all.end}}) {
    if (range.size() == 0) continue;
    special.keys.push_back(KeyComb::Run(range.begin, range.end));
    ForEachRun(range, kQueryRun, [&](int64_t begin, int count) {
      groups->push_back({.begin = begin,
                         .count = count,
                         .keys = {KeyComb::Run(all.begin, all.end)}});
    });
  }
  if (special.keys.empty()) return;
  ForEachRun(own, kQueryRun, [&](int64_t begin, int count) {
    special.begin = begin;
    special.count = count;
    groups->push_back(special);
  });
}

RunningSoftmax::Rows PatternAttention::RowsOf(const QueryGroup& group, int head,
                                              const MatrixView& queries,
                                              const ChunkSlot& chunk) const {
  const int64_t row = group.begin - RowPlaces(chunk).begin;
  const int64_t hidden = options().hidden();
  const int64_t column = int64_t{head} * options().head_dim;
  return {.queries = queries.data + row * queries.stride + column,
          .query_stride = group.step * queries.stride,
          .count = group.count,
          .context = chunk.context + row * hidden + column,
          .context_stride = group.step * hidden,
          .log_sums = log_sums(chunk, head) + row,
          .log_stride = group.step,
          .place = group.begin,
          .step = group.step};
}

void PatternAttention::AttendOwn(const float* qkv, const ChunkSlot& chunk,
                                 PlaceRange document,
                                 ComputeContext& compute) const {
  const PlaceRange queries = QueryPlaces(chunk);
  const PlaceRange all = RowPlaces(chunk);
  std::vector<QueryGroup> groups;
  pattern_->AddGroups(queries, document, &groups);
  if (chunk.rows <= kMaxSquareRows && CoversAll(groups, queries)) {
    LocalSoftmaxAttention(options(), qkv, chunk.rows, compute, chunk.context,
                          log_sums(chunk, 0));
    return;
  }
  ChosenKeys keys;
  const size_t patterned = groups.size();
  if (!pattern_->is_full()) AddSpecialGroups(queries, all, &groups);
  for (size_t i = 0; i < groups.size(); ++i) {
    const PlaceRange range = i < patterned ? queries : all;
    keys.Add(groups[i], range, range.begin - all.begin);
    keys.EndGroup();
  }
  const int64_t hidden = options().hidden();
  std::fill_n(chunk.context, chunk.rows * hidden, 0.0f);
  std::fill_n(log_sums(chunk, 0), int64_t{chunk.rows} * options().num_heads,
              kNoMass);
  const RunningSoftmax softmax(options().head_dim, compute);
  for (int head = 0; head < options().num_heads; ++head) {
    const float* k = qkv + hidden + int64_t{head} * options().head_dim;
    const RunningSoftmax::Segment segment = {k, k + hidden, 3 * hidden,
                                             chunk.rows};
    for (size_t i = 0; i < groups.size(); ++i) {
      softmax.Add(keys.Of(i, groups[i], {&segment, 1}),
                  RowsOf(groups[i], head, {qkv, 3 * hidden}, chunk));
    }
  }
}

void PatternAttention::Local(const LayerInput& input, const ChunkSlot& chunk,
                             float* state, ComputeContext& compute) const {
  // As far as is known here, the document ends with the chunk; so it does in a
  // first pass and in a document of one chunk.
  AttendOwn(input.qkv, chunk, {0, OwnPlaces(chunk).end}, compute);
  const int64_t stride = 3 * int64_t{options().hidden()};
  for (int64_t r = 0; r < chunk.rows; ++r) {
    std::copy_n(input.qkv + r * stride, scratch_width(),
                chunk.scratch + r * scratch_width());
  }
  if (state != nullptr) SaveState(input, chunk, state);
}

void PatternAttention::KeepSeen(absl::Span<const QueryGroup> groups,
                                std::vector<Remote>* remotes) {
  std::vector<bool> seen(remotes->size(), false);
  for (const QueryGroup& group : groups) {
    for (const KeyComb& comb : group.keys) {
      auto at = std::partition_point(remotes->begin(), remotes->end(),
                                     [&comb](const Remote& remote) {
                                       return remote.places.end <= comb.begin;
                                     });
      for (; at != remotes->end() && at->places.begin < comb.end(); ++at) {
        const size_t i = size_t(at - remotes->begin());
        seen[i] = seen[i] || Touches(comb, at->places);
      }
    }
  }
  size_t kept = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) (*remotes)[kept++] = (*remotes)[i];
  }
  remotes->resize(kept);
}

std::vector<absl::Span<const DocumentAttention::Remote>>
PatternAttention::Tiles(absl::Span<const Remote> remotes) const {
  std::vector<absl::Span<const Remote>> tiles;
  size_t begin = 0;
  int64_t keys = 0;
  for (size_t i = 0; i < remotes.size(); ++i) {
    const int64_t size = remotes[i].places.size();
    if (i > begin && keys + size > pattern_->tile_keys()) {
      tiles.push_back(remotes.subspan(begin, i - begin));
      begin = i;
      keys = 0;
    }
    keys += size;
  }
  tiles.push_back(remotes.subspan(begin));
  return tiles;
}

void PatternAttention::AttendTile(const Tile& tile, int head,
                                  absl::Span<const QueryGroup> groups,
                                  const ChunkSlot& chunk,
                                  const BatchView& batch,
                                  const RunningSoftmax& softmax) const {
  std::vector<RunningSoftmax::Segment> segments;
  float* decoded = tile.decoded;
  for (const Remote& remote : tile.remotes) {
    segments.push_back(RemoteKeys(remote, head, batch, decoded));
    decoded += HeadFloats(remote, batch);
  }
  ChosenKeys keys;
  for (const QueryGroup& group : groups) {
    keys.Clear();
    int64_t first = 0;
    for (const Remote& remote : tile.remotes) {
      keys.Add(group, remote.places, first);
      first += remote.places.size();
    }
    keys.EndGroup();
    RunningSoftmax::Rows rows =
        RowsOf(group, head, {chunk.scratch, scratch_width()}, chunk);
    if (tile.segment_log_sums != nullptr) {
      rows.segment_log_sums =
          tile.segment_log_sums + (group.begin - RowPlaces(chunk).begin);
      rows.segment_stride = chunk.rows;
    }
    softmax.Add(keys.Of(0, group, segments), rows);
  }
}

void PatternAttention::Finish(int chunk, const BatchView& batch,
                              ComputeContext& compute) const {
  const ChunkSlot& slot = batch.chunks[chunk];
  std::vector<Remote> remotes = VisibleChunks(chunk, batch, pattern_->reach());
  PlaceRange document = OwnPlaces(slot);
  if (!remotes.empty()) {
    document.begin = std::min(document.begin, remotes.front().places.begin);
    document.end = std::max(document.end, remotes.back().places.end);
  }
  if (repeats_own_) AttendOwn(slot.scratch, slot, document, compute);
  std::vector<QueryGroup> groups;
  pattern_->AddGroups(QueryPlaces(slot), document, &groups);
  KeepSeen(groups, &remotes);
  if (remotes.empty()) return;

  Workspace& workspace = compute.workspace();
  const RunningSoftmax softmax(options().head_dim, compute);
  const std::vector<absl::Span<const Remote>> tiles = Tiles(remotes);
  int64_t most = 0;
  for (absl::Span<const Remote> tile : tiles) {
    int64_t floats = 0;
    for (const Remote& remote : tile) floats += HeadFloats(remote, batch);
    most = std::max(most, floats);
  }
  float* decoded = workspace.Allocate<float>(size_t(most));
  const int64_t sums = int64_t(remotes.size()) * slot.rows;
  float* segment_log_sums =
      slot.wants_weights() ? workspace.Allocate<float>(size_t(sums)) : nullptr;
  for (int head = 0; head < options().num_heads; ++head) {
    if (slot.wants_weights()) std::fill_n(segment_log_sums, sums, kNoMass);
    float* tile_log_sums = segment_log_sums;
    for (absl::Span<const Remote> tile : tiles) {
      AttendTile({tile, decoded, tile_log_sums}, head, groups, slot, batch,
                 softmax);
      if (slot.wants_weights()) tile_log_sums += tile.size() * slot.rows;
    }
    if (slot.wants_weights()) {
      ReportShares(remotes, segment_log_sums, head, slot, batch);
    }
  }
}

class FullPattern final : public TokenPattern {
 public:
  void AddGroups(PlaceRange queries, PlaceRange document,
                 std::vector<QueryGroup>* groups) const override {
    const KeyComb all = KeyComb::Run(std::min(queries.begin, document.begin),
                                     std::max(queries.end, document.end));
    ForEachRun(queries, kMaxQueries, [&](int64_t begin, int count) {
      groups->push_back({.begin = begin, .count = count, .keys = {all}});
    });
  }
  bool is_full() const override { return true; }
};

}  // namespace

std::unique_ptr<const Attention> MakePatternAttention(
    const AttentionOptions& options,
    std::unique_ptr<const TokenPattern> pattern,
    std::vector<std::string_view> mechanism_options) {
  return std::make_unique<const PatternAttention>(options, std::move(pattern),
                                                  std::move(mechanism_options));
}

std::unique_ptr<const TokenPattern> MakeFullPattern() {
  return std::make_unique<const FullPattern>();
}

}  // namespace longhand
