// QuestionAttention: a mechanism as questions use it: every chunk of a batch
// stands behind the document, sees all of it and none of the others, so that a
// question put together with others is answered as if it were alone. For passes
// of PassKind::kRetrieve whose `first` is the number of states. Immutable; safe
// from many threads.
#ifndef LONGHAND_CORE_SESSION_QUESTION_ATTENTION_H_
#define LONGHAND_CORE_SESSION_QUESTION_ATTENTION_H_

#include <memory>
#include <vector>

#include "core/attention/attention.h"

namespace longhand {

class QuestionAttention final : public Attention {
 public:
  // Of visibility kTwoPass where the mechanism knows that: a batch then reads
  // each state once.
  explicit QuestionAttention(std::unique_ptr<const Attention> attention);

  bool exchanges() const override { return attention_->exchanges(); }
  bool exchanges_in(int layer) const override {
    return attention_->exchanges_in(layer);
  }
  // Bidirectional: a pass with a single state exchanges as well.
  const RetrievalOptions& retrieval() const override { return retrieval_; }
  StateLayout state_layout(int own_rows) const override {
    return attention_->state_layout(own_rows);
  }
  int64_t scratch_floats(int rows) const override {
    return attention_->scratch_floats(rows);
  }
  bool is_convex() const override { return attention_->is_convex(); }
  std::vector<std::string_view> unused_options() const override {
    return attention_->unused_options();
  }

  void Local(const LayerInput& input, const ChunkSlot& chunk, float* state,
             ComputeContext& compute) const override {
    attention_->Local(input, chunk, state, compute);
  }
  int exchange_items() const override { return attention_->exchange_items(); }
  void Exchange(int item, const BatchView& batch,
                ComputeContext& compute) const override;
  void Finish(int chunk, const BatchView& batch,
              ComputeContext& compute) const override;

 private:
  const std::unique_ptr<const Attention> attention_;
  const RetrievalOptions retrieval_;
  // Whether what a chunk sees behind the document is the same at every place.
  const bool takes_batches_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_SESSION_QUESTION_ATTENTION_H_
