// DocumentAttention: what the mechanisms share whose tokens attend exactly to
// tokens of other chunks, by their places in the document. Immutable; safe from
// many threads with distinct ComputeContexts.
//
// State of a layer: per head K [own rows, d], then V [own rows, d]; no meta
// values.
#ifndef LONGHAND_CORE_ATTENTION_DOCUMENT_ATTENTION_H_
#define LONGHAND_CORE_ATTENTION_DOCUMENT_ATTENTION_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "core/attention/attention.h"
#include "core/attention/running_softmax.h"
#include "core/attention/token_pattern.h"

namespace longhand {

class DocumentAttention : public Attention {
 public:
  bool exchanges() const override { return true; }
  bool exchanges_in(int) const override { return true; }
  const RetrievalOptions& retrieval() const override {
    return options_.retrieval;
  }
  StateLayout state_layout(int own_rows) const override;
  bool is_convex() const override { return true; }
  std::vector<std::string_view> unused_options() const override;
  // A chunk takes what it sees by itself.
  int exchange_items() const override { return 0; }
  void Exchange(int, const BatchView&, ComputeContext&) const override {}

 protected:
  // Another chunk that is seen.
  struct Remote {
    int64_t slot;
    PlaceRange places;
  };

  explicit DocumentAttention(const AttentionOptions& options)
      : options_(options) {}

  const AttentionOptions& options() const { return options_; }
  bool is_causal() const {
    return options_.retrieval.visibility == Visibility::kCausal;
  }

  static PlaceRange OwnPlaces(const ChunkSlot& chunk) {
    return {chunk.first_token, chunk.first_token + chunk.own_rows()};
  }
  // Those of all rows, as if special tokens had places beside the own ones.
  static PlaceRange RowPlaces(const ChunkSlot& chunk) {
    const int64_t begin = chunk.first_token - chunk.own_begin;
    return {begin, begin + chunk.rows};
  }

  // The other chunks that batch.chunks[chunk] sees and that have a token at
  // most `reach` away, in the document's order.
  std::vector<Remote> VisibleChunks(int chunk, const BatchView& batch,
                                    int64_t reach) const;
  // A chunk's keys and values of one head; in place, or decoded into buffer
  // [head floats of its layout].
  static RunningSoftmax::Segment RemoteKeys(const Remote& remote, int head,
                                            const BatchView& batch,
                                            float* buffer);
  // Floats of that buffer.
  static int64_t HeadFloats(const Remote& remote, const BatchView& batch);

  void SaveState(const LayerInput& input, const ChunkSlot& chunk,
                 float* state) const;

  // log_sums [remotes, rows]: the logs of the attention mass by chunk and row;
  // -infinity where a row sees nothing there. Adds their shares, as the mean
  // over the rows that see another chunk, to what was asked for.
  void ReportShares(absl::Span<const Remote> remotes, const float* log_sums,
                    int head, const ChunkSlot& chunk,
                    const BatchView& batch) const;

 private:
  const AttentionOptions options_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_DOCUMENT_ATTENTION_H_
